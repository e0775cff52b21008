"""Whose scan a label row is about, if the table's ids are of scans: several may be of one person."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.ids import normalise, written
from prima_features.probes.labels.values import is_missing
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
