"""The primary metric of each fold: for comparing probes, and to see whether the folds' scores are on one scale."""

from __future__ import annotations

import numpy as np

from prima_features.probes.evaluation.crossval import OutOfFold
from prima_features.probes.evaluation.record import FoldScores
from prima_features.probes.evaluation.scored import scores
from prima_features.probes.evaluation.splits import Fold, Splits
from prima_features.probes.samples import Samples

NOTABLE_DIFFERENCE = 0.05


def fold_scores(samples: Samples, predicted: OutOfFold, splits: Splits) -> FoldScores:
    """The primary metric over the rows of each fold that count; NaN where there are none, or none of a class."""
    tested = [fold.test[samples.eligible[fold.test]] for fold in splits.folds]
    return FoldScores(
        samples.task.primary,
        np.array([_score(samples, predicted, *pair) for pair in zip(splits.folds, tested, strict=True)]),
        np.array([len(fold.train) for fold in splits.folds]),
        np.array([len(rows) for rows in tested]),
        tuple(fold.name for fold in splits.folds),
        predicted.parameters,
    )


def check_scale(samples: Samples, found: FoldScores, overall: float) -> tuple[str, ...]:
    """A sentence where the AUROC within folds is not that over all rows.

    Scores of different folds are by different probes. Where these are far apart, as with sites left out, pairs of
    rows of different folds are ordered by the probes as well as by the rows.
    """
    defined = np.isfinite(found.values)
    if not samples.task.is_classification or defined.sum() < 2:
        return ()
    within = float(np.average(found.values[defined], weights=found.n_test[defined]))
    if abs(within - overall) <= NOTABLE_DIFFERENCE:
        return ()
    return (
        f"AUROC is {within:.2f} within folds and {overall:.2f} over all of them: the folds' scores are not on one "
        "scale, and the second says how one threshold for all would do",
    )


def _score(samples: Samples, predicted: OutOfFold, fold: Fold, rows: np.ndarray) -> float:
    if not len(rows):
        return float("nan")
    outcome = predicted.repeats[fold.repeat].take(rows)
    return float(
        scores(samples.task, samples.y[rows], outcome, np.ones((1, len(rows))))[samples.task.primary][0]
    )
