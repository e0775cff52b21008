"""How the primary metric grows with the number of training subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import cross_validate, scored, training_variance
from prima_features.probes.evaluation.splits import Fold, Splits
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples

FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)
_MIN_PER_INNER_FOLD = 2


@dataclass(frozen=True)
class LearningPoint:
    """One size of training set."""

    n_groups: float
    """Training subjects or groups, mean over the folds."""
    estimate: Estimate
    """Of the task's primary metric, on the same test rows for every size."""


def learning_curve(
    samples: Samples,
    recipe: Recipe,
    splits: Splits,
    fractions: Sequence[float] = FRACTIONS,
    n_resamples: int = 1000,
) -> tuple[LearningPoint, ...]:
    """Evaluate with parts of each training set. Smaller parts are inside larger ones.

    Sizes at which a training set holds too few subjects for its inner folds, or of a class, are left out.
    """
    points, whole = [], training_variance(samples, splits)
    for fraction in fractions:
        folds = tuple(
            _thinned(samples, fold, fraction, splits.scheme.seed + i) for i, fold in enumerate(splits.folds)
        )
        if not all(_enough(samples, fold) for fold in folds):
            continue
        predicted = cross_validate(samples, recipe, replace(splits, folds=folds))
        # Rows left out of training make the tested ones no more dependent: intervals as with whole training sets.
        predicted = replace(predicted, variance=whole)
        estimate = scored(samples, predicted, n_resamples).estimates()[samples.task.primary]
        size = np.mean([len(np.unique(samples.groups[fold.train])) for fold in folds])
        points.append(LearningPoint(float(size), estimate))
    return tuple(points)


def _thinned(samples: Samples, fold: Fold, fraction: float, seed: int) -> Fold:
    """The fold with the first part of its training groups, in an order that is the same for all fractions."""
    names, group = np.unique(samples.groups[fold.train], return_inverse=True)
    # Class by class, so that small parts keep the classes' shares.
    place = np.random.default_rng(seed).permutation(len(names))
    first_row = np.unique(group, return_index=True)[1]
    code = samples.y[fold.train][first_row] if samples.task.is_classification else np.zeros(len(names))
    kept = np.zeros(len(names), dtype=bool)
    for one in np.unique(code):
        members = np.flatnonzero(code == one)
        kept[members[np.argsort(place[members])][: round(fraction * len(members))]] = True
    rows = kept[group]
    return replace(fold, train=fold.train[rows], inner=fold.inner[rows])


def _enough(samples: Samples, fold: Fold) -> bool:
    used, counts = np.unique(fold.inner, return_counts=True)
    present = len(np.unique(samples.y[fold.train]))
    return (
        len(used) >= 2
        and counts.min() >= _MIN_PER_INNER_FOLD
        and (not samples.task.is_classification or present == len(samples.task.classes))
    )
