"""A probe's metrics by sex, age band, site, scanner and field strength, and the brain-age gap.

The gap is given before and after bias correction; metrics are always those of the raw predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.evaluation import bounds, groups, weighted
from prima_features.evaluation.groups import GroupMetrics, age_bands
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import Scored

if TYPE_CHECKING:
    import pandas as pd


VARIABLES = ("sex", "age_band", "site", "scanner", "field_strength")
MIN_GROUPS = 10
"""Levels with fewer subjects (of each class) are left out."""

_RATES = (("sensitivity", 1), ("specificity", 0))


def by_groups(scored: Scored, frame: pd.DataFrame) -> dict[str, GroupMetrics]:
    """Metrics by each variable with at least two known levels.

    Args:
        scored: N predicted rows.
        frame: their covariates, N rows.
    """
    columns = {name: frame[name].to_numpy(dtype=str) for name in VARIABLES if name != "age_band"}
    columns["age_band"] = age_bands(frame["age"].to_numpy(dtype=float))
    found = {name: by_variable(scored, columns[name], name) for name in VARIABLES}
    return {name: metrics for name, metrics in found.items() if len(metrics.n) > 1}


def by_variable(scored: Scored, values: np.ndarray, name: str) -> GroupMetrics:
    """Metrics of N predicted rows by the levels of one variable: (N,) text, empty if unknown."""
    return groups.by_variable(
        name,
        values,
        lambda rows: _estimates(scored.take(np.flatnonzero(rows))),
        lambda rows: _too_few(scored, rows),
    )


def _estimates(part: Scored) -> dict[str, Estimate]:
    """The metrics of one level, including those computed for groups only."""
    binary = part.task.kind == "binary"

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = part.statistic(weights)
        if not part.task.is_classification:
            errors = [weighted.mean(one.value - part.y, weights) for one in part.repeats]
            found["mean_error"] = np.mean(errors, axis=0)
        for name, code in _RATES if binary else ():
            each = [weighted.mean_where(one.label == code, part.y == code, weights) for one in part.repeats]
            found[name] = np.mean(each, axis=0)
        return found

    found = part.bounded(part.bootstrap.estimates(statistic))
    for name, code in _RATES if binary else ():
        found[name] = bounds.rate(found[name], part.y == code, part.bootstrap)
    return found


def _too_few(scored: Scored, rows: np.ndarray) -> str:
    subjects = scored.bootstrap.groups
    if not scored.task.is_classification:
        n = len(np.unique(subjects[rows]))
        return "" if n >= MIN_GROUPS else f"{n} subjects, fewer than {MIN_GROUPS}"
    for code, name in enumerate(scored.task.classes):
        n = len(np.unique(subjects[rows & (scored.y == code)]))
        if n < MIN_GROUPS:
            return f"{n} subjects of class {name}, fewer than {MIN_GROUPS}"
    return ""


@dataclass(frozen=True)
class GapReport:
    """Predicted minus true age."""

    method: str
    """Of the correction, fitted on out-of-fold predictions of training subjects."""
    raw_age_correlation: Estimate
    corrected_age_correlation: Estimate
    raw_mean: Estimate
    corrected_mean: Estimate
    """Years."""
    age_range: tuple[float, float]
    """Years, of the rows that count."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        estimates = {name: one.to_dict() for name, one in vars(self).items() if isinstance(one, Estimate)}
        return estimates | {"method": self.method, "age_range": list(self.age_range)}


def gap_report(scored: Scored, method: str) -> GapReport:
    """The gap's mean and its correlation with age, over N rows of a brain-age probe."""
    age = scored.y

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        raw = [one.value - age for one in scored.repeats]
        corrected = [one.corrected - age for one in scored.repeats]
        return {
            "raw_age_correlation": np.mean([weighted.pearson(gap, age, weights) for gap in raw], axis=0),
            "corrected_age_correlation": np.mean(
                [weighted.pearson(gap, age, weights) for gap in corrected], axis=0
            ),
            "raw_mean": np.mean([weighted.mean(gap, weights) for gap in raw], axis=0),
            "corrected_mean": np.mean([weighted.mean(gap, weights) for gap in corrected], axis=0),
        }

    found = scored.bootstrap.estimates(statistic, ("raw_age_correlation", "corrected_age_correlation"))
    return GapReport(method, **found, age_range=(float(age.min()), float(age.max())))
