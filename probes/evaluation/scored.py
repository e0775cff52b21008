"""Out-of-fold predictions with the rows that count: what metrics, groups and comparisons are computed on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from prima_features.evaluation import bounds, weighted
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.evaluation.crossval import OutOfFold
from prima_features.probes.outcome import Outcome
from prima_features.probes.samples import Samples
from prima_features.probes.tasks import Task


def scores(task: Task, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
    """All metrics of a task for each set of weights.

    With more than two classes, AUROC, AUPRC, prevalence, Brier score and calibration slope are computed for each class
    against the rest and averaged without weights (macro); prevalence is then the AUPRC expected by chance.

    Args:
        task: the target.
        y: (N,) numbers or class numbers.
        outcome: predictions of the N rows, none missing.
        weights: (B, N).

    Returns:
        (B,) values by the names in `task.metrics`.
    """
    if not task.is_classification:
        return weighted.regression(y, outcome.value, weights)
    classes = [1] if task.kind == "binary" else range(len(task.classes))
    each = [weighted.one_against_rest(y == k, outcome.probability[:, k], weights) for k in classes]
    found = (
        each[0]
        if len(each) == 1
        else {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}
    )
    found["balanced_accuracy"] = weighted.balanced_accuracy(y, outcome.label, weights, len(task.classes))
    return {name: found[name] for name in task.metrics}


@dataclass(frozen=True)
class Scored:
    """N predicted rows with their truth."""

    task: Task
    y: np.ndarray
    """(N,)."""
    repeats: tuple[Outcome, ...]
    """Predictions of the N rows, one a repeat."""
    bootstrap: Bootstrap

    def statistic(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(B,) metrics for (B, N) weights: the mean over repeats of each repeat's metric.

        A metric of averaged predictions would be that of an ensemble, and flatter the probe.
        """
        each = [scores(self.task, self.y, outcome, weights) for outcome in self.repeats]
        return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}

    def estimates(self) -> dict[str, Estimate]:
        """The task's metrics with their intervals."""
        return self.bounded(self.bootstrap.estimates(self.statistic))

    def bounded(self, found: dict[str, Estimate]) -> dict[str, Estimate]:
        """Estimates of the task's metrics with intervals extended near the metrics' ends (`bounds`)."""
        if not self.task.is_classification:
            # Without width where every prediction is right: resampling says nothing then.
            return {
                name: one if one.ci_low < one.ci_high else Estimate(one.value) for name, one in found.items()
            }
        probability, labels = zip(*((one.probability, one.label) for one in self.repeats), strict=True)
        return found | bounds.classification(found, self.y, probability, labels, self.bootstrap)

    def values(self) -> dict[str, float]:
        """The task's metrics alone."""
        return {name: float(value[0]) for name, value in self.statistic(np.ones((1, len(self.y)))).items()}

    def take(self, rows: np.ndarray) -> Scored:
        """Some of the rows, by mask or position."""
        bootstrap = replace(
            self.bootstrap, groups=self.bootstrap.groups[rows], strata=self.bootstrap.strata[rows]
        )
        return Scored(self.task, self.y[rows], tuple(one.take(rows) for one in self.repeats), bootstrap)


def scored(samples: Samples, predicted: OutOfFold, n_resamples: int = 1000, seed: int = 0) -> Scored:
    """The rows that were tested and are eligible, with a bootstrap of their groups, stratified by class."""
    rows = np.flatnonzero(predicted.tested & samples.eligible)
    strata = samples.y[rows] if samples.task.is_classification else np.zeros(len(rows), dtype=np.int64)
    bootstrap = Bootstrap(samples.groups[rows], strata, n_resamples, seed, predicted.variance)
    repeats = tuple(outcome.take(rows) for outcome in predicted.repeats)
    return Scored(samples.task, samples.y[rows], repeats, bootstrap)
