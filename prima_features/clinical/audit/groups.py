"""The variables by which an audit compares groups: attribute columns, age bands, and intersections of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prima_features.clinical.audit.inputs import Cohort, columns_of
from prima_features.errors import UsageError
from prima_features.evaluation.groups import age_bands
from prima_features.files.cells import number
from prima_features.files.tables import spelling

USUAL = (
    "sex", "gender", "age", "race", "ethnicity", "insurance", "county", "site", "hospital", "center", "vendor",
    "manufacturer", "scanner", "scanner_model", "field_strength",
)  # fmt: skip
"""Columns that are compared by default if they are in the scores or labels; all columns of attribute tables are."""
AGE_BAND = "age_band"
_AGE = ("age", "age_at_scan", "age_years", "patient_age")
_MOST_LEVELS = 50
_MOST_NUMBERS = 12
"""Most different values of a column of numbers: more are a measurement and no groups."""


@dataclass(frozen=True)
class Variables:
    """Variables of N studies."""

    values: dict[str, np.ndarray]
    """(N,) text by variable, empty if unknown."""
    left_out: dict[str, str]
    """Columns that are not compared, and why."""


def variables(cohort: Cohort, asked: Sequence[str] = (), cross: Sequence[Sequence[str]] = ()) -> Variables:
    """The variables to compare.

    Args:
        cohort: N studies.
        asked: columns, or `age_band`; default is all of the attribute tables and the usual ones of the others.
        cross: tuples of such columns whose intersections are compared as well.

    Raises:
        UsageError: there is no such column, or it cannot be groups.
    """
    found: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    usual = [name for name in columns_of(cohort.table) if spelling(name) in USUAL]
    for name in asked or dict.fromkeys([*usual, *cohort.attribute_columns]):
        own, values, reason = _variable(cohort, name)
        if reason and asked:
            raise UsageError(f"{name} cannot be compared: {reason}")
        if reason:
            left_out[own] = reason
        elif (values != "").any():
            found[own] = values
        else:
            left_out[own] = "no study has a value"
    for names in cross:
        parts = []
        for name in names:
            own, values, reason = _variable(cohort, name)
            if reason:
                raise UsageError(f"{name} cannot be crossed: {reason}")
            parts.append((own, values))
        if len(parts) < 2:
            raise UsageError(
                f"--cross {','.join(names)} has one column: give two or more, such as sex,age_band"
            )
        known = np.all([values != "" for _, values in parts], axis=0)
        joined = np.array([", ".join(row) for row in zip(*(values for _, values in parts), strict=True)])
        found[" x ".join(own for own, _ in parts)] = np.where(known, joined, "")
    return Variables(found, left_out)


def _variable(cohort: Cohort, name: str) -> tuple[str, np.ndarray, str]:
    """The variable's name, its values, and why it cannot be groups (empty if it can)."""
    is_age = spelling(name) in (*_AGE, AGE_BAND)
    if spelling(name) == AGE_BAND and AGE_BAND not in cohort.table:
        name = next((one for one in columns_of(cohort.table) if spelling(one) in _AGE), name)
    values = cohort.column(name, "--groups, --cross")
    levels = sorted(set(values) - {""})
    numbers = [number(one) for one in levels]
    is_number = bool(levels) and all(one is not None for one in numbers)
    if is_age and is_number:
        by_text = dict(zip(levels, numbers, strict=True))
        ages = np.array([by_text.get(one, np.nan) for one in values], dtype=np.float64)
        return AGE_BAND, age_bands(ages), ""
    if is_number and len(levels) > _MOST_NUMBERS:
        return name, values, f"it has {len(levels)} different numbers; add a column with bands of it"
    if len(levels) > _MOST_LEVELS:
        return name, values, f"it has {len(levels)} levels, more than {_MOST_LEVELS}"
    return name, values, ""
