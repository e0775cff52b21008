"""Metrics by sex, age band, site, scanner and field strength, with the largest gap between two groups.

The numbers are those of fairlearn's MetricFrame (`by_group` and `difference`); its own bootstrap resamples rows,
where repeated scans need subjects resampled, so intervals come from the same resamples as those of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.probes.evaluation import weighted
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


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics by the levels of one variable."""

    variable: str
    levels: dict[str, dict[str, Estimate]]
    """By level, then by metric."""
    n: dict[str, int]
    """Rows of each level, also of those left out."""
    gaps: dict[str, Estimate] = field(default_factory=dict)
    """Largest difference between two levels, by metric. Above 0 by chance alone, more so with more levels: read it
    with its interval and those of the levels."""
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

    def statistic(weights: np.ndarray) -> Statistics:
        each = {level: _statistic(scored, values == level, weights) for level in levels}
        flat = {f"{level}\t{key}": value for level, found in each.items() for key, value in found.items()}
        gaps = {key: _gap([each[level][key] for level in levels]) for key in each[levels[0]]}
        return flat | {f"\t{key}": value for key, value in gaps.items()}

    found = scored.bootstrap.estimates(statistic)
    by_level: dict[str, dict[str, Estimate]] = {level: {} for level in ["", *levels]}
    for key, estimate in found.items():
        level, _, metric = key.rpartition("\t")
        by_level[level][metric] = estimate
    gaps = by_level.pop("")
    return GroupMetrics(name, by_level, n, gaps if len(levels) > 1 else {}, left_out)


def age_bands(age: np.ndarray) -> np.ndarray:
    """(N,) text such as `30-39`; empty where the age is unknown."""
    names = np.array([f"{low}-{high - 1}" for low, high in pairwise(AGE_BANDS)])
    known = np.isfinite(age)
    band = np.digitize(np.where(known, age, 0), AGE_BANDS[1:-1])
    return np.where(known, names[band], "")


def _statistic(scored: Scored, rows: np.ndarray, weights: np.ndarray) -> Statistics:
    part = scored.take(np.flatnonzero(rows))
    weights = weights[:, rows]
    found = part.statistic(weights)
    if scored.task.kind == "regression":
        errors = [weighted.mean(one.value - part.y, weights) for one in part.repeats]
        return found | {"mean_error": np.mean(errors, axis=0)}
    if scored.task.kind == "binary":
        for name, code in (("sensitivity", 1), ("specificity", 0)):
            each = [weighted.mean_where(one.label == code, part.y == code, weights) for one in part.repeats]
            found[name] = np.mean(each, axis=0)
    return found


def _gap(values: list[np.ndarray]) -> np.ndarray:
    return np.max(values, axis=0) - np.min(values, axis=0)


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
