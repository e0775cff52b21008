"""Reports: from a table to lists of findings, and from findings to the text that the text tower reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.reports.numbered import numbered, split_numbered

if TYPE_CHECKING:
    import pandas as pd

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
class Report:
    """What is known of a study beside its images."""

    findings: tuple[str, ...]
    abnormal: bool = False
    split: str = ""


def read_reports(path: Path) -> dict[str, Report]:
    """Reports by study id, from a CSV or TSV table in UTF-8.

    A cell of findings is a JSON list of texts, a numbered list, one finding a line, or one text. Rows without
    any are left out.

    Raises:
        UsageError: the table cannot be read, lacks a column, or names a study twice; with the row where there
            is one.
    """
    table = read_table(path)
    columns = _find_columns(path, list(table.columns))
    reports: dict[str, Report] = {}
    for number, row in enumerate(table.to_dict("records"), start=2):
        cells = {name: str(row[column]).strip() for name, column in columns.items()}
        if cells["study"] in reports:
            raise UsageError(f"{path}, row {number}: a second report of {cells['study']}; keep one")
        if findings := split_findings(cells["findings"]):
            reports[cells["study"]] = _report(path, number, findings, cells)
    return reports


def split_findings(text: str) -> tuple[str, ...]:
    """The items of a cell; see `read_reports`."""
    text = text.strip()
    if text.startswith("["):
        try:
            items = json.loads(text)
        except ValueError:
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return _clean(items)
    return _clean(split_numbered(text) or text.splitlines())


def fitting_text(findings: Sequence[str], limit: int, count: Callable[[str], int]) -> str:
    """The text of as many findings as fit, dropped from the end; of the first at least.

    Args:
        findings: at least one.
        limit: tokens that the text may have.
        count: tokens of a text.
    """
    for n in range(len(findings), 1, -1):
        if count(text := numbered(findings[:n])) <= limit:
            return text
    return numbered(findings[:1])


def read_table(path: Path) -> pd.DataFrame:
    """A CSV or TSV table in UTF-8 as text, empty where a cell is.

    Raises:
        UsageError: it cannot be read as one.
    """
    import pandas as pd

    try:
        header = path.open(encoding="utf-8-sig").readline()
        separator = max("\t;,", key=header.count)
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # pandas' and Unicode's errors are such
        raise UsageError(f"{path} is not a CSV or TSV table in UTF-8: {error}") from error


def _find_columns(path: Path, header: Sequence[str]) -> dict[str, str]:
    plain = {re.sub(r"[\s-]+", "_", name.strip()).lower(): name for name in header}
    columns = {}
    for column, spellings in COLUMNS.items():
        if found := [plain[spelling] for spelling in spellings if spelling in plain]:
            columns[column] = found[0]
        elif column in ("study", "findings"):
            raise UsageError(
                f"{path} has no column for the {column} (such as {', '.join(spellings)}); it has "
                f"{', '.join(header)}"
            )
    return columns


def _report(path: Path, number: int, findings: tuple[str, ...], cells: Mapping[str, str]) -> Report:
    abnormal, split = cells.get("abnormal", "").lower(), cells.get("split", "").lower()
    if abnormal not in _TRUE + _FALSE:
        raise UsageError(f"{path}, row {number}: abnormal is 0 or 1, not {abnormal!r}")
    if split not in _SPLITS:
        raise UsageError(f"{path}, row {number}: split is train or validation, not {split!r}")
    return Report(findings, abnormal in _TRUE, split)


def _clean(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(item.strip() for item in items if item.strip())
