"""Evaluations that fit again: baselines without the image, and a learning curve."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.covariates import baseline_recipe
from prima_features.probes.evaluation.scored import OutOfFold, cross_validate, scored, training_variance
from prima_features.probes.evaluation.splits import Fold, Splits
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples

FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)
_MIN_PER_INNER_FOLD = 2
_log = logging.getLogger(__name__)


def baselines(samples: Samples, splits: Splits) -> dict[str, OutOfFold]:
    """Out-of-fold predictions of each baseline that the known covariates allow.

    `dummy`: a constant prediction (see `Kind.constant`). `age_sex`: both, and age squared; for brain age
    `sex`, or `sex_icv` if intracranial volume is known. `age_sex_grade`: of survival, also the tumour's grade if it
    differs between subjects. `initial`: of a change, the value at the first visit. `site`: the site alone; not if
    sites are left out, since a site that is not in training has no estimate. All but the dummy are linear probes
    fitted in the same folds.
    """
    recipe = baseline_recipe(samples.kind)
    made = {
        name: cross_validate(replace(samples, X=design), recipe, splits)
        for name, design in designs(samples).items()
        if name != "site" or splits.scheme.kind != "leave-site-out"
    }
    return {"dummy": _dummy(samples, splits)} | made


def _dummy(samples: Samples, splits: Splits) -> OutOfFold:
    """The mean over folds of what is typical in training.

    Each fold's own mean would order the folds the wrong way round, those with more positives having fewer of them
    in training: an AUROC below 0.5 that a probe would seem to beat.
    """
    typical = np.mean([samples.kind.typical(samples.y[fold.train]) for fold in splits.folds], axis=0)
    fold_of = np.full((splits.n_repeats, len(samples)), -1)
    for i, fold in enumerate(splits.folds):
        fold_of[fold.repeat, fold.test] = i
    repeats = (samples.kind.constant(len(samples), typical),) * splits.n_repeats
    return OutOfFold(repeats, fold_of, (), variance=training_variance(samples, splits))


def designs(samples: Samples) -> dict[str, np.ndarray]:
    """(N, c) numbers that each baseline reads, none of them fitted to the data."""
    made = {}
    age, sex, icv, grade = (samples.covariates([name]) for name in ("age", "sex", "icv", "grade"))
    if samples.task.is_age:
        columns = {"sex": sex, "icv": icv}
    else:
        columns = {"age": np.hstack([age, (age - 50) ** 2]), "sex": sex}
    known = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if known:
        made["_".join(known)] = np.hstack([_filled(values) for values in known.values()])
    if samples.task.kind == "survival" and len(np.unique(grade[np.isfinite(grade)])) > 1:
        known["grade"] = grade
        made["_".join(known)] = np.hstack([_filled(values) for values in known.values()])
    if samples.task.name == "change":
        initial = samples.frame[["initial_value"]].to_numpy(dtype=float)
        if np.isfinite(initial).any():
            made["initial"] = _filled(initial)
    sites = samples.sites
    names = np.unique(sites[sites != ""])
    if len(names) > 1:
        made["site"] = (sites[:, None] == names).astype(float)
    return made


def _filled(values: np.ndarray) -> np.ndarray:
    """Zeros for missing numbers, and a column that marks them, whose effect a linear model can fit."""
    missing = ~np.isfinite(values[:, :1])
    filled = np.nan_to_num(values)
    return np.hstack([filled, missing]) if missing.any() else filled


@dataclass(frozen=True)
class LearningPoint:
    """One size of training set."""

    n_groups: float
    """Training subjects or groups, mean over the folds."""
    estimate: Estimate
    """Of the task's primary metric, on the same test rows for every size."""


@dataclass(frozen=True)
class LearningCurve:
    """How the metric depends on the number of training subjects."""

    points: tuple[LearningPoint, ...]
    """By increasing size."""
    left_out: tuple[tuple[float, str], ...] = ()
    """Sizes that cannot be evaluated, as `LearningPoint.n_groups`, and why."""
    unconverged: tuple[float, ...] = ()
    """Inverse penalties with which a logistic regression did not converge, at any size but the whole."""


def learning_curve(
    samples: Samples,
    recipe: Recipe,
    splits: Splits,
    fractions: Sequence[float] = FRACTIONS,
    n_resamples: int = 1000,
    whole: OutOfFold | None = None,
) -> LearningCurve:
    """Evaluate with parts of each training set. Smaller parts are inside larger ones.

    Sizes are left out if the inner folds have too few subjects or lack a class, or if the recipe refuses a training
    set of that size, such as ComBat with too few scans of a site.

    Args:
        samples: N studies.
        recipe: what is fitted.
        splits: folds with the whole training sets.
        fractions: parts of them.
        n_resamples: for the intervals.
        whole: predictions with the whole training sets, if they are known already.

    Raises:
        UsageError: the recipe refuses the whole training sets.
    """
    points, left_out, variance = [], [], training_variance(samples, splits)
    unconverged = set[float]()
    for fraction in fractions:
        folds = tuple(
            _thinned(samples, fold, fraction, splits.scheme.seed + i) for i, fold in enumerate(splits.folds)
        )
        size = float(np.mean([len(np.unique(samples.groups[fold.train])) for fold in folds]))
        if not all(_enough(samples, fold) for fold in folds):
            left_out.append((size, "the inner folds have too few studies or lack a class"))
            continue
        try:
            known = whole if fraction >= 1 else None
            predicted = known or cross_validate(samples, recipe, replace(splits, folds=folds))
        except UsageError as error:
            if fraction >= 1:
                raise
            left_out.append((size, str(error)))
            continue
        if fraction < 1:
            unconverged.update(predicted.unconverged)
        # Rows left out of training make the tested ones no more dependent: intervals as with whole training sets.
        predicted = replace(predicted, variance=variance)
        estimate = scored(samples, predicted, n_resamples).estimates()[samples.task.primary]
        points.append(LearningPoint(size, estimate))
    return LearningCurve(tuple(points), tuple(left_out), tuple(sorted(unconverged)))


def _thinned(samples: Samples, fold: Fold, fraction: float, seed: int) -> Fold:
    """The fold with the first part of its training groups, in an order that is the same for all fractions."""
    names, group = np.unique(samples.groups[fold.train], return_inverse=True)
    # Class by class, so that small parts keep the classes' shares.
    place = np.random.default_rng(seed).permutation(len(names))
    first_row = np.unique(group, return_index=True)[1]
    code = samples.kind.thinning_strata(samples.y[fold.train][first_row])
    kept = np.zeros(len(names), dtype=bool)
    for one in np.unique(code):
        members = np.flatnonzero(code == one)
        kept[members[np.argsort(place[members])][: round(fraction * len(members))]] = True
    rows = kept[group]
    return replace(fold, train=fold.train[rows], inner=fold.inner[rows])


def _enough(samples: Samples, fold: Fold) -> bool:
    used, counts = np.unique(fold.inner, return_counts=True)
    return (
        len(used) >= 2
        and counts.min() >= _MIN_PER_INNER_FOLD
        and not samples.kind.absent(samples.y[fold.train])
    )
