"""The files of a model directory: their names, config.json, checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.safe import SETTINGS_BYTES, UnsafeFileError, load_json, read_bytes, read_text

CONFIG = "config.json"
MODEL = "model.safetensors"
TEXT = "text.safetensors"
HEADS = "heads.safetensors"
VOCABULARY = "tokenizer.json"
"""Of the text tower, where it is not one of the Hub's (`TextConfig.tokenizer`)."""
CARD = "README.md"
CHECKSUMS = "SHA256SUMS"
"""Lines as `sha256sum` writes them, so that `sha256sum -c SHA256SUMS` checks a directory too."""

ANSWER = "known_answer.json"
"""Vectors of a synthetic scan, for `prima doctor`, and the checksum of the weights that gave them."""

CHECKED = (CONFIG, MODEL, TEXT, HEADS, VOCABULARY)
"""The files that checksums are recorded of. Not the card, which people edit."""
FILES = (*CHECKED, CARD, CHECKSUMS, ANSWER)


def is_model_directory(path: Path) -> bool:
    """Whether a folder has what every model has."""
    return (path / CONFIG).is_file() and (path / MODEL).is_file()


def write_config(directory: Path, values: Mapping[str, Any]) -> None:
    """Write config.json."""
    (directory / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_config(directory: Path) -> dict[str, Any]:
    """Read config.json, of any kind of model.

    Raises:
        UsageError: there is none, or it does not name a kind of model.
    """
    path = directory / CONFIG
    try:
        values = load_json(read_text(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): give a model directory") from error
    except UnsafeFileError as error:
        raise UsageError(f"{path} is not a model's configuration: it {error}") from error
    except (ValueError, ArithmeticError) as error:
        raise UsageError(f"{path} is not a model's configuration: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise UsageError(f"{path} is not a model's configuration: it has no model_type")
    return values


def write_checksums(directory: Path) -> None:
    """Write SHA256SUMS for those of `CHECKED` that a model directory has."""
    names = [name for name in CHECKED if (directory / name).is_file()]
    lines = [f"{sha256(directory / name)}  {name}\n" for name in names]
    (directory / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def read_checksums(directory: Path) -> dict[str, str]:
    """Recorded checksums by file name; empty if none were recorded.

    Raises:
        UsageError: SHA256SUMS is there and is not what `sha256sum` writes.
    """
    path = directory / CHECKSUMS
    if not path.is_file():
        return {}
    try:
        lines = read_bytes(path, SETTINGS_BYTES).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}): download the model again") from error
    fields = [line.split() for line in lines]
    if not all(len(field) == 2 and field[1].lstrip("*") in CHECKED for field in fields):
        raise UsageError(f"{path} is not a list of checksums of a model's files: download the model again")
    return {name.lstrip("*"): digest for digest, name in fields}


@dataclass(frozen=True)
class CheckedFile:
    """A file of a model directory, with its checksum and the recorded one."""

    name: str
    sha256: str
    recorded: str | None
    """Checksum in SHA256SUMS; None if none was recorded."""

    @property
    def ok(self) -> bool:
        """Whether it is as recorded, or was not recorded."""
        return self.recorded in (None, self.sha256)


def check_files(directory: Path) -> list[CheckedFile]:
    """Compare the files of a model directory with its SHA256SUMS.

    Raises:
        UsageError: it is no model directory, or a recorded file is missing.
    """
    read_config(directory)
    recorded = read_checksums(directory)
    for name in (MODEL, *recorded):
        if not (directory / name).is_file():
            raise UsageError(f"{directory} lacks {name}: download or convert the model again")
    names = [name for name in CHECKED if (directory / name).is_file()]
    return [CheckedFile(name, sha256(directory / name), recorded.get(name)) for name in names]
