"""Findings of studies: from a table, such as one that `prima reports summarize` wrote, to lists of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.safe import load_json
from prima_features.files.tables import find_column, read_table
from prima_features.files.text import from_cell
from prima_features.reports.numbered import split_numbered
from prima_features.reports.records import clean_text

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "study": ("study", "study_id", "id", "study_instance_uid", "studyinstanceuid"),
    "findings": ("findings", "summary", "report", "text"),
    "abnormal": ("abnormal", "is_abnormal"),
    "split": ("split",),
}
"""Columns, and the spellings that are taken for them; `study` and `findings` must be there. A table that
`prima reports summarize` wrote is read as it is."""
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")
_SPLITS = ("train", "validation", "")


@dataclass(frozen=True)
class StudyReport:
    """Report and metadata of a study."""

    findings: tuple[str, ...]
    abnormal: bool = False
    split: str = ""


def read_findings(path: Path) -> dict[str, StudyReport]:
    """Reports by study id, from a CSV, TSV or Excel table (see `prima_features.files.tables.read_table`).

    A cell of findings is a JSON list of texts, a numbered list, one finding a line, or one text. Rows without
    any are left out.

    Raises:
        UsageError: the table cannot be read, lacks a column, or contains a study twice; with the row if there
            is one.
    """
    table = read_table(path, free_text=True)
    places = _find_columns(path, table.header)
    reports: dict[str, StudyReport] = {}
    for number, row in zip(table.numbers, table.rows, strict=True):
        cells = {name: from_cell(row[place]).strip() for name, place in places.items()}
        if cells["study"] in reports:
            # Not whose: in a table for DICOM, ids can name a patient, which nothing that is printed does.
            raise UsageError(f"{path}, row {number}: the study already has a report; remove one of them")
        if findings := split_findings(cells["findings"]):
            reports[cells["study"]] = _report(path, number, findings, cells)
    return reports


def split_findings(text: str) -> tuple[str, ...]:
    """The items of a cell; see `read_findings`."""
    text = text.strip()
    if text.startswith("["):
        try:
            items = load_json(text)
        except ValueError:
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return _clean(map(clean_text, items))
    return _clean(split_numbered(text) or text.splitlines())


def _find_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    places = {}
    for column, spellings in COLUMNS.items():
        if (place := find_column(path, header, spellings)) is not None:
            places[column] = place
        elif column in ("study", "findings"):
            raise UsageError(
                f"{path} has no column for the {column} (one of {', '.join(spellings)}); its columns are "
                f"{', '.join(header)}"
            )
    return places


def _report(path: Path, number: int, findings: tuple[str, ...], cells: Mapping[str, str]) -> StudyReport:
    abnormal, split = cells.get("abnormal", "").lower(), cells.get("split", "").lower()
    if abnormal not in _TRUE + _FALSE:
        raise UsageError(f"{path}, row {number}: abnormal must be 0 or 1, not {abnormal!r}")
    if split not in _SPLITS:
        raise UsageError(f"{path}, row {number}: split must be train or validation, not {split!r}")
    return StudyReport(findings, abnormal in _TRUE, split)


def _clean(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(item.strip() for item in items if item.strip())
