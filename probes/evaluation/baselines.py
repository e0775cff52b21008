"""What can be had without the image, on the same folds: the numbers that a probe must beat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prima_features.probes.evaluation.crossval import OutOfFold, cross_validate
from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples

_RECIPES = {
    False: Recipe("ridge", {"alphas": (100.0, 1.0, 0.01)}),
    True: Recipe("logistic", {"C": (0.01, 1.0, 100.0), "components": None}),
}


def baselines(samples: Samples, splits: Splits) -> dict[str, OutOfFold]:
    """Out-of-fold predictions of each baseline that what is known allows.

    `dummy`: the mean, or the classes' frequencies, of the training rows. `age_sex`: both, and age squared; for brain
    age `sex`, or `sex_icv` where intracranial volume is known. `site`: the site alone; a site that is not in
    training tells nothing. All are linear probes fitted in the same folds.
    """
    recipe = _RECIPES[samples.task.is_classification]
    return {
        name: cross_validate(replace(samples, X=design), recipe, splits)
        for name, design in designs(samples).items()
    }


def designs(samples: Samples) -> dict[str, np.ndarray]:
    """(N, c) numbers that each baseline reads, none of them fitted to the data."""
    made = {"dummy": np.zeros((len(samples), 1))}
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
