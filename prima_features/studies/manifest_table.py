"""Reading a manifest: the rows of a table, checked."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.paths import expanded
from prima_features.files.tables import EmptyTableError, Table, read_table, spelling
from prima_features.studies.labels import bare

logger = logging.getLogger(__name__)

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
    """As a spreadsheet counts: the header is row 1."""
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

    TSV, CSV and Excel are read (see `files.tables.read_table`).

    Raises:
        UsageError: it cannot be read, lacks a column, or has an empty path or subject or one path twice. The
            message names the row.
        NothingUsableError: it has no rows.
    """
    try:
        cells = read_table(table, "The manifest")
    except EmptyTableError as error:
        raise NothingUsableError(
            f"{table} is empty: a manifest has the columns {', '.join(COLUMNS)}"
        ) from error
    for warning in cells.warnings:
        logger.warning("%s", warning)
    if any("\0" in cell for row in cells.rows for cell in row):
        raise UsageError(f"The manifest {table} is not text in UTF-8: save it as CSV in UTF-8")
    rows = list(_rows(table, _find_columns(table, cells.header), cells))
    if not rows:
        raise NothingUsableError(f"{table} has a header and no rows")
    return rows


def _find_columns(table: Path, header: Sequence[str]) -> dict[str, int]:
    """Where each known column is."""
    spelled = [spelling(name) for name in header]
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


def _rows(table: Path, columns: Mapping[str, int], cells: Table) -> Iterator[Row]:
    first_rows: dict[str, int] = {}
    for number, row in zip(cells.numbers, cells.rows, strict=True):
        values = {column: _value(row, place) for column, place in columns.items()}
        for column in _REQUIRED:
            if not values[column]:
                raise UsageError(f"{table}, row {number}: the {column} is empty")
        path = table.parent / expanded(Path(values["path"]))
        first = first_rows.setdefault(os.path.normpath(path), number)
        if first != number:
            raise UsageError(
                f"{table}, row {number}: the path is already in row {first}; list each image once"
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
    value = row[place].strip()
    return "" if value in _EMPTY else value
