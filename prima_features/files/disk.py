"""Writing to a disk that may be full, far away or about to lose its power."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prima_features.errors import OutputError

_SHOWN_NAME = 32
"""Characters of a file's name in that of its temporary file, which must fit as well if the former just does."""


@contextmanager
def replacing(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends, and vanishes if it fails.

    What was written is on the disk when this returns, and so is its name: whoever then deletes what it was made
    of loses nothing, even if the power goes the moment after.

    Args:
        scratch: folder of the temporary file, on the same disk; by default that of `path`. The names are
            random, since processes of two machines may have the same number.

    Raises:
        OutputError: for any error of the file system in the block, in one sentence.
    """
    temporary = (scratch or path.parent) / f".{path.name[:_SHOWN_NAME]}.{secrets.token_hex(4)}.tmp"
    with output_errors(path):
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            with suppress(OSError):  # which must not hide the error that brought us here
                temporary.unlink(missing_ok=True)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Tell errors of the file system, met in the block while writing `path`, in one sentence.

    Raises:
        OutputError: in place of any OSError.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(_reason(path, error)) from error


def state_of(output: Path) -> str:
    """Size and time of a file, which tell one version of it from the next; empty where there is none."""
    if not output.exists():
        return ""
    state = output.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder. Disks that cannot be asked to (some network ones) are not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _reason(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "The disk is full" if error.errno == errno.ENOSPC else "The disk quota is used up"
        return f"{what}: {path} was not written; free some space and run the same command again"
    what = error.strerror or str(error)
    return f"{path} cannot be written ({what}); check the folder and run the same command again"
