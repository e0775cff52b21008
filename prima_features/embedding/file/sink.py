"""A file for HDF5 to write to that never tells it of a failed write."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Sink(io.RawIOBase):
    """Keeps the first error for `check` and pretends to HDF5 that all went well.

    The HDF5 library does not survive a write that fails: on closing such a file it prints pages of errors and
    takes the process down with a segmentation fault (seen with HDF5 1.14 and h5py 3.16 on a full disk). Given
    this object in place of a path, h5py passes every read and write through it.

    Raises:
        OSError: on leaving the `with` block, or from `check`: the first write that failed.
    """

    def __init__(self, path: Path):
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error there was."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.close()
        if error is None:
            self.check()

    def write(self, data: Buffer) -> int:
        """Write all of `data`, or from the first error on nothing."""
        view = memoryview(data).cast("B")
        written = 0
        try:
            while self._error is None and written < len(view):
                written += self._file.write(view[written:])
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._file.seek(len(view) - written, os.SEEK_CUR)
        return len(view)

    def readinto(self, buffer: Buffer) -> int:
        """Read; what a failed write left out reads as zeros."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, unless a write has failed."""
        try:
            if self._error is None:
                return self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, also beyond the end."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()
