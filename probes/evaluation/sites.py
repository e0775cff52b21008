"""How much of the site is in the labels and in the embedding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task

_MIN_GROUPS = 10
_READER = Recipe("logistic", {"C": (1e-4, 1e-2, 1.0), "components": 128}, inner_folds=3)


@dataclass(frozen=True)
class SiteDecodability:
    """How well the site can be read from the embedding, by logistic regression in grouped cross-validation."""

    balanced_accuracy: Estimate
    """From the features as they are."""
    chance: float
    """1 over the number of sites."""
    sites: tuple[str, ...]
    """With at least 10 subjects; the others are left out."""
    harmonized: Estimate | None = None
    """Balanced accuracy after harmonisation fitted in the same folds; None if the probe does not harmonise."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "chance": self.chance,
            "n_sites": len(self.sites),
            "harmonized": self.harmonized.to_dict() if self.harmonized else None,
        }


def site_decodability(
    given: Samples, n_resamples: int = 1000, seed: int = 0, recipe: Recipe | None = None
) -> SiteDecodability | None:
    """Read the site from the features; None if fewer than two sites have 10 subjects.

    Uses the sites' rows whatever their labels, and five folds grouped by subject. A subject scanned at several
    sites is kept on one side.

    Args:
        given: studies with their sites.
        n_resamples: for the intervals.
        seed: of folds and resamples.
        recipe: the probe's. If it harmonises, the site is also read from features harmonised as in the probe,
            fitted on each training fold alone.
    """
    sites, groups = given.sites, given.groups
    names = [
        str(site)
        for site in np.unique(sites[sites != ""])
        if len(np.unique(groups[sites == site])) >= _MIN_GROUPS
    ]
    if len(names) < 2:
        return None
    rows = np.flatnonzero(np.isin(sites, names))
    task = Task("site", "the site of the scan", tuple(names))
    frame = given.frame.iloc[rows].assign(target=sites[rows])
    if given.task.is_age:  # whose effect the probe's harmonisation does not keep
        frame = frame.assign(age=np.nan)
    asked = samples(given.X[rows], frame.reset_index(drop=True), task)
    splits = draw(asked, Scheme(inner_folds=3, seed=seed))

    def accuracy(reader: Recipe) -> Estimate:
        predicted = cross_validate(asked, reader, splits)
        return scored(asked, predicted, n_resamples, seed).estimates()["balanced_accuracy"]

    harmonizes = recipe is not None and recipe.harmonize != "none"
    return SiteDecodability(
        accuracy(_READER),
        1 / len(names),
        tuple(names),
        accuracy(replace(_READER, harmonize=recipe.harmonize)) if recipe and harmonizes else None,
    )


@dataclass(frozen=True)
class LabelBySite:
    """The labels at each site."""

    table: dict[str, dict[str, float]]
    """By site: number of each class; or n, mean, sd, min and max of a number. Unknown sites are under ``."""
    association: float
    """Cramer's V of class and site (Bergsma 2013, 10.1016/j.jkss.2012.10.002), or for a number the part of its
    variance between sites (epsilon squared, Kelley 1935), both less what many small sites show by chance:
    0 none, 1 the site gives the label. NaN where fewer than two sites are known."""


def label_by_site(given: Samples) -> LabelBySite:
    """Tabulate the labels of eligible rows by site."""
    rows = given.eligible
    sites, y = given.sites[rows], given.y[rows]
    names = np.unique(sites)
    if not given.task.is_classification:
        table = {str(name): _summary(y[sites == name]) for name in names}
        return LabelBySite(table, _epsilon_squared(y[sites != ""], sites[sites != ""]))
    counts = np.array(
        [[np.sum(y[sites == name] == code) for code in range(len(given.task.classes))] for name in names]
    )
    table = {
        str(name): dict(zip(given.task.classes, row.tolist(), strict=True))
        for name, row in zip(names, counts, strict=True)
    }
    return LabelBySite(table, _cramers_v(counts[names != ""]))


def refuse_confounded(given: Samples) -> None:
    """Refuse labels that the site alone gives.

    Raises:
        UsageError: there are two sites or more, and each holds a single class: a probe would learn the site. So
            it would where the class goes with the site being known, and unknown sites then count as one.
    """
    if not given.task.is_classification:
        return
    sites, y = given.sites[given.eligible], given.y[given.eligible]
    names = np.unique(sites)
    single = [name for name in names if len(np.unique(y[sites == name])) == 1]
    known, known_single = names[names != ""], [name for name in single if name]
    if len(single) == len(names) >= 2 or len(known_single) == len(known) >= 2:
        example = ", ".join(
            f"{name or 'an unknown site'} only {given.task.classes[int(y[sites == name][0])]}"
            for name in single[:3]
        )
        raise UsageError(
            f"each site holds one class ({example}), so a probe would learn the site and not {given.task.name}: "
            "add sites that hold both, or allow confounded labels to go on all the same"
        )


def _summary(y: np.ndarray) -> dict[str, float]:
    return {
        "n": len(y),
        "mean": float(y.mean()),
        "sd": float(y.std()),
        "min": float(y.min()),
        "max": float(y.max()),
    }


def _cramers_v(counts: np.ndarray) -> float:
    """Bergsma's corrected V of a table of counts (sites, classes)."""
    counts, n = counts[:, counts.sum(axis=0) > 0], counts.sum()
    if min(counts.shape) < 2:
        return float("nan")
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi_squared = ((counts - expected) ** 2 / expected).sum() / n
    by_chance = [(size - 1) / (n - 1) for size in counts.shape]
    left = max(0.0, phi_squared - np.prod(np.array(counts.shape) - 1) / (n - 1))
    most = min(size - 1 - (size - 1) * part for size, part in zip(counts.shape, by_chance, strict=True))
    return float(min(1.0, np.sqrt(left / most))) if most > 0 else float("nan")


def _epsilon_squared(y: np.ndarray, sites: np.ndarray) -> float:
    names, site, n = np.unique(sites, return_inverse=True, return_counts=True)
    if len(names) < 2 or len(y) <= len(names) or np.ptp(y) == 0:
        return float("nan")
    within = ((y - (np.bincount(site, weights=y) / n)[site]) ** 2).sum() / (len(y) - len(names))
    return float(max(0.0, 1 - within / y.var(ddof=1)))
