"""Ages in years at the time of each row, from an age, an age at entry, or a birth date."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isnan, nan
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find, first
from prima_features.probes.labels.times import DAYS_PER_YEAR, Time, to_ordinal
from prima_features.probes.labels.values import code, is_missing, is_top_coded, number

if TYPE_CHECKING:
    import pandas as pd

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
        return years, (f"ages come from {birth}, which may be the year alone, and are good to about a year",)
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
        warnings.append(f"ages in {column} are taken as {_WORDS[unit]} and converted to years")
    if sum(value > OLDEST for value in known) > len(known) / 2:
        raise UsageError(
            f"{column} has ages such as {next(c for c in cells if c)}, which are no years: if they are months or days, "
            f"name the column {column}_months or {column}_days; name another with --age-column"
        )
    # A single 0 among adults is a code; among infants it is an age.
    adults = sorted(value for value in known if value > 0)[:1] > [10.0]
    bad = [value is not None and (value < 0 or value > OLDEST or (value == 0 and adults)) for value in read]
    if any(bad):
        example = next(cell for cell, is_bad in zip(cells, bad, strict=True) if is_bad)
        warnings.append(
            f"{sum(bad)} ages in {column} cannot be true (such as {example}) and count as missing"
        )
    top = [cell for cell in cells if is_top_coded(cell)]
    if top:
        warnings.append(f"{len(top)} ages in {column} are written like {top[0]} and read as that number")
    unread = [cell for cell, value in zip(cells, read, strict=True) if cell and value is None]
    if unread:
        warnings.append(
            f"{len(unread)} cells of {column} are no ages (such as {unread[0]!r}) and count as missing"
        )
    nines = sum(code(cell) == "99" for cell in cells)
    others = [value for value in known if value != 99]
    if nines > 1 and unit == "y" and (not others or max(others) < 90):
        warnings.append(
            f"{nines} ages in {column} are 99, far above the others: if that means a missing age, give "
            "--missing-values=99"
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
        f"{column} is the age at the first visit, and {lost} rows do not say how long ago that was: "
        "no age there",
    )


def _since_birth(cell: str, time: Time) -> float:
    year = cell.strip().strip("/")
    if time.date is None:
        return nan
    # The middle of the year errs least if only the year of birth is given.
    born = to_ordinal(f"{year}-07-01" if year.isdigit() and len(year) == 4 else cell, ("%m/%d/%Y",))
    return nan if born is None else (time.date - born) / DAYS_PER_YEAR
