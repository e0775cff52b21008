"""Groups: the variables that are compared, metrics and largest gaps by group, and means over names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.audit.measure import GAPS, MACRO, Measured, log_odds, small_sample_factor
from prima_features.clinical.audit.scores import columns_of
from prima_features.errors import UsageError
from prima_features.evaluation.gaps import holm, homogeneity, largest_gap
from prima_features.evaluation.groups import age_bands
from prima_features.evaluation.intervals import Estimate
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


def variables(
    cohort: Cohort, asked: Sequence[str] = (), cross: Sequence[Sequence[str]] = (), others: Sequence[str] = ()
) -> Variables:
    """The variables to compare.

    Args:
        cohort: N studies.
        asked: columns, or `age_band`; default is all of the attribute tables and the usual ones of the others.
        cross: tuples of such columns whose intersections are compared as well.
        others: columns with another meaning, such as dates. They and labels are compared only if asked for.

    Raises:
        UsageError: there is no such column, or it cannot be groups.
    """
    found: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    usual = [name for name in columns_of(cohort.table) if spelling(name) in USUAL]
    no_group = {spelling(name) for name in (*others, *cohort.names)}
    no_group |= {f"{kind}/{name}" for kind in ("diagnosis", "referral") for name in no_group}
    free = [name for name in (*usual, *cohort.attribute_columns) if spelling(name) not in no_group]
    for name in asked or dict.fromkeys(free):
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


_Z = 1.959963984540054


@dataclass(frozen=True)
class Gap:
    """The largest minus the smallest value of a metric over the levels of a variable, for one name."""

    estimate: Estimate
    highest: str
    lowest: str
    """Levels."""
    p: float
    """Of the hypothesis that all levels have one value."""
    p_holm: float
    """Adjusted for the number of names (Holm)."""


@dataclass(frozen=True)
class Macro:
    """Mean of a metric over names."""

    estimate: Estimate
    """The interval is that of the mean over these names, from resampled subjects."""
    sd: float
    """Standard deviation over names (n - 1), as papers report it; NaN for one name."""
    n_names: int


@dataclass(frozen=True)
class ByVariable:
    """All names in the levels of one variable."""

    variable: str
    levels: dict[str, list[Measured]]
    """One entry per name, by level."""
    n_unknown: int
    """Studies without a value."""
    gaps: list[dict[str, Gap]]
    """By metric of `GAPS`, one entry per name; empty if fewer than two levels have metrics."""
    macro: dict[str, dict[str, Macro]]
    """By level and metric, over the names that have metrics in every level with any."""
    macro_names: tuple[int, ...]
    """Positions of those names."""
    macro_gaps: dict[str, Gap]
    """By metric, of the means over names."""


def by_variable(variable: str, levels: dict[str, list[Measured]], n_unknown: int) -> ByVariable:
    """Compare the levels of a variable: one `Measured` per name in each."""
    n_names = len(next(iter(levels.values()))) if levels else 0
    gaps = [_gaps(levels, i) for i in range(n_names)]
    for metric in GAPS:
        rows = [i for i in range(n_names) if metric in gaps[i]]
        adjusted = holm(np.array([gaps[i][metric].p for i in rows]))
        for i, value in zip(rows, adjusted, strict=True):
            one = gaps[i][metric]
            gaps[i][metric] = Gap(one.estimate, one.highest, one.lowest, one.p, float(value))
    used = {level: found for level, found in levels.items() if any(not one.reason for one in found)}
    common = tuple(i for i in range(n_names) if used and all(not found[i].reason for found in used.values()))
    means = {level: macro([found[i] for i in common]) for level, found in used.items()} if common else {}
    return ByVariable(variable, levels, n_unknown, gaps, means, common, _macro_gaps(used, common, means))


def macro(measured: Sequence[Measured]) -> dict[str, Macro]:
    """Means over the names that have metrics; the interval is normal with the bootstrap's standard error.

    Of a single name it is that of the name, which has a width even if the classes are separated perfectly.
    """
    found = {}
    for metric in MACRO:
        own = [one for one in measured if not one.reason and np.isfinite(one.estimates[metric].value)]
        values = np.array([one.estimates[metric].value for one in own])
        if not len(values):
            found[metric] = Macro(Estimate(float("nan")), float("nan"), 0)
            continue
        mean, error = float(values.mean()), float(_mean_resampled(own, metric).std())
        estimate = Estimate(mean, max(mean - _Z * error, 0.0), min(mean + _Z * error, 1.0))
        if len(own) == 1:
            estimate = own[0].estimates[metric]
        sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[metric] = Macro(estimate, sd, len(values))
    return found


def _mean_resampled(measured: Sequence[Measured], metric: str) -> np.ndarray:
    """(B,) mean over names in each resample; NaN are left out, as where no study is called."""
    stacked = np.stack([one.plain[metric] for one in measured])
    return np.asarray(np.nanmean(stacked, axis=0)) if np.isfinite(stacked).any() else np.full(1, np.nan)


def _gaps(levels: dict[str, list[Measured]], i: int) -> dict[str, Gap]:
    names = [level for level, found in levels.items() if not found[i].reason]
    if len(names) < 2:
        return {}
    found = {}
    for metric in GAPS:
        each = [levels[level][i] for level in names]
        values = np.array([one.estimates[metric].value for one in each])
        resampled = np.stack([one.resampled[metric] for one in each])
        if metric == "auroc":  # rates are widened by their prior
            factors = [small_sample_factor(min(one.subjects_by_class)) for one in each]
            middle = resampled.mean(axis=1, keepdims=True)
            resampled = middle + (resampled - middle) * np.array(factors)[:, None]
        estimate = largest_gap(values, resampled)
        scaled = [log_odds(metric, one) for one in each]
        centres, logits, least = (np.array([one[part] for one in scaled]) for part in range(3))
        p = homogeneity(centres, logits, least)
        highest, lowest = names[int(values.argmax())], names[int(values.argmin())]
        found[metric] = Gap(estimate, highest, lowest, p, float("nan"))
    return found


def _macro_gaps(
    used: dict[str, list[Measured]], common: tuple[int, ...], means: dict[str, dict[str, Macro]]
) -> dict[str, Gap]:
    if len(used) < 2 or not common:
        return {}
    names = list(used)
    found = {}
    for metric in ("sensitivity", "specificity", "auroc"):
        values = np.array([means[level][metric].estimate.value for level in names])
        resampled = np.stack([_mean_resampled([used[level][i] for i in common], metric) for level in names])
        p = homogeneity(values, resampled)
        highest, lowest = names[int(values.argmax())], names[int(values.argmin())]
        found[metric] = Gap(largest_gap(values, resampled), highest, lowest, p, p)
    return found
