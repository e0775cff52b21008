"""When the studies of a subject were made, in years on an axis that all of them share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import isnan, nan

from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.times import DAYS_PER_MONTH, DAYS_PER_YEAR, Time, unit_of

_PER_YEAR = {"days": DAYS_PER_YEAR, "months": DAYS_PER_YEAR / DAYS_PER_MONTH, "years": 1.0}
_BY_NAME = {"d": "days", "m": "months", "y": "years"}


def visit_years(
    persons: Sequence[str], times: Sequence[Time], ages: Sequence[float], given: Sequence[float]
) -> tuple[list[float], list[str]]:
    """The time of each study in years, and what it is taken from.

    Only differences within a person mean anything: zero is another time for each person and axis. For dates it
    is the person's first one, because nothing that is written from these years should contain a date.

    Args:
        persons: of the N studies.
        times: of each scan, or of its label.
        ages: years, NaN if unknown.
        given: years in a column that the user named, NaN if unknown. If any is known, nothing else counts.

    Returns:
        years, NaN if unknown; and `column`, `date`, `day`, `visit` or `age`, empty if unknown. Of a person, the first
        of these that all studies have is used; if none is, the first that most have.
    """
    if any(not isnan(value) for value in given):
        return list(given), ["" if isnan(value) else "column" for value in given]
    axes: dict[str, Callable[[int], float]] = {
        "date": lambda i: _years(times[i].date),
        "day": lambda i: _years(times[i].day),
        "visit": lambda i: _years(times[i].visit),
        "age": lambda i: ages[i],
    }
    of_person: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(persons):
        of_person[name].append(i)
    years, source = [nan] * len(persons), [""] * len(persons)
    for rows in of_person.values():
        known = {name: sum(not isnan(axis(i)) for i in rows) for name, axis in axes.items()}
        best = max(known, key=lambda name: known[name])
        own = {i: axes[best](i) for i in rows}
        dated = [value for value in own.values() if not isnan(value)] if best == "date" else []
        zero = min(dated, default=0.0)
        for i in rows:
            years[i] = own[i] - zero
            source[i] = "" if isnan(years[i]) else best
    return years, source


def _years(days: float | None) -> float:
    return nan if days is None else days / DAYS_PER_YEAR


def per_year(request: LabelRequest) -> float:
    """Units of `LabelRequest.time_column` per year: as asked for, else by the column's name, else years."""
    unit = request.time_unit or _BY_NAME.get(unit_of(request.time_column), "years")
    return _PER_YEAR[unit]
