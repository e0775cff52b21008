"""Metrics by sex, age band, site, scanner and field strength, with the largest gap between two groups.

The numbers are those of fairlearn's MetricFrame (`by_group` and `difference`). Its own bootstrap resamples rows, but
repeated scans need subjects resampled: each level has a bootstrap of its own subjects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.probes.evaluation import bounds, weighted
from prima_features.probes.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import Scored

if TYPE_CHECKING:
    import pandas as pd

VARIABLES = ("sex", "age_band", "site", "scanner", "field_strength")
AGE_BANDS = (0, 18, 30, 40, 50, 60, 70, 80, 120)
"""Years; each band holds its lower bound."""
MIN_GROUPS = 10
"""Fewer subjects (of each class) than this say nothing about a level, and it is left out."""

Statistics = dict[str, np.ndarray]
_RATES = (("sensitivity", 1), ("specificity", 0))
_MOST = dict.fromkeys(
    ("auroc", "auprc", "prevalence", "balanced_accuracy", "brier", "sensitivity", "specificity"), 1.0
) | {"pearson_r": 2.0}
"""Largest difference that a metric can have between two levels, if there is one."""


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics by the levels of one variable."""

    variable: str
    levels: dict[str, dict[str, Estimate]]
    """By level, then by metric."""
    n: dict[str, int]
    """Rows of each level, also of those left out."""
    gaps: dict[str, Estimate] = field(default_factory=dict)
    """Largest difference between two levels, by metric. Its interval allows for the choice among all pairs of levels
    (`bounds.largest_gap`) and starts at 0 unless two levels are shown to differ."""
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


def by_groups(scored: Scored, frame: pd.DataFrame) -> dict[str, GroupMetrics]:
    """Metrics by each variable that two levels or more are known of.

    Args:
        scored: N predicted rows.
        frame: what is known of them, N rows.
    """
    columns = {name: frame[name].to_numpy(dtype=str) for name in VARIABLES if name != "age_band"}
    columns["age_band"] = age_bands(frame["age"].to_numpy(dtype=float))
    found = {name: by_variable(scored, columns[name], name) for name in VARIABLES}
    return {name: metrics for name, metrics in found.items() if len(metrics.n) > 1}


def by_variable(scored: Scored, values: np.ndarray, name: str) -> GroupMetrics:
    """Metrics by the levels of one variable.

    Args:
        scored: N predicted rows.
        values: (N,) text, empty where unknown.
        name: of the variable.
    """
    names, counts = np.unique(values[values != ""], return_counts=True)
    n = dict(zip(names.tolist(), counts.tolist(), strict=True))
    left_out = {level: reason for level in n if (reason := _too_few(scored, values == level))}
    levels = [level for level in n if level not in left_out]
    if not levels:
        return GroupMetrics(name, {}, n, {}, left_out)

    by_level = {level: _estimates(scored.take(np.flatnonzero(values == level))) for level in levels}
    gaps = {}
    if len(levels) > 1:
        for metric in by_level[levels[0]]:
            each = [by_level[level][metric] for level in levels]
            gaps[metric] = bounds.largest_gap(each, (0.0, _MOST.get(metric, np.inf)))
    return GroupMetrics(name, by_level, n, gaps, left_out)


def age_bands(age: np.ndarray) -> np.ndarray:
    """(N,) text such as `30-39`; empty where the age is unknown."""
    names = np.array([f"{low}-{high - 1}" for low, high in pairwise(AGE_BANDS)])
    known = np.isfinite(age)
    band = np.digitize(np.where(known, age, 0), AGE_BANDS[1:-1])
    return np.where(known, names[band], "")


def _estimates(part: Scored) -> dict[str, Estimate]:
    """The metrics of one level, with those that only groups have."""
    binary = part.task.kind == "binary"

    def statistic(weights: np.ndarray) -> Statistics:
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
    groups = scored.bootstrap.groups
    if not scored.task.is_classification:
        n = len(np.unique(groups[rows]))
        return "" if n >= MIN_GROUPS else f"{n} subjects, fewer than {MIN_GROUPS}"
    for code, name in enumerate(scored.task.classes):
        n = len(np.unique(groups[rows & (scored.y == code)]))
        if n < MIN_GROUPS:
            return f"{n} subjects of class {name}, fewer than {MIN_GROUPS}"
    return ""
