"""A label table's rows as records: ids, subject, time, target and covariates."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from prima_features.probes.labels.cells import MISSING, Label
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.tables import find, first
from prima_features.probes.labels.times import Time, ages, label_times
from prima_features.probes.labels.values import is_missing, normalise, number, sex, written
from prima_features.wording import count

if TYPE_CHECKING:
    import pandas as pd


_NAME = re.compile(
    r"(?:src|anon|bids|study|deid)?(?:subject|subj|participant|patient|person|individual|proband)"
    r"(?:key|id|identifier|number|num|no|nr|code|label|name)?|ptid|rid|pid|guid|oasisid|mrn|recordid|caseid"
)
_SUFFIX = re.compile(
    r"(.*\d.*?)[-_ .]+(?:mr|mri|ses|sess|session|scan|visit|v|t|tp|timepoint|wave|baseline|bl|followup|fu)[-_ ]?\d{0,2}"
)
"""An id that ends in the number of a visit: `OAS2_0001_MR2`, `P012_V1`, `017_baseline`."""
_MOST_VISITS = 12
"""Of a person. Ids of which more have the same beginning are not of visits: it may be the site."""


def subject_cells(
    table: pd.DataFrame, ids: Sequence[tuple[str, ...]], cohort: Cohort
) -> tuple[list[str], tuple[str, ...]]:
    """The person of each row if the ids are of scans, else empty; and warnings in a sentence each.

    Persons are read from a column that is named like one of subjects and has the same value for several ids, else
    from ids that differ only in the number of a visit at their end.

    Args:
        table: label rows.
        ids: the cells of each row's id columns.
        cohort: says which columns those are. A cohort with rules for persons needs nothing else.
    """
    keys = [written(next(filter(None, row), "")) for row in ids]
    own = {item.column.casefold() for item in cohort.ids}
    for column in table.columns:
        if column.casefold() not in own and _NAME.fullmatch(normalise(column, ("bare",))):
            cells = ["" if is_missing(cell, cohort.missing) else written(cell) for cell in table[column]]
            if _are_persons(keys, cells):
                return cells, (_said(f"the column {column}", keys, cells),)
    if not cohort.name:
        stems = [match[1] if (match := _SUFFIX.fullmatch(key)) else "" for key in keys]
        if _are_persons(keys, stems) and max(map(len, _by_person(keys, stems).values())) <= _MOST_VISITS:
            return stems, (_said("what the ids have in common", keys, stems),)
    return [""] * len(table), ()


def _by_person(keys: Sequence[str], persons: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for key, person in zip(keys, persons, strict=True):
        if key and person:
            found[person].add(key)
    return found


def _are_persons(keys: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether these cells can be ids of persons that have several of the keys each."""
    found = _by_person(keys, cells)
    n_ids = len({key for own in found.values() for key in own})
    if not any(len(own) > 1 for own in found.values()):
        return False
    # An id of two persons, or a flag (`patient`: yes or no), is not an id of persons.
    is_one_each = sum(map(len, found.values())) == n_ids
    has_digits = sum(any(map(str.isdigit, name)) for name in found) > len(found) / 2
    return is_one_each and has_digits and len(found) >= max(2, n_ids / 20)


def _said(by: str, keys: Sequence[str], persons: Sequence[str]) -> str:
    found = _by_person(keys, persons)
    n_ids = len({key for own in found.values() for key in own})
    return (
        f"ids are of scans, and {by} identifies the subject: {count(n_ids, 'scan')} of {count(len(found), 'subject')}, "
        "whose scans stay on one side of every split"
    )


@dataclass(frozen=True)
class Person:
    """Covariates of a row's subject. Empty or NaN if unknown."""

    age: float = nan
    """Years, when the label was taken."""
    sex: str = ""
    site: str = ""
    family: str = ""
    split: str = ""
    scanner: str = ""
    field_strength: str = ""
    icv: float = nan
    grade: float = nan
    control: float = nan
    """1 a control, 0 a patient."""
    visit_time: float = nan
    """Time of the visit, in the unit of its column."""


@dataclass(frozen=True)
class LabelRow:
    """One row of the label table."""

    number: int
    """Which row, from 0."""
    ids: tuple[str, ...]
    """The cells of the cohort's id columns, in their order; empty if the table lacks one."""
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
    rows = tuple(map(LabelRow, itertools.count(), ids, sessions, times, labels, people, subjects))
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
        *(
            [nan if (value := number(cell)) is None else value for cell in known(column)]
            for column in (cohort.icv, cohort.grade)
        ),
        [float(label.value == "control") if label.value is not None else nan for label in controls],
        [nan if (value := number(cell)) is None else value for cell in known(cohort.visit_time)],
    )
    unclear = sorted({cell for cell, clear in zip(said, sexes, strict=True) if cell and not clear})
    warnings = (f"the sex is unclear for the values {_listed(unclear)} and is left empty",) if unclear else ()
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
