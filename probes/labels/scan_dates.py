"""When each scan was made, as a table or a BIDS dataset tells it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.columns import first
from prima_features.probes.labels.ids import bare_session, normalise
from prima_features.probes.labels.sources import subject_sessions
from prima_features.probes.labels.tables import read_table
from prima_features.probes.labels.times import date_formats, to_ordinal

if TYPE_CHECKING:
    import pandas as pd

_DATE_COLUMNS = ("acq_time", "scan_date", "date", "acquisition_date", "study_date", "examdate")
_STUDY_COLUMNS = ("study", "participant_id", "subject", "subject_id", "id")


def scan_dates(
    table: Path | None, folders: tuple[Path, ...], date_format: str = ""
) -> dict[tuple[str, str], float]:
    """Scans' dates in days by (study or subject, session): from a table, else from a BIDS dataset's sessions.

    `date_format` is used for a column whose dates have two readings.

    Raises:
        UsageError: the table has no column of studies or of dates, or several dates for a study.
    """
    if table is not None:
        return _dates(read_table(table), str(table), date_format)
    dates: dict[tuple[str, str], float] = {}
    for folder in folders:
        nested = sorted(folder.glob("sub-*/sub-*_sessions.tsv"))
        sessions = [read_table(path) for path in (folder / "sessions.tsv",) if path.is_file()]
        for frame in sessions + ([subject_sessions(nested)] if nested else []):
            if "acq_time" in frame.columns:
                dates |= _dates(frame, "sessions.tsv", date_format)
    return dates


def _dates(table: pd.DataFrame, label: str, date_format: str) -> dict[tuple[str, str], float]:
    who, when = first(table.columns, _STUDY_COLUMNS), first(table.columns, _DATE_COLUMNS)
    if not who or not when:
        raise UsageError(
            f"{label} tells no scan dates: expected a column {' or '.join(_STUDY_COLUMNS[:2])} and a column "
            f"{' or '.join(_DATE_COLUMNS[:3])}, found {', '.join(table.columns[:12])}"
        )
    session = first(table.columns, ("session_id", "session", "ses"))
    sessions = table[session] if session else [""] * len(table)
    try:
        formats = date_formats(list(table[when]))
    except UsageError:
        if not date_format:
            raise
        formats = (date_format,)
    days = (to_ordinal(cell, formats) for cell in table[when])
    keys = zip(table[who].map(_bare), map(bare_session, sessions), strict=True)
    found: dict[tuple[str, str], float] = {}
    for number, (key, day) in enumerate(zip(keys, days, strict=True), 1):
        if day is not None and found.setdefault(key, day) != day:
            raise UsageError(
                f"{label} has several dates for the same scan (row {number} below the header, and one above it): give "
                "it a column session, or name studies"
            )
    return found


def _bare(text: str) -> str:
    return normalise(text, ("bare",))
