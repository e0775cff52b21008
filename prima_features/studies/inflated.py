"""Files that may be compressed with gzip, whatever their names say."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def inflated(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; its content is inflated if it starts as gzip does.

    Raises:
        OSError: it cannot be opened. Reading damaged content raises one of `inflation_errors()`.
    """
    from isal import igzip

    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not gzipped:
            yield file
            return
        with igzip.open(file, "rb") as content:
            yield content


def inflation_errors() -> tuple[type[Exception], ...]:
    """What damaged compressed content raises."""
    from isal import igzip, isal_zlib

    damaged: Any = isal_zlib.error  # its stub declares an instance
    # OverflowError: of a gzip header with an endless name or comment.
    return EOFError, zlib.error, damaged, igzip.BadGzipFile, OverflowError
