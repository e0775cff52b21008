"""Writing pages."""

from __future__ import annotations

import re
from pathlib import Path

from prima_features.files.disk import write_bytes
from prima_features.files.text import printable

_SURROGATES = re.compile("[\ud800-\udfff]+")


def write_html(path: Path, html: str) -> None:
    """Write a page atomically, as UTF-8.

    Lone surrogates, which stand for the bytes of file names that are not UTF-8, are escaped as in `files.text`.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
    """
    write_bytes(path, _SURROGATES.sub(lambda found: printable(found[0]), html).encode())
