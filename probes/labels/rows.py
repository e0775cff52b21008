"""A label table's rows as records: ids, time, target and what is known of the subject."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from prima_features.probes.labels.ages import ages
from prima_features.probes.labels.cells import MISSING, Label
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find, first
from prima_features.probes.labels.subjects import subject_cells
from prima_features.probes.labels.times import Time, label_times
from prima_features.probes.labels.values import is_missing, number, sex

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Person:
    """What a row says of its subject besides the target. Empty or NaN where it says nothing."""

    age: float = nan
    """Years, when the label was taken."""
    sex: str = ""
    site: str = ""
    family: str = ""
    split: str = ""
    scanner: str = ""
    field_strength: str = ""
    icv: float = nan
    control: float = nan
    """1 a control, 0 a patient."""


@dataclass(frozen=True)
class LabelRow:
    """One row of the label table."""

    number: int
    """Which row, from 0."""
    ids: tuple[str, ...]
    """The cells of the cohort's id columns, in their order; empty where the table lacks one."""
    session: str
    time: Time
    label: Label
    person: Person
    subject: str = ""
    """What a further column says of whose scan the row is, if ids are of scans (see `groups`)."""


def read_rows(
    table: pd.DataFrame, cohort: Cohort, labels: Sequence[Label], controls: Sequence[Label]
) -> tuple[tuple[LabelRow, ...], tuple[str, ...]]:
    """The table's rows with their encoded labels, and warnings in a sentence each."""
    times, undated = label_times(table, cohort)
    years, warnings = ages(table, cohort, times)
    people, more = _people(table, cohort, years, controls)
    ids = list(zip(*(_cells(table, item.column) for item in cohort.ids), strict=True))
    sessions = [
        "" if is_missing(cell) else cell for cell in _cells(table, first(table.columns, cohort.session))
    ]
    subjects, shared = subject_cells(table, ids, cohort)
    rows = tuple(map(LabelRow, count(), ids, sessions, times, labels, people, subjects))
    return rows, (*undated, *warnings, *more, *shared)


def _people(
    table: pd.DataFrame, cohort: Cohort, years: Sequence[float], controls: Sequence[Label]
) -> tuple[list[Person], tuple[str, ...]]:
    def known(column: str) -> list[str]:
        return ["" if is_missing(cell, cohort.missing) else cell for cell in _cells(table, column)]

    said = known(first(table.columns, cohort.sex))
    sexes = [sex(cell, cohort.sex_codes) for cell in said]
    columns = (
        years,
        sexes,
        known(first(table.columns, cohort.site)),
        known(cohort.family),
        known(cohort.split),
        known(cohort.scanner),
        known(cohort.field_strength),
        [nan if (value := number(cell)) is None else value for cell in known(cohort.icv)],
        [float(label.value == "control") if label.value is not None else nan for label in controls],
    )
    unclear = sorted({cell for cell, clear in zip(said, sexes, strict=True) if cell and not clear})
    warnings = (f"the sex is not clear from {_listed(unclear)} and is left empty there",) if unclear else ()
    return [Person(*values) for values in zip(*columns, strict=True)], warnings


def with_age_as_target(rows: Iterable[LabelRow]) -> tuple[LabelRow, ...]:
    """The rows with their age as label, as brain age has it."""
    return tuple(
        replace(row, label=Label(None, MISSING) if isnan(row.person.age) else Label(row.person.age))
        for row in rows
    )


def agreed(rows: Sequence[LabelRow]) -> LabelRow:
    """One row for several of a subject whose labels agree; what else they disagree about is left empty."""
    common: dict[str, Any] = {}
    for name, blank in vars(Person()).items():
        known = _known(rows, name)
        common[name] = known.pop() if len(known) == 1 else blank
    return replace(rows[0], person=Person(**common))


def contradictions(rows: Sequence[LabelRow]) -> tuple[str, ...]:
    """Fields of `Person` that rows of one subject and visit disagree about."""
    return tuple(name for name in vars(Person()) if len(_known(rows, name)) > 1) if len(rows) > 1 else ()


def _known(rows: Sequence[LabelRow], name: str) -> set[float | str]:
    values = (getattr(row.person, name) for row in rows)
    return {value for value in values if value == value and value != ""}


def _cells(table: pd.DataFrame, column: str) -> list[str]:
    column = find(table.columns, column)
    return list(table[column]) if column else [""] * len(table)


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(repr(value) for value in values[:5])
    return f"{shown} and {len(values) - 5} more" if len(values) > 5 else shown
