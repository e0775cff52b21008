"""Times to an event from label tables: a column of times, and one that says whether the event was observed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes import tasks
from prima_features.probes.labels.cells import Label, LabelColumn, Labels
from prima_features.probes.labels.cohorts import Cohort, SurvivalColumns
from prima_features.probes.labels.records import Joined, LabelRequest
from prima_features.probes.labels.tables import find
from prima_features.probes.labels.values import is_missing, number, pattern
from prima_features.probes.tasks import Task
from prima_features.wording import count, listed, verb

if TYPE_CHECKING:
    import pandas as pd

EVENT_WORDS = frozenset({"1", "yes", "true", "event", "dead", "deceased", "died", "death"})
CENSORED_WORDS = frozenset(
    {"0", "no", "false", "no event", "censored", "alive", "living", "lost to follow-up", "lost to followup"}
)
YEAR = {"days": 365.0, "months": 12.0, "years": 1.0}
"""Units of time, and how many of them make a year."""
HORIZONS = (1, 2, 3, 5, 10)
"""Years; see `default_horizons`."""
_MOST_HORIZONS = 3
_MIN_AT_HORIZON = 10
NO_TIME, NOT_A_TIME = "the time is missing", "the time is not a number"
ZERO, NEGATIVE = "the time is 0", "the time is negative"
NO_EVENT = "it is unknown whether the event occurred"


def encode_survival(table: pd.DataFrame, request: LabelRequest, cohort: Cohort) -> Labels:
    """Signed times of a table's rows: positive for an event, negative if censored.

    Raises:
        UsageError: a column is not named or not there, or its values do not say whether the event occurred.
    """
    for option, given in (("--target-column", request.target_column), ("--positive", request.positive)):
        if given:
            raise UsageError(f"survival takes --time-column and --event-column, not {option}")
    columns = _columns(request, cohort)
    names = (columns.time, columns.event, columns.censored_time)
    found = {name: find(table.columns, name) for name in names if name}
    if absent := [name for name, column in found.items() if not column]:
        raise UsageError(
            f"the labels have no column {absent[0]} of {cohort.name or 'the times'}: found "
            f"{', '.join(table.columns[:12])}; name the columns with --time-column and --event-column"
        )
    time = LabelColumn.read(columns.time, list(table[found[columns.time]]), cohort.missing)
    later = list(table[found[columns.censored_time]]) if columns.censored_time else [""] * len(table)
    events, warnings = _events(table, found, columns, request, cohort)
    rows = tuple(
        _label(cell, time.missing, event, other, cohort.missing)
        for cell, event, other in zip(*_split(time.cells, events, columns), later, strict=True)
    )
    return Labels(rows, warnings=(*time.warnings, *warnings, *_left_out(rows, columns)))


def _columns(request: LabelRequest, cohort: Cohort) -> SurvivalColumns:
    """The cohort's columns with those that the user named in their place."""
    columns = cohort.survival
    if request.time_column:
        columns = SurvivalColumns(
            request.time_column, columns.event, columns.unit, columns.events, columns.censored
        )
    if request.event_column and request.event_column != columns.event:
        columns = replace(columns, event=request.event_column, events=(), censored=(), censored_pattern="")
    if not columns.time or not (columns.event or columns.censored_pattern):
        known = f"cohort {cohort.name} has none" if cohort.name else "no --cohort was given"
        raise UsageError(
            f"the columns of survival are unknown ({known}): name the time with --time-column and the event with "
            "--event-column"
        )
    return columns


def _split(
    cells: Sequence[str], events: Sequence[bool | None], columns: SurvivalColumns
) -> tuple[list[str], list[bool | None]]:
    """Times and events, with what the cell of the time says of censoring (`ALIVE (361 days later)`) taken apart."""
    if not columns.censored_pattern:
        return list(cells), list(events)
    censored = pattern(columns.censored_pattern)
    matches = [censored.search(cell) for cell in cells]
    return (
        [match[1] if match else cell for cell, match in zip(cells, matches, strict=True)],
        [False if match else event for event, match in zip(events, matches, strict=True)],
    )


def _events(
    table: pd.DataFrame,
    found: dict[str, str],
    columns: SurvivalColumns,
    request: LabelRequest,
    cohort: Cohort,
) -> tuple[list[bool | None], tuple[str, ...]]:
    """Whether each row had the event, None if unknown; and warnings."""
    if not columns.event:  # everyone whose time does not say otherwise
        return [True] * len(table), ()
    column = LabelColumn.read(columns.event, list(table[found[columns.event]]), cohort.missing)
    values = column.values()
    events, censored = _codes(column, values, columns, request)
    known = [
        None if is_missing(cell, column.missing) else column.code(cell) in events for cell in column.cells
    ]
    warnings = column.warnings
    if request.event_values and len(censored) > 1:
        shown = ", ".join(values[value] for value in censored)
        warnings = (
            *warnings,
            f"{column.name} has several values that are not the event ({shown}): all count as censored, and if one of "
            "them is a competing event the risks are those without it",
        )
    return known, warnings


def _codes(
    column: LabelColumn, values: dict[str, str], columns: SurvivalColumns, request: LabelRequest
) -> tuple[Collection[str], list[str]]:
    """Codes of values that mean an event, and of the others."""
    if request.event_values:
        events = {column.code(value) for value in request.event_values}
        if unknown := [value for value in request.event_values if column.code(value) not in values]:
            raise UsageError(
                f"--event-values names {listed(unknown)}, but {column.name} has only the values "
                f"{', '.join(sorted(values.values())[:10]) or 'none'}"
            )
        return events, [value for value in values if value not in events]
    events = {column.code(value) for value in columns.events} or {column.code(value) for value in EVENT_WORDS}
    censored = {column.code(value) for value in columns.censored} or {
        column.code(value) for value in CENSORED_WORDS
    }
    unclear = [text for value, text in values.items() if value not in events | censored]
    if unclear and all(re.fullmatch(r"\d+", value) for value in values):
        raise UsageError(
            f"{column.name} has the values {listed(sorted(values.values()))}: competing risks are not supported; if "
            "they are several forms of one event, name these with --event-values"
        )
    if unclear:
        raise UsageError(
            f"it is unclear whether {', '.join(unclear[:5])} in {column.name} means an event: name the values that do "
            "with --event-values"
        )
    return events, [value for value in values if value in censored]


def _label(
    cell: str, missing: Collection[str], event: bool | None, later: str, extra: Collection[str]
) -> Label:
    """One row's signed time."""
    if event is False and is_missing(cell, missing) and not is_missing(later, extra):
        cell, missing = later, extra
    if is_missing(cell, missing):
        return Label(None, NO_TIME)
    value = number(cell)
    if value is None:
        return Label(None, NOT_A_TIME, f"the value is {cell!r}")
    if value <= 0:
        return Label(None, NEGATIVE if value < 0 else ZERO, f"the value is {cell!r}")
    if event is None:
        return Label(None, NO_EVENT)
    return Label(value if event else -value)


def _left_out(rows: Sequence[Label], columns: SurvivalColumns) -> list[str]:
    """A sentence per reason for which rows have no signed time."""
    counts = Counter(row.reason for row in rows if row.value is None)
    return [
        f"{count(n, 'row')} of the labels {verb(n, 'is', 'are')} left out because {reason} ({columns.time}"
        f"{' and ' + columns.event if reason == NO_EVENT else ''})"
        for reason, n in counts.items()
    ]


def time_unit(request: LabelRequest, cohort: Cohort) -> str:
    """Unit of the times: the user's, or the cohort's.

    Raises:
        UsageError: it is unknown, or both are given and differ.
    """
    own = "" if request.time_column else cohort.survival.unit
    if request.time_unit and own and request.time_unit != own:
        raise UsageError(f"the times of cohort {cohort.name} are in {own}: leave out --time-unit")
    unit = request.time_unit or own
    if unit not in YEAR:
        raise UsageError(f"the unit of the times is unknown: give --time-unit {listed(YEAR, 'or')}")
    return unit


def default_horizons(y: np.ndarray, unit: str) -> tuple[float, ...]:
    """Of 1, 2, 3, 5 and 10 years the first three that the times allow, else the median time of events.

    A horizon needs 10 rows with an event by then, and 10 that are observed for longer.

    Args:
        y: (N,) signed times.
        unit: one of `YEAR`.
    """
    time, event = np.abs(y), y > 0
    fit = [
        YEAR[unit] * years
        for years in HORIZONS
        if (event & (time <= YEAR[unit] * years)).sum() >= _MIN_AT_HORIZON
        and (time > YEAR[unit] * years).sum() >= _MIN_AT_HORIZON
    ]
    if fit or not event.any():
        return tuple(fit[:_MOST_HORIZONS])
    median = float(np.median(time[event]))
    return (median,) if median < time.max() else ()


def survival_task(joined: Joined) -> Task:
    """The task of joined survival labels, with its unit and horizons."""
    y = joined.frame["target"].to_numpy(dtype=float)
    return tasks.survival(joined.unit, joined.request.horizons or default_horizons(y, joined.unit))
