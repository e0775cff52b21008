"""The outer loop, written out: scikit-learn's own nested loops drop the groups on the way."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.outcome import Outcome
from prima_features.probes.recipe import FittedRecipe, Recipe, fit_recipe
from prima_features.probes.samples import Samples

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of rows by probes that had not seen their groups."""

    repeats: tuple[Outcome, ...]
    """Of all N rows, a repeat each; rows that were never tested hold NaN and -1."""
    fold: np.ndarray
    """(repeats, N) fold that tested each row, -1 where none did."""
    parameters: tuple[dict[str, Any], ...]
    """What the inner loop of each fold chose."""
    fitted: tuple[FittedRecipe, ...] = ()
    """What was fitted in each fold, where it was asked for."""
    variance: float = 1.0
    """Of the bootstrap's weights (see `intervals`): above 1 where those who are tested also train."""

    @property
    def tested(self) -> np.ndarray:
        """(N,) rows that were predicted."""
        return np.asarray((self.fold >= 0).all(axis=0))


def cross_validate(
    samples: Samples, recipe: Recipe, splits: Splits, *, keep_fitted: bool = False
) -> OutOfFold:
    """Fit on each fold's training rows, and predict its test rows.

    Args:
        samples: N studies.
        recipe: what is fitted in each fold.
        splits: the folds (see `draw.draw`).
        keep_fitted: also return what was fitted.
    """
    n, n_classes = len(samples), len(samples.task.classes)
    repeats = tuple(Outcome.empty(n, n_classes) for _ in range(splits.n_repeats))
    fold_of = np.full((splits.n_repeats, n), -1)
    parameters, kept = [], []
    for i, fold in enumerate(splits.folds):
        fitted = fit_recipe(recipe, samples, fold.train, fold.inner)
        repeats[fold.repeat].put(fold.test, fitted.predict(samples.take(fold.test)))
        fold_of[fold.repeat, fold.test] = i
        parameters.append(fitted.estimator.best_params_)
        if keep_fitted:
            kept.append(fitted)
        _log.info("fold %d of %d: %s", i + 1, len(splits.folds), parameters[-1])
    return OutOfFold(repeats, fold_of, tuple(parameters), tuple(kept), training_variance(samples, splits))


def training_variance(samples: Samples, splits: Splits) -> float:
    """Nadeau and Bengio's factor, 1 + n_tested / n_train; 1 where a single fold tests who never trains."""
    if len(splits.folds) == 1:
        return 1.0
    n_tested = sum(int(samples.eligible[fold.test].sum()) for fold in splits.folds) / splits.n_repeats
    return 1 + n_tested / float(np.mean([len(fold.train) for fold in splits.folds]))
