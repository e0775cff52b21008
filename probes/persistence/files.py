"""Reading files that may be hostile, and writing files that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prima_features.errors import OutputError, UsageError
from prima_features.files.safe import VALUES, UnsafeFileError, load_json, read_bytes
from prima_features.files.text import to_cell

if TYPE_CHECKING:
    import pandas as pd


def check_size(path: Path, limit: int) -> None:
    """Refuse what is no regular file or has more bytes than any probe's.

    Raises:
        UsageError: it is missing, no regular file, or larger than `limit` bytes.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist or is not a file: expected a probe's directory")
    if (size := path.stat().st_size) > limit:
        raise UsageError(f"{path} has {size} bytes, more than any probe has ({limit}): it is not read")


def read_json(path: Path, limit: int, values: int = VALUES) -> dict[str, Any]:
    """A file's JSON object, without NaN or infinite numbers.

    Args:
        path: the file.
        limit: bytes that it may have.
        values: items of all its lists and objects at most.

    Raises:
        UsageError: as `check_size`, or it is not a JSON object within the bounds of `files.safe.load_json`.
    """
    check_size(path, limit)
    try:
        document = load_json(read_bytes(path, limit), values=values)
    except UnsafeFileError as error:
        raise UsageError(f"{path} is not JSON that a probe has: it {error}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON: the probe is damaged") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no JSON object: the probe is damaged")
    return document


def json_bytes(document: dict[str, Any]) -> bytes:
    """As JSON. NaN has no place in it: numbers that are not defined must be None."""
    return json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"


def table_bytes(table: pd.DataFrame) -> bytes:
    """A table as tab-separated UTF-8, with n/a for what is not known; no text starts a formula (`files.text`)."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    safe = table.copy()
    for name in texts:
        safe[name] = [to_cell(one) if isinstance(one, str) else one for one in texts[name]]
    return safe.to_csv(sep="\t", index=False, na_rep="n/a").encode()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name[:32]}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
