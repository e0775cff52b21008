"""Checks for leakage: what is left with labels permuted within sites or within subjects, and scans under two names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prima_features.probes.evaluation.permuted import null_values, p_of, permuted_rows, primary_value
from prima_features.probes.evaluation.splits import Scheme
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples
from prima_features.wording import count, verb

Within = Literal["site", "subject"]
N_PERMUTATIONS = 39
"""The smallest p-value is 1 / 40."""
NOTABLE_SHARE = 0.2
_TWINS = 0.01
"""Studies are taken as one if the distance of their features is below this share of the median distance."""
_MOST_STUDIES = 20_000
"""More studies are not compared with each other."""
_BLOCK = 512
_NAMED = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shuffled:
    """The primary metric with labels permuted within sites or within subjects."""

    metric: str
    observed: float
    """With the true labels."""
    chance: float
    """Of the constant baseline."""
    mean: float
    low: float
    high: float
    """Mean and range over the permutations."""
    p_value: float
    """(1 + permutations with a metric at least as good) / (1 + permutations)."""
    n_permutations: int
    share: float
    """Of the gain over chance, what is left with permuted labels; NaN without a gain."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"share": self.share if np.isfinite(self.share) else None}


@dataclass(frozen=True)
class Leakage:
    """Results of the checks."""

    shuffled: dict[Within, Shuffled]
    not_possible: dict[Within, str]
    """Why labels could not be permuted."""
    twins: tuple[tuple[str, str], ...]
    """Studies of different subjects with nearly the same features; at most `_NAMED`."""
    n_twins: int | None
    """None if there were too many studies to compare."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "shuffled": {name: one.to_dict() for name, one in self.shuffled.items()},
            "not_possible": self.not_possible,
            "n_twins": self.n_twins,
            "twins": [list(pair) for pair in self.twins],
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each problem."""
        found = [text for name, one in self.shuffled.items() if (text := _problem(name, one))]
        if self.n_twins:
            found.append(
                f"{count(self.n_twins, 'pair')} of studies of different subjects {verb(self.n_twins, 'has', 'have')} "
                "nearly the same features: check whether one scan is there under two names (leakage.twins in "
                "metrics.json)"
            )
        return tuple(found)


def check_leakage(
    samples: Samples, recipe: Recipe, scheme: Scheme, chance: float, n_permutations: int = N_PERMUTATIONS
) -> Leakage:
    """Run the whole nested evaluation on labels permuted within sites and within subjects, with new folds each time.

    Within sites, whole subjects exchange their labels: what is left of the metric comes from the sites. Within
    subjects, the studies of a subject exchange them: what is left comes from who the subject is.

    Args:
        samples: N studies.
        recipe: what is fitted.
        scheme: how the folds are drawn.
        chance: primary metric of the constant baseline.
        n_permutations: of each kind.
    """
    shuffled: dict[Within, Shuffled] = {}
    not_possible: dict[Within, str] = {}
    observed = primary_value(samples, recipe, scheme)
    permutations: dict[Within, tuple[str, Callable[[np.random.Generator], np.ndarray]]] = {
        "site": (_no_sites(samples), lambda rng: permuted_rows(samples, rng, samples.sites)),
        "subject": (_no_repeats(samples), lambda rng: _within_subjects(samples, rng)),
    }
    for within, (reason, permute) in permutations.items():
        if reason:
            not_possible[within] = reason
            continue
        _log.info("labels permuted within each %s", within)
        null = null_values(samples, recipe, scheme, n_permutations, permute)
        shuffled[within] = Shuffled(
            samples.kind.primary,
            observed,
            chance,
            float(null.mean()),
            float(null.min()),
            float(null.max()),
            p_of(samples, observed, null),
            n_permutations,
            _share(samples, observed, chance, float(null.mean())),
        )
    pairs = _twins(samples)
    named = tuple(pairs[:_NAMED]) if pairs is not None else ()
    return Leakage(shuffled, not_possible, named, None if pairs is None else len(pairs))


def _share(samples: Samples, observed: float, chance: float, permuted: float) -> float:
    gain = (observed - chance) * (1 if samples.kind.higher_is_better else -1)
    return (permuted - chance) / (observed - chance) if gain > 1e-12 else float("nan")


def _problem(within: Within, one: Shuffled) -> str:
    what = {
        "site": "permuted within sites",
        "subject": "exchanged between the studies of a subject",
    }[within]
    source = {
        "site": "this part of the result comes from the sites",
        "subject": "this part comes from who the subject is, and not from what changes between a subject's studies",
    }[within]
    if one.share >= NOTABLE_SHARE:
        return f"{100 * min(one.share, 1):.0f}% of the gain over chance is left with labels {what}: {source}"
    if one.p_value > 0.05:
        return f"the result is not better than with labels {what} (p = {one.p_value:.2g})"
    return ""


def _no_sites(samples: Samples) -> str:
    sites = samples.sites[samples.eligible]
    if len(np.unique(sites[sites != ""])) < 2:
        return "fewer than two sites are known"
    rng = np.random.default_rng(0)
    order = permuted_rows(samples, rng, samples.sites)
    if _same(samples, order):
        return "no two subjects of one site have different labels"
    return ""


def _no_repeats(samples: Samples) -> str:
    eligible = samples.eligible
    _, counts = np.unique(samples.groups[eligible], return_counts=True)
    if counts.max(initial=0) < 2:
        return "no subject has several studies"
    for seed in range(3):
        if not _same(samples, _within_subjects(samples, np.random.default_rng(seed))):
            return ""
    return "the labels of a subject's studies are all the same"


def _same(samples: Samples, order: np.ndarray) -> bool:
    return bool(np.array_equal(samples.y[order], samples.y, equal_nan=True))


def _within_subjects(samples: Samples, rng: np.random.Generator) -> np.ndarray:
    """(N,) the row whose label each row gets: another of its subject. Rows that are not eligible keep their own."""
    order = np.arange(len(samples))
    subjects = samples.frame["subject"].to_numpy(dtype=str)
    eligible = np.flatnonzero(samples.eligible)
    for name in np.unique(subjects[eligible]):
        rows = eligible[subjects[eligible] == name]
        order[rows] = rng.permutation(rows)
    return order


def _twins(samples: Samples) -> list[tuple[str, str]] | None:
    """Pairs of studies of different groups whose features are nearly the same; None above `_MOST_STUDIES`."""
    n = len(samples)
    if n > _MOST_STUDIES:
        return None
    X = samples.X.astype(np.float64)
    spread = X.std(axis=0)
    X = (X - X.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    squares = (X**2).sum(axis=1)
    _, group = np.unique(samples.groups, return_inverse=True)
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, n, (2, 10_000))
    apart = group[a] != group[b]
    if not apart.any() or not X.shape[1]:
        return []
    median = float(np.median(((X[a[apart]] - X[b[apart]]) ** 2).sum(axis=1)))
    names = samples.frame["study"].to_numpy(dtype=str)
    found = []
    for first in range(0, n, _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, n))
        distance = squares[rows, None] + squares - 2 * X[rows] @ X.T
        near = (distance < _TWINS**2 * median) & (group[rows, None] != group) & (rows[:, None] < np.arange(n))
        found += [(names[rows[i]], names[j]) for i, j in zip(*np.nonzero(near), strict=True)]
    return found
