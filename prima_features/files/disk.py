"""Disks that may be full, far away or about to lose power.

Files are written atomically (`replacing`, `write_bytes`, `write_json`). Errors of a disk are one sentence, and an
error of the disk with the scans, which stops the run, is distinguished from a bad scan, which is recorded
(`check_disk`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prima_features.errors import OutputError, SourceError
from prima_features.files.text import printable_json

_SHOWN_NAME = 32
"""Characters of a file's name in that of its temporary file, which must fit as well if the former just does."""


@contextmanager
def replacing(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """A temporary file that replaces `path` when the block ends, and is deleted if the block fails.

    File and name are flushed to the disk before this returns, so that the inputs can then be deleted without loss,
    even if the power fails.

    Args:
        scratch: folder of the temporary file, on the same disk; by default that of `path`. Its name is random,
            since processes on two machines may have the same process id.

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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, document: Any, indent: int | None = 2) -> None:
    """Write a JSON document atomically, its texts `printable`.

    Raises:
        ValueError: a number is NaN or infinite.
        OutputError: the disk is full or the folder cannot be written to.
    """
    text = json.dumps(printable_json(document), indent=indent, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system in the block, which writes `path`, into one sentence.

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
    """Size and modification time of a file, which identify its version; empty if there is no file."""
    if not output.exists():
        return ""
    state = output.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, if it supports that (some network disks do not)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _reason(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        what = "The disk is full" if error.errno == errno.ENOSPC else "The disk quota is used up"
        return f"{what}: {path} was not written; free some space and run the same command again"
    what = error.strerror or str(error)
    return f"{path} cannot be written ({what}); check the folder and run the same command again"


_FULL = (errno.ENOSPC, errno.EDQUOT)
_AWAY = {
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENODEV,
    errno.ENXIO,
}
"""Errors of network disks and unplugged disks, for any file on them."""


def check_disk(error: BaseException, files: Sequence[Path]) -> None:
    """Raise if a scan could not be read because its disk is not available, or that of temporary files is full.

    "Input/output error" may mean either; it is the disk if the folder of the file cannot be listed any more.

    Args:
        error: raised by reading; the errors that caused it are checked as well.
        files: the files of the scan.

    Raises:
        SourceError: the disk is not available, or full.
    """
    for cause in _causes(error):
        if not isinstance(cause, OSError):
            continue
        if cause.errno in _FULL:  # reading writes nothing but temporary files
            raise SourceError(
                f"The disk of temporary files is full ({tempfile.gettempdir()}): free some space or set TMPDIR, and "
                "run the same command again; finished work is kept"
            ) from error
        broken = cause.errno == errno.EIO and not all(map(_is_listed, {file.parent for file in files}))
        if broken or cause.errno in _AWAY:
            raise _outage(cause.strerror or "") from error


def check_source(source: Path) -> None:
    """Raise if a source is empty or missing: an unmounted disk leaves an empty folder.

    Raises:
        SourceError: the source is empty or missing.
    """
    if not (source.is_file() or _is_listed(source)):
        raise _outage("the source no longer exists")


@contextmanager
def source_errors() -> Iterator[None]:
    """Turn errors of the file system in the block, which looks at scans, into one sentence.

    Raises:
        SourceError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise _outage(error.strerror or "") from error


def _outage(reason: str) -> SourceError:
    return SourceError(
        f"The disk with the scans does not respond ({reason or 'input/output error'}); finished work is kept: "
        "run the same command again when the disk is available"
    )


def _is_listed(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entries)
    except OSError:
        return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    # An error that is raised again from one of its consequences is its own cause.
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
