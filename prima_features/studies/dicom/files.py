"""Walking a tree, and telling DICOM from other files by their first bytes."""

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

START = 132
"""Bytes up to and with the `DICM` that a DICOM file starts with (PS3.10 section 7.1)."""


class Kind(Enum):
    """What a file is, by its first bytes."""

    DICOM = auto()
    BARE = auto()
    """A DICOM data set without preamble, as old archives wrote them."""
    GZIPPED = auto()
    """A DICOM file inside gzip."""
    OTHER = auto()


def walk(root: Path, on_unreadable: Callable[[], None]) -> Iterator[Path]:
    """Regular files below `root` in the order of their names, each once.

    Links are followed, but never in circles. `on_unreadable` is called for each folder that cannot be
    listed and each broken link.
    """
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=lambda _: on_unreadable()):
        if _seen_before(os.stat(folder), seen):  # noqa: PTH116
            subfolders.clear()
            continue
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            try:
                status = path.stat()
            except OSError:
                on_unreadable()
                continue
            # A link and what it points at are one file: git-annex trees hold every file twice. Pipes and
            # devices would hang the reader.
            if stat.S_ISREG(status.st_mode) and not _seen_before(status, seen):
                yield path


def _seen_before(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    identity = (status.st_dev, status.st_ino)
    known = identity in seen
    seen.add(identity)
    return known


def sniff(file: Path) -> Kind:
    """Kind of a file. Raises OSError where it cannot be opened."""
    with file.open("rb") as stream:
        return sniff_stream(stream)


def sniff_stream(stream: BinaryIO) -> Kind:
    """Kind of a file that is open, which is left at its start. Raises OSError where it cannot be read."""
    start = stream.read(START)
    stream.seek(0)
    if start[128:] == b"DICM":
        return Kind.DICOM
    if start[:2] == b"\x1f\x8b":
        return Kind.GZIPPED if _holds_dicom(stream) else Kind.OTHER
    return Kind.BARE if _starts_a_data_set(start) else Kind.OTHER


def _holds_dicom(gzipped: BinaryIO) -> bool:
    try:
        with gzip.open(gzipped) as stream:
            return stream.read(START)[128:] == b"DICM"
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    finally:
        gzipped.seek(0)


def _starts_a_data_set(start: bytes) -> bool:
    """Whether the first element is one of groups 0002 or 0008 that can come first, little-endian."""
    if len(start) < START or start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] != 0 or start[2] > 0x60:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") < 256
