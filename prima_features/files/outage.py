"""Telling a bad scan from a disk that went away: the one is recorded, the other stops the run."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prima_features.errors import SourceError

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
"""What network disks and unplugged ones answer, whichever file is asked for."""


def check_disk(error: BaseException, files: Sequence[Path]) -> None:
    """Raise where a scan could not be read because its disk is away.

    "Input/output error" may mean either: it is the disk where the folder of the file cannot be listed any more.

    Args:
        error: what the reading raised; the errors that caused it are looked at as well.
        files: what was read.

    Raises:
        SourceError: the disk is away.
    """
    for cause in _causes(error):
        if not isinstance(cause, OSError):
            continue
        broken = cause.errno == errno.EIO and not all(map(_is_listed, {file.parent for file in files}))
        if broken or cause.errno in _AWAY:
            raise _outage(cause.strerror or "") from error


def check_source(source: Path) -> None:
    """Raise where nothing is left of a source: an unmounted disk leaves an empty folder.

    Raises:
        SourceError: it is gone.
    """
    if not (source.is_file() or _is_listed(source)):
        raise _outage("the source no longer exists")


@contextmanager
def source_errors() -> Iterator[None]:
    """Tell errors of the file system, met in the block while looking at scans, in one sentence.

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
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
