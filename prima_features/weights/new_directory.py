"""A directory that appears under its name complete or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prima_features.errors import OutputError, UsageError


@contextmanager
def new_directory(output: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary directory beside `output`, renamed to it at the end of the `with` block.

    After an error in the block the temporary directory is gone and `output` is as it was.

    Raises:
        UsageError: `output` is a file, holds something while `overwrite` is off, or lies in no folder.
        OutputError: the disk is full or does not let itself be written to.
    """
    output = output.absolute()
    check_new_directory(output, overwrite)
    try:
        with tempfile.TemporaryDirectory(
            dir=output.parent, prefix=f".{output.name[:32]}.", suffix=".partial", ignore_cleanup_errors=True
        ) as scratch:
            made = Path(scratch) / output.name
            made.mkdir()
            yield made
            if output.exists():
                output.rename(Path(scratch) / "replaced")
            made.rename(output)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{output} could not be written ({error.strerror or error}): nothing was kept"
        ) from error


def check_new_directory(output: Path, overwrite: bool = False) -> None:
    """Refuse a directory that `new_directory` would refuse, before the work that fills it.

    Raises:
        UsageError: see `new_directory`.
    """
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent} is not a folder: make it first, or write elsewhere")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, where a new folder was to be made: give another name")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise UsageError(f"{output} already holds something: give another name, or --overwrite to replace it")
