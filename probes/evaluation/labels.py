"""Results of each of several labels: counts, metrics, decisions, and a test against chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import norm

from prima_features.evaluation.gaps import holm
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.rank_test import van_elteren
from prima_features.probes.evaluation.decisions import Decisions, decisions
from prima_features.probes.evaluation.scored import Scored
from prima_features.probes.kinds import Outcome
from prima_features.probes.tasks import Task

Estimates = dict[str, Estimate]
_CROSS_VALIDATED = 2.0
"""Factor of the variance of the test against chance (see `chance_test`)."""


@dataclass(frozen=True)
class LabelResult:
    """One label, on the studies where it is known."""

    n: int
    """Studies."""
    n_positive: int
    n_unknown: int
    """Studies that do not count for this label."""
    metrics: Estimates
    """As of two classes, with sensitivity and specificity."""
    decisions: Decisions
    p_value: float
    """One-sided, of scores that do not rank studies with the label above others (AUROC 0.5); see `chance_test`."""
    p_holm: float
    """Adjusted for all labels (Holm 1979)."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {name: getattr(self, name) for name in ("n", "n_positive", "n_unknown")}
        p = {name: getattr(self, name) for name in ("p_value", "p_holm")}
        return (
            counts
            | {"metrics": {name: one.to_dict() for name, one in self.metrics.items()}}
            | {name: value if np.isfinite(value) else None for name, value in p.items()}
            | {"decisions": self.decisions.to_dict()}
        )


def label_results(result: Scored) -> dict[str, LabelResult]:
    """Assess each label of N predicted rows, in the task's order; labels that no row has are left out."""
    parts = {name: of_label(result, i) for i, name in enumerate(result.task.labels)}
    parts = {name: one for name, one in parts.items() if len(one.y)}
    p_values = np.array([chance_test(one) for one in parts.values()])
    return {
        name: LabelResult(
            len(one.y),
            int(one.y.sum()),
            len(result.y) - len(one.y),
            label_metrics(one),
            decisions(one),
            float(p_value),
            float(p_holm),
        )
        for (name, one), p_value, p_holm in zip(parts.items(), p_values, holm(p_values), strict=True)
    }


def of_label(result: Scored, i: int) -> Scored:
    """One label as two classes, absent and present, on the rows where it is known.

    Resamples do not keep the number of studies with the label: it is not fixed by the design of a cohort.
    """
    rows = np.flatnonzero(np.isfinite(result.y[:, i]))
    y = result.y[rows, i].astype(np.int64)
    name = result.task.labels[i]
    unknown = np.full(len(rows), np.nan)
    repeats = []
    for one in result.repeats:
        share = one.probability[rows, i]
        repeats.append(Outcome(unknown, np.column_stack([1 - share, share]), one.label[rows, i], unknown))
    return replace(
        result.take(rows),
        task=Task(name, "", (f"without {name}", f"with {name}")),
        y=y,
        repeats=tuple(repeats),
    )


def label_metrics(one: Scored) -> Estimates:
    """Metrics of a label as two classes, with sensitivity and specificity; see `of_label`."""

    def rates(weights: np.ndarray) -> dict[str, np.ndarray]:
        each = [one.kind.group_scores(one.y, outcome, weights) for outcome in one.repeats]
        return {name: np.mean([found[name] for found in each], axis=0) for name in each[0]}

    found = one.kind.bounded_group(one.bootstrap.estimates(rates), one.y, one.bootstrap)
    return one.bounded(one.bootstrap.estimates(one.statistic)) | found


def chance_test(one: Scored) -> float:
    """One-sided p value of an AUROC of 0.5, of a label as two classes; NaN if it is not defined.

    Van Elteren's rank test within the folds, on the first study of each subject: scores of different folds are by
    different probes, and are not compared. The statistic is the mean over repeats. In cross-validation two folds test
    each other's training subjects, so their statistics are correlated, and the variance is doubled. That is exact for a
    score that is linear in the training labels: what subject A adds to the score of B, B adds to that of A. For others
    it is more than is needed; benchmarks/labels.py measures the errors.
    """
    _, first = np.unique(one.bootstrap.groups, return_index=True)
    folds = np.zeros((len(one.repeats), len(one.y)), dtype=np.int64) if one.fold is None else one.fold
    statistics = [
        van_elteren(one.y[first] == 1, outcome.probability[first, 1], fold[first])
        for outcome, fold in zip(one.repeats, folds, strict=True)
    ]
    factor = _CROSS_VALIDATED if one.bootstrap.variance > 1 else 1.0
    return float(norm.sf(np.mean(statistics) / np.sqrt(factor)))
