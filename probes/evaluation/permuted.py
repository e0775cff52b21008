"""A permutation test of the primary metric."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Permutation:
    """How often permuted labels reach the metric of the true labels."""

    metric: str
    observed: float
    p_value: float
    """(1 + permutations with a metric at least as good) / (1 + permutations)."""
    n_permutations: int
    null_mean: float
    null_sd: float


def permutation_test(samples: Samples, recipe: Recipe, scheme: Scheme, n_permutations: int) -> Permutation:
    """Run the whole nested evaluation on permuted labels, with new folds each time.

    Labels move between groups as whole blocks, between groups of one size (Winkler 2015,
    10.1016/j.neuroimage.2015.05.092), so that a subject's repeated scans keep going together.

    Raises:
        UsageError: no two groups have the same number of studies, so that nothing can be permuted.
    """
    name = samples.kind.primary
    observed = primary_value(samples, recipe, scheme)
    null = null_values(samples, recipe, scheme, n_permutations, partial(permuted_rows, samples))
    p_value = p_of(samples, observed, null)
    return Permutation(name, observed, p_value, n_permutations, float(null.mean()), float(null.std()))


def null_values(
    samples: Samples,
    recipe: Recipe,
    scheme: Scheme,
    n_permutations: int,
    permute: Callable[[np.random.Generator], np.ndarray],
) -> np.ndarray:
    """(n_permutations,) primary metrics of nested evaluations on permuted labels, with new folds each time.

    Args:
        samples: N studies.
        recipe: what is fitted.
        scheme: how the folds are drawn; its seed is that of the permutations too.
        n_permutations: number of evaluations.
        permute: gives the (N,) row whose label each row gets.
    """
    rng = np.random.default_rng(scheme.seed)
    null = np.empty(n_permutations)
    for i in range(n_permutations):
        null[i] = primary_value(replace(samples, y=samples.y[permute(rng)]), recipe, scheme)
        _log.info("permutation %d of %d: %s %.3f", i + 1, n_permutations, samples.kind.primary, null[i])
    return null


def p_of(samples: Samples, observed: float, null: np.ndarray) -> float:
    """(1 + values of the primary metric in `null` that are at least as good) / (1 + values)."""
    sign = 1 if samples.kind.higher_is_better else -1
    # Equal up to rounding counts as equal: ties must not make the test lenient.
    as_good = int((sign * (null - observed) >= -1e-12).sum())
    return (1 + as_good) / (1 + len(null))


def permuted_rows(samples: Samples, rng: np.random.Generator, within: np.ndarray | None = None) -> np.ndarray:
    """(N,) the row whose label each row gets. Rows that are not eligible keep their own.

    Args:
        samples: N studies.
        rng: of the permutation.
        within: (N,) text of a level, such as the site, that every label stays in: groups exchange labels only if
            they have as many studies at each level. Then groups may also be left as they are.

    Raises:
        UsageError: nothing can be permuted because no two groups have the same number of studies.
    """
    eligible = np.flatnonzero(samples.eligible)
    _, group = np.unique(samples.groups[eligible], return_inverse=True)
    level = np.zeros(len(eligible), dtype=int)
    if within is not None:
        level = np.unique(within[eligible], return_inverse=True)[1]
    members = np.split(np.lexsort((level, group)), np.cumsum(np.bincount(group))[:-1])
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, rows in enumerate(members):
        alike.setdefault((len(rows), *level[rows].tolist()), []).append(i)
    if within is None and len(alike) == len(members):
        raise UsageError(
            "the permutation test is not possible: no two subjects or groups have the same number of studies; run "
            "without --permutations"
        )
    order = np.arange(len(samples))
    for _, same in sorted(alike.items()):
        for target, source in zip(same, rng.permutation(same), strict=True):
            order[eligible[members[target]]] = eligible[members[source]]
    return order


def primary_value(samples: Samples, recipe: Recipe, scheme: Scheme) -> float:
    """Primary metric of a nested evaluation with new folds."""
    predicted = cross_validate(samples, recipe, draw(samples, scheme), log_folds=False)
    return scored(samples, predicted, n_resamples=0).values()[samples.task.primary]
