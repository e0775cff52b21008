"""Settings from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from prima_features.errors import UsageError
from prima_features.files.plain import from_plain
from prima_features.files.safe import TOML_BYTES, UnsafeFileError, load_toml, read_text

T = TypeVar("T")


def read_settings(cls: type[T], path: Path) -> T:
    """Settings from a TOML file; relative paths are taken from its folder.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds a key that is unknown, of a wrong type, missing, or at
            odds with another. The message names the key.
    """
    try:
        table = load_toml(read_text(path, TOML_BYTES))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): give a settings file") from error
    except UnsafeFileError as error:
        raise UsageError(f"{path} {error}: give a settings file") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    try:
        return from_plain(cls, table, folder=path.absolute().parent)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
