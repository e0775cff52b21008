"""Embeddings files and label tables to join, made up and small.

The old Excel format (.xls), for which no writer is maintained any more, is written here: BIFF5 records of one
sheet, in a compound file ([MS-CFB]): header, a sector of allocation table, a sector of directory, the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]
Workbook = Callable[[Sequence[Sequence[str | float]]], bytes]

_SECTOR = 512
_LEAST_STREAM = 4096
"""Shorter streams would have to go to the mini stream."""
_END, _TABLE, _FREE = 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF


def _study(spec: str) -> EmbeddedStudy:
    """`sub-X`, `sub-X_ses-Y`, or `name<path` for a study found by its path."""
    name, _, source = spec.partition("<")
    subject, _, session = name.removeprefix("sub-").partition("_ses-")
    return EmbeddedStudy(
        id=name,
        subject=subject,
        session=session,
        description="MRI BRAIN",
        source=source,
        embedding=np.zeros(4, np.float32),
        clip=np.ones(2, np.float32),
        series=(),
    )


@pytest.fixture
def studies(tmp_path: Path) -> Studies:
    """Writes an embeddings file of the named studies and opens it."""

    def write(*specs: str, name: str = "embeddings.h5") -> Embeddings:
        path = tmp_path / name
        write_embeddings(path, map(_study, specs), Provenance("tiny", "1", "0" * 64, {}))
        return Embeddings(path)

    return write


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Writes lines of text as a label table, in the encoding given."""

    def write(name: str, lines: Iterable[str], encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write


@pytest.fixture
def old_workbook() -> Workbook:
    """Gives the bytes of an .xls file with one sheet of these rows."""
    return _old_workbook


def _old_workbook(rows: Sequence[Sequence[str | float]]) -> bytes:
    """The bytes of a workbook with one sheet."""
    sheet = _record(0x0809, struct.pack("<HH4x", 0x0500, 0x0010))
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            place = struct.pack("<HHH", r, c, 0)
            if isinstance(cell, str):
                text = cell.encode("cp1252")
                sheet += _record(0x0204, place + struct.pack("<H", len(text)) + text)
            else:
                sheet += _record(0x0203, place + struct.pack("<d", cell))
    book = _record(0x0809, struct.pack("<HH4x", 0x0500, 0x0005))
    name, end = b"Sheet1", _record(0x000A, b"")
    bound = struct.pack("<IHB", len(book) + 4 + 7 + len(name) + len(end), 0, len(name)) + name
    return _compound(book + _record(0x0085, bound) + end + sheet + end)


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def _compound(stream: bytes) -> bytes:
    stream = stream.ljust(_LEAST_STREAM, b"\0")
    sectors = -(-len(stream) // _SECTOR)
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6,
        0, 1, 1, 0, _LEAST_STREAM, _END, 0, _END, 0,
    )  # fmt: skip
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    chain = [_TABLE, _END, *range(3, 2 + sectors), _END]
    table = struct.pack("<128I", *chain, *[_FREE] * (128 - len(chain)))
    directory = _entry("Root Entry", 5, 1, _END, 0) + _entry("Book", 2, _FREE, 2, len(stream))
    body = stream.ljust(sectors * _SECTOR, b"\0")
    return header + table + directory.ljust(_SECTOR, b"\0") + body


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    return struct.pack("<64sHBBIII36xIII", text, len(text), kind, 1, _FREE, _FREE, child, start, size, 0)
