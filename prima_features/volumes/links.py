"""File names for libraries that only take UTF-8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def utf8_name(file: Path) -> Iterator[str]:
    """A name under which SimpleITK can open a file: its path, or a link to it if that is not UTF-8.

    Old archives and unpacked ZIP files have names in Latin-1 or other encodings, which Python keeps as surrogates.
    """
    if _is_utf8(str(file)):
        yield str(file)
        return
    with tempfile.TemporaryDirectory(prefix="prima-") as folder:
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
