"""The numbers reported for a task.

For more than two classes AUROC, AUPRC, prevalence, Brier score and calibration slope are taken for each class
against the rest and averaged without weights (macro); prevalence is then what AUPRC would be by chance.
"""

from __future__ import annotations

import numpy as np

from prima_features.probes.evaluation import weighted
from prima_features.probes.outcome import Outcome
from prima_features.probes.tasks import Task

Scores = dict[str, np.ndarray]


def scores(task: Task, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> Scores:
    """All metrics of a task for each set of weights.

    Args:
        task: the target.
        y: (N,) numbers or class numbers.
        outcome: predictions of the N rows, none missing.
        weights: (B, N).

    Returns:
        (B,) numbers by the names in `task.metrics`.
    """
    if not task.is_classification:
        return _of_numbers(y, outcome.value, weights)
    found = _of_classes(task, y, outcome.probability, weights)
    found["balanced_accuracy"] = weighted.balanced_accuracy(y, outcome.label, weights, len(task.classes))
    return {name: found[name] for name in task.metrics}


def _of_numbers(y: np.ndarray, value: np.ndarray, weights: np.ndarray) -> Scores:
    error = value - y
    return {
        "mae": weighted.mean(np.abs(error), weights),
        "rmse": np.sqrt(weighted.mean(error**2, weights)),
        "r2": weighted.r2(y, value, weights),
        "pearson_r": weighted.pearson(y, value, weights),
    }


def _of_classes(task: Task, y: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Scores:
    if task.kind == "binary":
        return one_against_rest(y == 1, probability[:, 1], weights)
    each = [one_against_rest(y == k, probability[:, k], weights) for k in range(len(task.classes))]
    return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}


def one_against_rest(positive: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Scores:
    """Metrics of the probability of one class: (N,) truth and probability, (B, N) weights."""
    return {
        "auroc": weighted.auroc(positive, probability, weights),
        "auprc": weighted.average_precision(positive, probability, weights),
        "prevalence": weighted.mean(positive.astype(float), weights),
        "brier": weighted.mean((probability - positive) ** 2, weights),
        "calibration_slope": weighted.calibration_slope(positive, probability, weights),
    }
