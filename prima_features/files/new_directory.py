"""A directory that appears under its name complete or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prima_features.files.disk import output_errors
from prima_features.files.targets import Maker, check_folder

_MAKER = Maker("prima", option="--overwrite")


@contextmanager
def new_directory(output: Path, overwrite: bool = False, maker: Maker = _MAKER) -> Iterator[Path]:
    """A temporary directory next to `output`, renamed to it at the end of the `with` block.

    After an error in the block the temporary directory is gone and `output` is as it was.

    Args:
        output: the directory to make.
        overwrite: replace it if it holds something.
        maker: the command and its inputs, which are never replaced.

    Raises:
        UsageError: see `files.targets.check_folder`, which may be called before the work that fills the directory.
        OutputError: the disk is full or cannot be written to.
    """
    output = output.absolute()
    check_folder(output, maker, overwrite)
    with (
        output_errors(output),
        tempfile.TemporaryDirectory(
            dir=output.parent, prefix=f".{output.name[:32]}.", suffix=".partial", ignore_cleanup_errors=True
        ) as scratch,
    ):
        made = Path(scratch) / output.name
        made.mkdir()
        yield made
        if output.exists():
            output.rename(Path(scratch) / "replaced")
        made.rename(output)
