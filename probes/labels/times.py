"""When a label was taken and a scan was made (a date, a day since entry, or a visit's code), and the age then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from math import isnan, nan
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.tables import find, first
from prima_features.probes.labels.values import code, is_missing, is_top_coded, number

if TYPE_CHECKING:
    import pandas as pd


DAYS_PER_MONTH = 30.4375
DAYS_PER_YEAR = 365.25
_SLASHED = ("%m/%d/%Y", "%d/%m/%Y")
_CLEAR = ("%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%d%b%Y")
"""Formats with one reading only; those with names of months are those of SAS and SPSS."""


@dataclass(frozen=True)
class Time:
    """A time on up to three axes that cannot be compared with each other. None if it is unknown."""

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

    def filled(self, other: Time) -> Time:
        """This time, with the other's value on each axis that this one is not on."""
        return Time(
            other.date if self.date is None else self.date,
            other.day if self.day is None else self.day,
            other.visit if self.visit is None else self.visit,
        )

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
            f"no date in {column} can be read (found, for example, {unread[0]!r}): give --date-format, or write dates "
            "like 2006-04-18"
        )
    return (
        f"{len(unread)} cells of {column} are not dates (such as {unread[0]!r}); their rows count as undated",
    )


def _cells(table: pd.DataFrame, column: str) -> list[str]:
    return list(table[column]) if column else [""] * len(table)


def _are_days(cells: Sequence[str]) -> bool:
    """Whether a column of times contains days since entry: numbers too small to be dates such as 20060418."""
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
            f"dates such as {slashed[0]} are ambiguous (month or day first): give --date-format %m/%d/%Y or %d/%m/%Y"
        )
    return (*fitting[:1], *_CLEAR)


OLDEST = 125.0
"""Years. A greater number is a code of a missing age, or an age in months or days."""
_PER_YEAR = {"y": 1.0, "m": 12.0, "w": DAYS_PER_YEAR / 7, "d": DAYS_PER_YEAR}
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(y|m|w|d)(?:ear|o|onth|k|eek|ay|r)?s?\.?", re.IGNORECASE)
"""A number with its unit: `30 years`, `18 mo`, and DICOM's `030Y`."""
_UNITS = {"m": ("month", "months", "mo", "mos", "mths", "mth"), "w": ("week", "weeks"), "d": ("day", "days")}
_WORDS = {"m": "months", "w": "weeks", "d": "days"}


def ages(table: pd.DataFrame, cohort: Cohort, times: Sequence[Time]) -> tuple[list[float], tuple[str, ...]]:
    """Age in years at each row's visit, NaN if it cannot be known, with warnings in a sentence each.

    A column whose name gives another unit (`age_months`) is converted. Negative ages and those above `OLDEST`
    count as missing.

    Raises:
        UsageError: most of the ages are above `OLDEST`.
    """
    column = first(table.columns, cohort.age)
    if column:
        cells = ["" if is_missing(cell, cohort.missing) else cell for cell in table[column]]
        years, warnings = _years(column, cells)
        if cohort.age_at == "baseline":
            at_entry = years
            since = _years_since(table, cohort, times)
            years = [age + passed for age, passed in zip(years, since, strict=True)]
            warnings += _unknown_visits(column, at_entry, years)
        return years, warnings
    if birth := find(table.columns, cohort.birth):
        years = [_since_birth(cell, time) for cell, time in zip(table[birth], times, strict=True)]
        return years, (
            f"ages are computed from {birth}, which may be only a year, so they are accurate to about a year",
        )
    return [nan] * len(table), ()


def age(text: str, unit: str = "y") -> float | None:
    """An age in years; None if the cell is none.

    Args:
        text: a number, or one with its unit such as `030Y` and `18 months`.
        unit: `y`, `m`, `w` or `d`: of a plain number.
    """
    value = number(text)
    if value is None and (match := _AGE.fullmatch(text.strip())):
        value, unit = float(match[1].replace(",", ".")), match[2].lower()
    return None if value is None else value / _PER_YEAR[unit]


def unit_of(column: str) -> str:
    """The unit that a column's name gives its ages: `m`, `w` or `d`, else `y`."""
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
    return next((unit for unit, names in _UNITS.items() if set(names) & set(words)), "y")


def _years(column: str, cells: Sequence[str]) -> tuple[list[float], tuple[str, ...]]:
    unit = unit_of(column)
    read = [age(cell, unit) for cell in cells]
    known = [value for value in read if value is not None]
    warnings = []
    if unit != "y" and known:
        warnings.append(f"ages in {column} are read as {_WORDS[unit]} and converted to years")
    if sum(value > OLDEST for value in known) > len(known) / 2:
        raise UsageError(
            f"{column} has ages such as {next(c for c in cells if c)}, which cannot be years: if they are months or "
            f"days, rename the column to {column}_months or {column}_days; or name another with --age-column"
        )
    # A single 0 among adults is a code; among infants it is an age.
    adults = sorted(value for value in known if value > 0)[:1] > [10.0]
    bad = [value is not None and (value < 0 or value > OLDEST or (value == 0 and adults)) for value in read]
    if any(bad):
        example = next(cell for cell, is_bad in zip(cells, bad, strict=True) if is_bad)
        warnings.append(
            f"{sum(bad)} ages in {column} are impossible (such as {example}) and count as missing"
        )
    top = [cell for cell in cells if is_top_coded(cell)]
    if top:
        warnings.append(f"{len(top)} ages in {column} are written like {top[0]} and read as that number")
    unread = [cell for cell, value in zip(cells, read, strict=True) if cell and value is None]
    if unread:
        warnings.append(
            f"{len(unread)} cells of {column} are not ages (such as {unread[0]!r}) and count as missing"
        )
    nines = sum(code(cell) == "99" for cell in cells)
    others = [value for value in known if value != 99]
    if nines > 1 and unit == "y" and (not others or max(others) < 90):
        warnings.append(
            f"{nines} ages in {column} are 99, far above the others: if 99 means missing, give --missing-values=99"
        )
    years = [nan if value is None or is_bad else value for value, is_bad in zip(read, bad, strict=True)]
    return years, tuple(warnings)


def _years_since(table: pd.DataFrame, cohort: Cohort, times: Sequence[Time]) -> list[float]:
    column = find(table.columns, cohort.years_since_baseline)
    said = [number(cell) for cell in table[column]] if column else [None] * len(table)
    return [
        years if years is not None else _entry_years(time) for years, time in zip(said, times, strict=True)
    ]


def _entry_years(time: Time) -> float:
    days = time.day if time.day is not None else time.visit
    return nan if days is None else days / DAYS_PER_YEAR


def _unknown_visits(column: str, at_entry: Sequence[float], years: Sequence[float]) -> tuple[str, ...]:
    lost = sum(not isnan(entry) and isnan(now) for entry, now in zip(at_entry, years, strict=True))
    if not lost:
        return ()
    return (
        f"{column} is the age at the first visit, and the time since then is unknown for {lost} rows: their age is "
        "missing",
    )


def _since_birth(cell: str, time: Time) -> float:
    year = cell.strip().strip("/")
    if time.date is None:
        return nan
    # The middle of the year errs least if only the year of birth is given.
    born = to_ordinal(f"{year}-07-01" if year.isdigit() and len(year) == 4 else cell, ("%m/%d/%Y",))
    return nan if born is None else (time.date - born) / DAYS_PER_YEAR
