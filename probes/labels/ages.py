"""Ages in years at the time of each row, from an age, an age at entry, or a birth date."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan
from typing import TYPE_CHECKING

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find, first
from prima_features.probes.labels.times import DAYS_PER_YEAR, Time, to_ordinal
from prima_features.probes.labels.values import is_missing, is_top_coded, number

if TYPE_CHECKING:
    import pandas as pd


def ages(table: pd.DataFrame, cohort: Cohort, times: Sequence[Time]) -> tuple[list[float], tuple[str, ...]]:
    """Age at each row's visit, NaN where it cannot be known, with warnings in a sentence each."""
    column = first(table.columns, cohort.age)
    if column:
        cells = ["" if is_missing(cell, cohort.missing) else cell for cell in table[column]]
        years = [nan if (value := number(cell)) is None else value for cell in cells]
        warnings = _unclear(column, cells)
        if cohort.age_at == "baseline":
            since = _years_since(table, cohort, times)
            years = [age + passed for age, passed in zip(years, since, strict=True)]
            warnings += _unknown_visits(column, cells, years)
        return years, warnings
    if birth := find(table.columns, cohort.birth):
        years = [_since_birth(cell, time) for cell, time in zip(table[birth], times, strict=True)]
        return years, (f"ages come from {birth}, which may be the year alone, and are good to about a year",)
    return [nan] * len(table), ()


def _unclear(column: str, cells: Sequence[str]) -> tuple[str, ...]:
    top = [cell for cell in cells if is_top_coded(cell)]
    bad = [cell for cell in cells if cell and number(cell) is None]
    warnings = []
    if top:
        warnings.append(f"{len(top)} ages in {column} are written like {top[0]} and read as that number")
    if bad:
        warnings.append(f"{len(bad)} cells of {column} are no ages (such as {bad[0]!r}) and count as missing")
    return tuple(warnings)


def _years_since(table: pd.DataFrame, cohort: Cohort, times: Sequence[Time]) -> list[float]:
    column = find(table.columns, cohort.years_since_baseline)
    said = [number(cell) for cell in table[column]] if column else [None] * len(table)
    return [
        years if years is not None else _entry_years(time) for years, time in zip(said, times, strict=True)
    ]


def _entry_years(time: Time) -> float:
    days = time.day if time.day is not None else time.visit
    return nan if days is None else days / DAYS_PER_YEAR


def _unknown_visits(column: str, cells: Sequence[str], years: Sequence[float]) -> tuple[str, ...]:
    lost = sum(number(cell) is not None and isnan(age) for cell, age in zip(cells, years, strict=True))
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
    # The middle of the year errs least where only the year of birth is given.
    born = to_ordinal(f"{year}-07-01" if year.isdigit() and len(year) == 4 else cell, ("%m/%d/%Y",))
    return nan if born is None else (time.date - born) / DAYS_PER_YEAR
