"""Reading a table of reports, and writing the table of summaries."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.disk import replacing
from prima_features.files.tables import find_column, read_table
from prima_features.files.targets import Maker, as_inputs, check_file, starts_with
from prima_features.files.text import from_cell, to_cell
from prima_features.reports.records import Report

logger = logging.getLogger(__name__)

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
    """Reports of a TSV, CSV or Excel table (see `files.tables.read_table`), in their order.

    Args:
        id_column: its name; the first of `ID_COLUMNS` that is there if empty.
        report_column: its name; the first of `REPORT_COLUMNS` that is there if empty.

    Raises:
        UsageError: the table cannot be read, lacks a column, has no rows, or a study's id is empty or twice there.
    """
    table = read_table(path, free_text=True)
    for warning in table.warnings:
        logger.warning("%s", warning)
    header = table.header
    places = [
        _find(path, header, id_column, ID_COLUMNS, "--id-column"),
        _find(path, header, report_column, REPORT_COLUMNS, "--report-column"),
    ]
    reports: dict[str, Report] = {}
    for number, row in zip(table.numbers, table.rows, strict=True):
        study, text = (from_cell(row[place]) for place in places)
        if not (study := study.strip()):
            raise UsageError(f"{path}, row {number}: the column {header[places[0]]} is empty")
        if study in reports:
            raise UsageError(
                f"{path}, row {number}: {study} is already in the table; keep one report per study"
            )
        reports[study] = Report(study, text.strip())
    if not reports:
        raise UsageError(f"{path} has a header and no rows: expected one row per report")
    return list(reports.values())


def _find(path: Path, header: Sequence[str], named: str, guesses: Sequence[str], option: str) -> int:
    """Place of a column: the one that was named, or the first guess that is there."""
    place = find_column(path, header, (named,) if named else guesses)
    if place is not None:
        return place
    what = f"no column {named}" if named else f"none of the columns {', '.join(guesses)}"
    raise UsageError(f"{path} has {what}; give one of its columns ({', '.join(header)}) with {option}")


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
    """Write a tab-separated table atomically.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([to_cell(cell, keep="\n") for cell in row] for row in [columns, *rows])
