"""Reading a table of reports, and writing the table of summaries."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from prima_features.errors import OutputError, UsageError
from prima_features.files.excel import excel_rows, is_excel
from prima_features.files.safe import TABLE_BYTES, UnsafeFileError, read_bytes
from prima_features.files.targets import Maker, as_inputs, check_file, starts_with
from prima_features.files.text import from_cell, to_cell
from prima_features.reports.records import Report

ID_COLUMNS = (
    "study_id", "study", "exam_id", "report_id", "note_id", "session_id", "participant_id", "subject_id", "id",
)  # fmt: skip
"""Columns taken for the study's id, the first that is there; any case, words parted by `_`, `-` or a space.
Accession numbers and patients' ids are never guessed: who wants them in the output has to name them."""
REPORT_COLUMNS = (
    "report", "report_text", "radiology_report", "full_report", "text", "note", "note_text", "narrative",
)  # fmt: skip
"""Columns taken for the report."""
HEADER = ("study_id", "summary", "method")
"""The first columns of a table of summaries."""


def read_reports(path: Path, id_column: str = "", report_column: str = "") -> list[Report]:
    """Reports of a table that `read_rows` reads, in their order.

    Args:
        id_column: its name; the first of `ID_COLUMNS` that is there if empty.
        report_column: its name; the first of `REPORT_COLUMNS` that is there if empty.

    Raises:
        UsageError: the table cannot be read, lacks a column, has no rows, or a study's id is empty or twice there.
    """
    header, *rows = read_rows(path)
    places = [
        _find(path, header, id_column, ID_COLUMNS, "--id-column"),
        _find(path, header, report_column, REPORT_COLUMNS, "--report-column"),
    ]
    reports: dict[str, Report] = {}
    for number, row in enumerate(rows, start=2):
        study, text = (row[place] for place in places)
        if not (study := study.strip()):
            raise UsageError(f"{path}, row {number}: the column {header[places[0]]} is empty")
        if study in reports:
            raise UsageError(f"{path}, row {number}: {study} is there already; keep one report a study")
        reports[study] = Report(study, text.strip())
    if not reports:
        raise UsageError(f"{path} has a header and no rows: expected one row a report")
    return list(reports.values())


def read_rows(path: Path) -> list[list[str]]:
    """The cells of a TSV, CSV or Excel table (first sheet) as text: the header, then the rows, each as wide.

    Text is UTF-8, UTF-16 with a byte order mark, or cp1252; columns are parted by tabs, commas or semicolons,
    whichever the header holds most of. Cells with line breaks stand in quotes, as spreadsheets write them. Cells
    left off at a row's end are empty, and rows without any text are passed over.

    Raises:
        UsageError: the table cannot be read, has no header, or has a row wider than it.
    """
    try:
        content = read_bytes(path, TABLE_BYTES)
    except OSError as error:
        raise UsageError(f"the table {path} cannot be read: {error.strerror}") from error
    except UnsafeFileError as error:
        raise UsageError(f"the table {path} {error}") from error
    rows = excel_rows(path, content)[0] if is_excel(content) else _text_rows(path, content)
    rows = [row for row in rows if any(map(str.strip, row))]
    if not rows:
        raise UsageError(f"{path} is empty: expected a table with a header")
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if any(row[width:]):
            raise UsageError(
                f"{path}, row {number} has more cells than the header: put cells with commas, semicolons or tabs "
                "in quotes"
            )
    return [row[:width] + [""] * (width - len(row)) for row in rows]


def find_column(path: Path, header: Sequence[str], names: Iterable[str]) -> int | None:
    """Place of the first of some names that a header has; any case, words parted by `_`, `-` or a space.

    Raises:
        UsageError: the header has that name more than once.
    """
    spelled = [_spelling(cell) for cell in header]
    for name in map(_spelling, names):
        if spelled.count(name) > 1:
            raise UsageError(f"{path} has more than one column {name}: rename or remove one of them")
        if name in spelled:
            return spelled.index(name)
    return None


def _spelling(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).lower()


def _text_rows(path: Path, content: bytes) -> list[list[str]]:
    text = _decode(path, content)
    header = next((line for line in text.splitlines() if line.strip()), "")
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=max("\t,;", key=header.count), strict=True)
        return [list(map(from_cell, row)) for row in rows]
    except csv.Error as error:
        raise UsageError(f"{path} cannot be read as a table ({error}): check its quotes") from error


def _decode(path: Path, content: bytes) -> str:
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UsageError(f"{path} is text in neither UTF-8 nor cp1252: save it as UTF-8")


def _find(path: Path, header: Sequence[str], named: str, guesses: Sequence[str], option: str) -> int:
    """Place of a column: the one that was named, or the first guess that is there."""
    place = find_column(path, header, (named,) if named else guesses)
    if place is not None:
        return place
    what = f"no column {named}" if named else f"none of the columns {', '.join(guesses)}"
    raise UsageError(f"{path} has {what}; name one of its columns ({', '.join(header)}) with {option}")


def check_output(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check that a table of summaries may be written.

    Raises:
        UsageError: see `files.targets.check_file`.
    """
    is_own = starts_with("\t".join(HEADER).encode())
    check_file(
        path, Maker("prima reports summarize", as_inputs(inputs), is_own, "a table of summaries"), force
    )


def write_summaries(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a tab-separated table: whole, by renaming it into place, or not at all.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name[:32]}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows([to_cell(cell, keep="\n") for cell in row] for row in [columns, *rows])
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
