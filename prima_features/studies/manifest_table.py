"""Reading a manifest: the rows of a CSV or TSV table, checked."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.paths import expanded
from prima_features.files.safe import TABLE_BYTES, UnsafeFileError, read_bytes
from prima_features.studies.labels import bare

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_path", "filepath", "image", "image_path", "scan"),
    "subject": ("subject", "subject_id", "sub", "participant", "participant_id", "participant_label"),
    "session": ("session", "session_id", "ses", "session_label", "visit"),
    "series": ("series", "series_name", "series_description", "sequence", "name"),
    "description": ("description", "study_description"),
}
"""Columns and the spellings that are taken for them, in any case, with words parted by `_`, `-` or a space.
`path` and `subject` must be there. Further columns are passed over."""

_REQUIRED = ("path", "subject")
_EMPTY = ("", "n/a", "N/A")
"""BIDS writes n/a where there is no value."""


@dataclass(frozen=True)
class Row:
    """One row: an image and whose it is."""

    number: int
    """As a spreadsheet shows it: the header is row 1."""
    path: Path
    """Relative ones are taken from the manifest's folder."""
    written: str
    """The path as the table has it."""
    subject: str
    """Without `sub-`."""
    session: str
    """Without `ses-`, or empty."""
    series: str
    """The series' name, or empty."""
    description: str
    """The study's description, or empty."""


def read_rows(table: Path) -> list[Row]:
    """Rows of a manifest, in their order.

    The table is UTF-8, or UTF-16 or Windows-1252 as spreadsheets save it. Columns are parted by tabs,
    semicolons or commas, whichever the header holds most of.

    Raises:
        UsageError: it cannot be read, lacks a column, or has an empty path or subject or one path twice. The
            message names the row.
        NothingUsableError: it has no rows.
    """
    text = _decode(table)
    delimiter = max("\t;,", key=text.partition("\n")[0].count)
    try:
        cells = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UsageError(f"{table} is not a table of comma- or tab-separated values: {error}") from error
    if not cells:
        raise NothingUsableError(f"{table} is empty: a manifest has the columns {', '.join(COLUMNS)}")
    rows = list(_rows(table, _find_columns(table, cells[0]), cells[1:]))
    if not rows:
        raise NothingUsableError(f"{table} has a header and no rows")
    return rows


def _decode(table: Path) -> str:
    try:
        content = read_bytes(table, TABLE_BYTES)
    except OSError as error:
        raise UsageError(f"The manifest {table} cannot be read: {error.strerror}") from error
    except UnsafeFileError as error:
        raise UsageError(f"The manifest {table} {error}") from error
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UsageError(f"The manifest {table} is not text in UTF-8: save it as CSV in UTF-8")


def _find_columns(table: Path, header: Sequence[str]) -> dict[str, int]:
    """Where each known column is."""
    spelled = [re.sub(r"[\s_-]+", "_", name.strip()).lower() for name in header]
    columns: dict[str, int] = {}
    for column, spellings in COLUMNS.items():
        places = [i for i, name in enumerate(spelled) if name in spellings]
        if len(places) > 1:
            names = " and ".join(header[i] for i in places)
            raise UsageError(f"{table} has several columns for the {column}: {names}; keep one")
        if not places and column in _REQUIRED:
            raise UsageError(
                f"{table} has no column `{column}`; it has {', '.join(filter(None, header)) or 'none'}"
            )
        if places:
            columns[column] = places[0]
    return columns


def _rows(table: Path, columns: Mapping[str, int], cells: Sequence[Sequence[str]]) -> Iterator[Row]:
    first_rows: dict[str, int] = {}
    for number, row in enumerate(cells, start=2):
        if not any(map(str.strip, row)):
            continue
        values = {column: _value(row, place) for column, place in columns.items()}
        for column in _REQUIRED:
            if not values[column]:
                raise UsageError(f"{table}, row {number}: the {column} is empty")
        path = table.parent / expanded(Path(values["path"]))
        first = first_rows.setdefault(os.path.normpath(path), number)
        if first != number:
            raise UsageError(
                f"{table}, row {number}: its path is on row {first} already; list each image once"
            )
        yield Row(
            number=number,
            path=path,
            written=Path(values["path"]).as_posix(),
            subject=bare(values["subject"], "sub-"),
            session=bare(values.get("session", ""), "ses-"),
            series=values.get("series", ""),
            description=values.get("description", ""),
        )


def _value(row: Sequence[str], place: int) -> str:
    value = row[place].strip() if place < len(row) else ""
    return "" if value in _EMPTY else value
