"""Paths that somebody else wrote: in a table, in settings, or on the command line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_NAME = 255
"""Bytes of a file's name on most disks, if the disk does not say."""


def expanded(path: Path) -> Path:
    """The path with `~` and `~USER` replaced; as it is if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def home_folder() -> Path | None:
    """The user's home folder; None if there is none, as for an unknown user in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def resolved(path: Path) -> Path:
    """The path without links; as it is if its links lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def is_folder(path: Path) -> bool:
    """`Path.is_dir`, and False for a path that cannot be looked up: too long, forbidden, with a NUL."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """`Path.is_file`, and False for a path that cannot be looked up."""
    return os.path.isfile(path)  # noqa: PTH113


def longest_name(folder: Path) -> int:
    """Bytes that the name of a file may have in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return LONGEST_NAME


@contextmanager
def utf8_name(file: Path) -> Iterator[str]:
    """A name for libraries that take names in UTF-8 only: the path, or one through a link if it is not UTF-8.

    Old archives and unpacked ZIP files have names in Latin-1 or other encodings, which Python keeps as surrogates.
    Through the link, the file can be read, written, and found next to others of its folder, unless the file's own name
    is not UTF-8: then it can be read only.
    """
    if _is_utf8(str(file)):
        yield str(file)
        return
    with tempfile.TemporaryDirectory(prefix="prima-") as folder:
        if _is_utf8(file.name):
            link = Path(folder, "folder")
            link.symlink_to(file.absolute().parent)
            yield str(link / file.name)
            return
        endings = "".join(suffix for suffix in file.suffixes[-2:] if _is_utf8(suffix))
        link = Path(folder, f"image{endings}")
        link.symlink_to(file.absolute())
        yield str(link)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
