"""Metrics by the levels of a variable (sex, age band, site, ...), with the largest gap between two levels.

The values equal those of fairlearn's MetricFrame (`by_group` and `difference`). Its bootstrap resamples rows; repeated
scans need resampled subjects, so each level gets a bootstrap of its own subjects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from prima_features.evaluation import bounds
from prima_features.evaluation.intervals import Estimate

AGE_BANDS = (0, 18, 30, 40, 50, 60, 70, 80, 120)
"""Years; each band includes its lower bound."""
_LARGEST_GAP = dict.fromkeys(
    (
        "auroc",
        "auprc",
        "prevalence",
        "balanced_accuracy",
        "brier",
        "sensitivity",
        "specificity",
        "c_index",
        "uno_c",
        "ordinal_c",
        "rps",
    ),
    1.0,
) | {"pearson_r": 2.0, "kappa": 2.0}
"""Upper limit of the difference between two levels, for metrics that have one."""


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics by the levels of one variable."""

    variable: str
    levels: dict[str, dict[str, Estimate]]
    """By level, then by metric."""
    n: dict[str, int]
    """Rows of each level, including those left out."""
    gaps: dict[str, Estimate] = field(default_factory=dict)
    """Largest difference between two levels, by metric. The interval allows for the choice among all pairs of levels
    (`bounds.largest_gap`) and starts at 0 unless two levels differ significantly."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Levels without metrics, and why."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        levels = {
            level: {name: one.to_dict() for name, one in found.items()} | {"n": self.n[level]}
            for level, found in self.levels.items()
        }
        gaps = {name: one.to_dict() for name, one in self.gaps.items()}
        return {"levels": levels, "largest_gap": gaps, "left_out": self.left_out}


def by_variable(
    name: str,
    values: np.ndarray,
    estimates: Callable[[np.ndarray], dict[str, Estimate]],
    too_few: Callable[[np.ndarray], str],
) -> GroupMetrics:
    """Metrics by the levels of one variable.

    Args:
        name: of the variable.
        values: (N,) text, empty if unknown.
        estimates: computes the metrics of the rows of an (N,) mask.
        too_few: why the rows of an (N,) mask are too few for metrics; empty if they are enough.
    """
    names, counts = np.unique(values[values != ""], return_counts=True)
    n = dict(zip(names.tolist(), counts.tolist(), strict=True))
    left_out = {level: reason for level in n if (reason := too_few(values == level))}
    levels = [level for level in n if level not in left_out]
    if not levels:
        return GroupMetrics(name, {}, n, {}, left_out)

    by_level = {level: estimates(values == level) for level in levels}
    gaps = {}
    if len(levels) > 1:
        for metric in by_level[levels[0]]:
            each = [by_level[level][metric] for level in levels]
            gaps[metric] = bounds.largest_gap(each, (0.0, _LARGEST_GAP.get(metric, np.inf)))
    return GroupMetrics(name, by_level, n, gaps, left_out)


def age_bands(age: np.ndarray) -> np.ndarray:
    """(N,) text such as `30-39`; empty if the age is unknown."""
    names = np.array([f"{low}-{high - 1}" for low, high in pairwise(AGE_BANDS)])
    known = np.isfinite(age)
    band = np.digitize(np.where(known, age, 0), AGE_BANDS[1:-1])
    return np.where(known, names[band], "")
