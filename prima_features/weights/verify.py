"""Checking a model directory: recorded checksums, and that every part loads."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.weights import directory as files


@dataclass(frozen=True)
class CheckedFile:
    """A file of a model directory."""

    name: str
    sha256: str
    recorded: str | None
    """Checksum in SHA256SUMS; None where none was recorded."""

    @property
    def ok(self) -> bool:
        """Whether it is as recorded, or was not recorded."""
        return self.recorded in (None, self.sha256)


def check_files(directory: Path) -> list[CheckedFile]:
    """Compare the files of a model directory with its SHA256SUMS.

    Raises:
        UsageError: it is no model directory, or a recorded file is missing.
    """
    files.read_config(directory)
    recorded = files.read_checksums(directory)
    for name in (files.MODEL, *recorded):
        if not (directory / name).is_file():
            raise UsageError(f"{directory} lacks {name}: download or convert the model again")
    names = [name for name in files.CHECKED if (directory / name).is_file()]
    return [CheckedFile(name, sha256(directory / name), recorded.get(name)) for name in names]


def check_loads(directory: Path) -> list[str]:
    """Load every part of a model, heads one at a time.

    Returns:
        What was loaded, in words; a text tower is said to be left out where transformers is not installed.

    Raises:
        UsageError: a part is damaged or does not fit config.json.
    """
    # Heavy, and not needed to compare checksums.
    from prima_features.weights.heads import iter_heads
    from prima_features.weights.pretrained import PrimaModel
    from prima_features.weights.text import load_text

    config = files.read_config(directory)
    PrimaModel.from_pretrained(directory)
    loaded = ["encoder"]
    if config.text is not None:
        if find_spec("transformers") is None:
            loaded.append("text tower left out (transformers is not installed)")
        else:
            load_text(directory)
            loaded.append("text tower")
    if config.heads is not None:
        loaded.append(f"{sum(1 for _ in iter_heads(directory))} heads")
    return loaded


def verify(directory: Path) -> tuple[list[CheckedFile], list[str]]:
    """Check a model directory: `check_files`, then `check_loads`.

    Raises:
        UsageError: a file is missing, is not as recorded, or does not load.
    """
    checked = check_files(directory)
    if bad := [file.name for file in checked if not file.ok]:
        raise UsageError(
            f"{', '.join(bad)} in {directory} is not what {files.CHECKSUMS} records: download the model again"
        )
    return checked, check_loads(directory)
