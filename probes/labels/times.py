"""When a label was taken and when a scan was: a date, a day since entry, or a visit's code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find, first
from prima_features.probes.labels.values import is_missing, number

if TYPE_CHECKING:
    import pandas as pd

DAYS_PER_MONTH = 30.4375
DAYS_PER_YEAR = 365.25
_SLASHED = ("%m/%d/%Y", "%d/%m/%Y")
_CLEAR = ("%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%d%b%Y")
"""Formats with one reading only; those with names of months are those of SAS and SPSS."""


@dataclass(frozen=True)
class Time:
    """A time on up to three axes that cannot be compared with each other. None where it is unknown."""

    date: float | None = None
    """Days, as `date.toordinal` counts them."""
    day: float | None = None
    """Days since the subject's entry."""
    visit: float | None = None
    """Days since entry by the visit's code, which is nominal: `m06` is half a year."""

    def since(self, other: Time) -> float | None:
        """Days from the other time to this one, on the best axis that both are on, if there is one."""
        for axis in ("date", "day", "visit"):
            mine, theirs = getattr(self, axis), getattr(other, axis)
            if mine is not None and theirs is not None:
                return mine - theirs
        return None

    @property
    def is_known(self) -> bool:
        """Whether it is on any axis."""
        return self != Time()


def label_times(table: pd.DataFrame, cohort: Cohort) -> tuple[list[Time], tuple[str, ...]]:
    """When each row's label was taken, by the cohort's columns of dates, days and visit codes; and warnings.

    Raises:
        UsageError: no cell of the column of dates is understood, or its dates have two readings.
    """
    column = find(table.columns, cohort.date)
    dates = _cells(table, column)
    formats = date_formats(dates, cohort.date_format)
    days = _cells(table, find(table.columns, cohort.day))
    visits = _cells(table, first(table.columns, cohort.visit))
    warnings: tuple[str, ...] = ()
    if _are_days(dates):
        dates, days = [""] * len(table), dates
    else:
        warnings = _unread(column, dates, formats)
    times = [
        Time(
            to_ordinal(cell, formats),
            None if is_missing(day, cohort.missing) else number(day),
            visit_days(visit),
        )
        for cell, day, visit in zip(dates, days, visits, strict=True)
    ]
    return times, warnings


def _unread(column: str, cells: Sequence[str], formats: Sequence[str]) -> tuple[str, ...]:
    said = [cell for cell in cells if not is_missing(cell)]
    unread = [cell for cell in said if to_ordinal(cell, formats) is None]
    if not unread:
        return ()
    if len(unread) == len(said):
        raise UsageError(
            f"{column} has no dates that are understood, but such as {unread[0]!r}: give --date-format, or write "
            "them as in 2006-04-18"
        )
    return (
        f"{len(unread)} cells of {column} are no dates (such as {unread[0]!r}), and their rows count as undated",
    )


def _cells(table: pd.DataFrame, column: str) -> list[str]:
    return list(table[column]) if column else [""] * len(table)


def _are_days(cells: Sequence[str]) -> bool:
    """Whether a column of times holds days since entry: numbers too small to be dates such as 20060418."""
    numbers = [number(cell) for cell in cells if not is_missing(cell)]
    return bool(numbers) and all(value is not None and abs(value) < 1e6 for value in numbers)


def visit_days(text: str) -> float | None:
    """Nominal days since entry of a visit's or session's code: `bl`, `sc` and `M000` 0, `m06` half a year."""
    text = re.sub(r"^ses-", "", text.strip().casefold())
    if text in ("bl", "sc", "scmri", "init", "baseline"):
        return 0.0
    match = re.fullmatch(r"m(\d{1,3})", text)
    return int(match[1]) * DAYS_PER_MONTH if match else None


def to_ordinal(text: str, formats: Sequence[str] = ()) -> float | None:
    """A date in days, in one of the formats or ISO 8601; the time of day does not count. None if it is none."""
    text = text.strip()
    for form in formats:
        for part in dict.fromkeys((text, re.split(r"[T ]", text)[0])):
            with suppress(ValueError):
                return datetime.strptime(part, form).toordinal()
    with suppress(ValueError):
        return date.fromisoformat(re.split(r"[T ]", text)[0]).toordinal()
    return None


def date_formats(cells: Sequence[str], given: str = "") -> tuple[str, ...]:
    """How the dates of a column are written if not in ISO 8601: as given, else the month or the day first.

    Raises:
        UsageError: both would fit, with different results.
    """
    if given:
        return (given,)
    slashed = [cell for cell in cells if re.match(r"\d{1,2}/\d{1,2}/\d{4}", cell)]
    fitting = [form for form in _SLASHED if slashed and all(to_ordinal(cell, (form,)) for cell in slashed)]
    if len(fitting) == 2 and any(to_ordinal(c, fitting[:1]) != to_ordinal(c, fitting[1:]) for c in slashed):
        raise UsageError(
            f"dates such as {slashed[0]} can have the month or the day first: "
            "say which with --date-format, %m/%d/%Y or %d/%m/%Y"
        )
    return (*fitting[:1], *_CLEAR)
