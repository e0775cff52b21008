"""The content of image files: whether it is available, decompression, and copies of one image in a study.

Datasets are often cloned without their large files. Copies are images such as `T1.nii` next to `T1.nii.gz`.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

from prima_features.studies.study import Failure, not_embedded

_POINTERS = {
    b"/annex/objects/": "fetch it with `datalad get` or `git annex get`",
    b"version https://git-lfs": "fetch it with `git lfs pull`",
}
"""First bytes of a placeholder for a file's content (git-annex's unlocked files, Git LFS), and how to fetch it."""

_LONGEST_POINTER = 1024

EMPTY = "the file is empty"


def find_absence(path: Path, study: str, what: str) -> Failure | None:
    """Why a file cannot be read: it is missing, empty, a broken link, a placeholder or forbidden; otherwise None.

    Args:
        path: the file.
        study: id of its study, for the result.
        what: how to name the file in the result.
    """

    def defect(reason: str, hint: str = "") -> Failure:
        return not_embedded(study, what, reason, hint, defect=True)

    try:
        start, size = b"", path.stat().st_size
        if size == 0:
            return defect(EMPTY, "fetch it again: an empty file is often a failed download")
        if size <= _LONGEST_POINTER:
            with path.open("rb") as file:
                start = file.read(32)
    except FileNotFoundError:
        if not path.is_symlink():
            return defect("the file does not exist")
        hint = _POINTERS[b"/annex/objects/"]
        return defect("its content has not been fetched: the file is a broken link", hint)
    except OSError as error:
        return defect(f"it cannot be read: {error.strerror or 'input/output error'}")
    for prefix, hint in _POINTERS.items():
        if start.startswith(prefix):
            return defect("its content has not been fetched: the file is a placeholder", hint)
    return None


# ---- decompression ----


@contextmanager
def inflated(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; its content is decompressed if it starts like gzip, whatever its name is.

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
    """The exceptions that damaged compressed content raises."""
    from isal import igzip, isal_zlib

    damaged: Any = isal_zlib.error  # its stub declares an instance
    # OverflowError: of a gzip header with an endless name or comment.
    return EOFError, zlib.error, damaged, igzip.BadGzipFile, OverflowError


# ---- copies ----

_PIECE = 1 << 20


@dataclass(frozen=True)
class Copy:
    """An image that is left out because another image is used instead."""

    of: Path
    """The image that is used."""
    same: bool
    """Whether their decompressed content is equal; if not, only the name is."""


def may_have_copies(paths: Sequence[Path]) -> bool:
    """False if sizes exclude copies: all files are compressed, and no two have the same size."""
    sizes = set()
    for path in map(os.fspath, paths):
        if not path.lower().endswith(".gz"):
            return True
        try:
            sizes.add(os.stat(path).st_size)  # noqa: PTH116
        except OSError:
            return True
    return len(sizes) < len(paths)


def find_same_names(paths: Sequence[Path]) -> dict[Path, Copy]:
    """Images to leave out because another one of `paths` has the same name.

    Of `T1.nii` and `T1.nii.gz` in one folder, the compressed one is used, unless it is empty or missing.
    """
    copies: dict[Path, Copy] = {}
    by_name: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in paths:
        by_name[path.parent, path.name.lower().removesuffix(".gz")].append(path)
    for group in by_name.values():
        if len(group) > 1:
            group.sort(key=lambda path: (find_absence(path, "", "") is not None, not _is_gzip(path)))
            used, *others = group
            copies |= {path: Copy(used, _same_content(path, used)) for path in others}
    return copies


def find_copies(paths: Sequence[Path], inflated: bool = True) -> dict[Path, Copy]:
    """Images to leave out because another one of `paths` has the same name (`find_same_names`) or content.

    Of images with the same content and other names, the first one is used.

    Args:
        paths: images of one study, in order.
        inflated: recognise files that are equal only after decompression, for which the end of each file is read.
    """
    copies = find_same_names(paths)
    by_size: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        if path not in copies and (size := _size(path, inflated)) is not None:
            by_size[size].append(path)
    for group in by_size.values():
        while len(group) > 1:
            used, *group = group
            same = [path for path in group if _may_be_same(path, used) and _same_content(path, used)]
            copies |= {path: Copy(used, True) for path in same}
            group = [path for path in group if path not in same]
    # The named image must be one that is used.
    return {
        path: Copy(copies[copy.of].of, copy.same) if copy.of in copies else copy
        for path, copy in copies.items()
    }


def left_out_copy(study: str, what: str, used: str, same: bool) -> Failure:
    """The row for an image that is a copy of another one in its study, or has the same name."""
    if same:
        return not_embedded(study, what, f"a copy of {used}, which is embedded once")
    reason = f"it has the same name as {used} but different content; only {used} is embedded"
    return not_embedded(study, what, reason, "remove one of the two, or rename it", defect=True)


def _size(path: Path, inflated: bool) -> Hashable | None:
    """A value that two files with the same content share; None for empty and unreadable files."""
    try:
        if not (size := path.stat().st_size):
            return None
        if not _is_gzip(path):
            return size if inflated else (False, size)
        return _trailer(path)[1] if inflated else (True, size)
    except OSError:
        return None


def _may_be_same(a: Path, b: Path) -> bool:
    """False if checksums show that two files differ, without decompressing them."""
    try:
        return not (_is_gzip(a) and _is_gzip(b)) or _trailer(a) == _trailer(b)
    except OSError:
        return False


def _trailer(path: Path) -> tuple[bytes, int]:
    """CRC-32 and size modulo 2^32 of the decompressed content of a gzip file (RFC 1952, section 2.3.1)."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        end = file.read(8)
    return end[:4], int.from_bytes(end[4:], "little")


def _same_content(a: Path, b: Path) -> bool:
    unreadable: tuple[type[Exception], ...] = (OSError, *inflation_errors())
    try:
        return all(one == other for one, other in zip_longest(_content(a), _content(b)))
    except unreadable:
        return False


def _content(path: Path) -> Iterator[bytes]:
    """The decompressed file, in pieces of one size."""
    with inflated(path) as stream:
        while piece := stream.read(_PIECE):
            while len(piece) < _PIECE and (more := stream.read(_PIECE - len(piece))):
                piece += more
            yield piece


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith((".gz", ".mgz"))
