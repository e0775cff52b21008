"""A permutation test of the whole procedure, for small samples."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Permutation:
    """How often labels dealt out at random do as well as the true ones."""

    metric: str
    observed: float
    p_value: float
    """(1 + permutations that do as well) / (1 + permutations)."""
    n_permutations: int
    null_mean: float
    null_sd: float


def permutation_test(samples: Samples, recipe: Recipe, scheme: Scheme, n_permutations: int) -> Permutation:
    """Run the whole nested evaluation on permuted labels, folds drawn anew each time.

    Labels move between groups as whole blocks, between groups of one size (Winkler 2015,
    10.1016/j.neuroimage.2015.05.092), so that a subject's repeated scans keep going together.

    Raises:
        UsageError: no two groups have the same number of studies, so that nothing can be permuted.
    """
    name, sign = samples.task.primary, 1 if samples.task.is_classification else -1
    observed = _metric(samples, recipe, scheme)
    rng = np.random.default_rng(scheme.seed)
    null = np.empty(n_permutations)
    for i in range(n_permutations):
        order = permuted_rows(samples, rng)
        null[i] = _metric(replace(samples, y=samples.y[order]), recipe, scheme)
        _log.info("permutation %d of %d: %s %.3f", i + 1, n_permutations, name, null[i])
    # Equal up to rounding counts as equal: ties must not make the test lenient.
    as_good = int((sign * (null - observed) >= -1e-12).sum())
    p_value = (1 + as_good) / (1 + n_permutations)
    return Permutation(name, observed, p_value, n_permutations, float(null.mean()), float(null.std()))


def permuted_rows(samples: Samples, rng: np.random.Generator) -> np.ndarray:
    """(N,) the row whose label each row gets. Rows that are not eligible keep their own."""
    eligible = np.flatnonzero(samples.eligible)
    _, group = np.unique(samples.groups[eligible], return_inverse=True)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    sizes = np.array([len(rows) for rows in members])
    if len(np.unique(sizes)) == len(sizes):
        raise UsageError(
            "labels cannot be permuted: no two subjects or groups have the same number of studies"
        )
    order = np.arange(len(samples))
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        for target, source in zip(same, rng.permutation(same), strict=True):
            order[eligible[members[target]]] = eligible[members[source]]
    return order


def _metric(samples: Samples, recipe: Recipe, scheme: Scheme) -> float:
    predicted = cross_validate(samples, recipe, draw(samples, scheme))
    return scored(samples, predicted, n_resamples=0).values()[samples.task.primary]
