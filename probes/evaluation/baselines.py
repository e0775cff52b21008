"""What can be had without the image, on the same folds: the numbers that a probe must beat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prima_features.probes.evaluation.scored import OutOfFold, cross_validate, training_variance
from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.recipe import Outcome, Recipe
from prima_features.probes.samples import Samples
from prima_features.probes.training import typical_of

_RECIPES = {
    False: Recipe("ridge", {"alphas": (100.0, 1.0, 0.01)}),
    True: Recipe("logistic", {"C": (0.01, 1.0, 100.0), "components": None}),
}


def baselines(samples: Samples, splits: Splits) -> dict[str, OutOfFold]:
    """Out-of-fold predictions of each baseline that what is known allows.

    `dummy`: one number or class for everyone (see `constant`). `age_sex`: both, and age squared; for brain age
    `sex`, or `sex_icv` where intracranial volume is known. `site`: the site alone; not where sites are left out,
    since a site that is not in training tells nothing. All but the dummy are linear probes fitted in the same folds.
    """
    recipe = _RECIPES[samples.task.is_classification]
    made = {
        name: cross_validate(replace(samples, X=design), recipe, splits)
        for name, design in designs(samples).items()
        if name != "site" or splits.scheme.kind != "leave-site-out"
    }
    return {"dummy": _dummy(samples, splits)} | made


def constant(samples: Samples, typical: np.ndarray) -> Outcome:
    """The same for everyone: (1,) mean target, or (K,) frequencies of the classes with the most frequent one."""
    outcome = Outcome.empty(len(samples), len(samples.task.classes))
    if samples.task.is_classification:
        outcome.probability[:] = typical
        outcome.label[:] = int(np.argmax(typical))
    else:
        outcome.value[:] = typical[0]
    return outcome


def _dummy(samples: Samples, splits: Splits) -> OutOfFold:
    """The mean over folds of what is typical in training.

    Each fold's own mean would order the folds the wrong way round, those with more positives having fewer of them
    in training: an AUROC below 0.5 that a probe would seem to beat.
    """
    typical = np.mean([typical_of(samples.take(fold.train)) for fold in splits.folds], axis=0)
    fold_of = np.full((splits.n_repeats, len(samples)), -1)
    for i, fold in enumerate(splits.folds):
        fold_of[fold.repeat, fold.test] = i
    repeats = (constant(samples, typical),) * splits.n_repeats
    return OutOfFold(repeats, fold_of, (), variance=training_variance(samples, splits))


def designs(samples: Samples) -> dict[str, np.ndarray]:
    """(N, c) numbers that each baseline reads, none of them fitted to the data."""
    made = {}
    age, sex, icv = (samples.covariates([name]) for name in ("age", "sex", "icv"))
    if samples.task.is_age:
        columns = {"sex": sex, "icv": icv}
    else:
        columns = {"age": np.hstack([age, (age - 50) ** 2]), "sex": sex}
    known = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if known:
        made["_".join(known)] = np.hstack([_filled(values) for values in known.values()])
    sites = samples.sites
    names = np.unique(sites[sites != ""])
    if len(names) > 1:
        made["site"] = (sites[:, None] == names).astype(float)
    return made


def _filled(values: np.ndarray) -> np.ndarray:
    """A constant where a number is missing, and a column that says so: a linear model fits what the gap means."""
    missing = ~np.isfinite(values[:, :1])
    filled = np.nan_to_num(values)
    return np.hstack([filled, missing]) if missing.any() else filled
