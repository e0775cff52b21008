"""Reliability of embeddings on repeat scans, before and after ComBat over scanners.

Vectors are standardised per dimension over the repeat scans, so that no dimension counts more for its scale; constant
dimensions are left out. On a complete block of subjects and scanners (or occasions):

icc               ICC(2,1) of each dimension, two-way random effects, absolute agreement (Shrout and Fleiss 1979,
                  10.1037/0033-2909.86.2.420); the median over dimensions
scanner_variance  variance component of the scanner over the total, both summed over dimensions
site_variance     likewise, on a complete block of subjects and sites

On all repeat scans, by Euclidean distance, comparing scans of a subject on different scanners only:

icc_distance      1 - mean squared distance within subjects / between subjects (Xu et al. 2021, 10.1111/biom.13287)
identification    share of scans whose nearest other scan is of the same subject (Finn et al. 2015, 10.1038/nn.4135)
discriminability  how often two scans of a subject are closer than one of them is to a scan of another subject
                  (Bridgeford et al. 2021, 10.1371/journal.pcbi.1009279)

Intervals are those of a bootstrap of subjects; scanners are taken as fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prima_features.bench.measure import Estimates, plain
from prima_features.bench.repeats import Block, Repeats, complete_block
from prima_features.errors import UsageError
from prima_features.evaluation import bounds, weighted
from prima_features.evaluation.agreement import components, icc, ratio
from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes.steps.adjust import ComBat

_CONSTANT = 1e-9
"""Standard deviation of a dimension, relative to its largest value, below which it is constant."""


@dataclass(frozen=True)
class Numbers:
    """Reliability of one set of vectors."""

    estimates: Estimates
    """`icc icc_distance identification discriminability`, `scanner_variance` and `site_variance` if they are known."""
    icc_quartiles: tuple[float, float]
    """Of the ICC over dimensions."""
    n_dimensions: int
    """That are not constant."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        quartiles = [float(one) if np.isfinite(one) else None for one in self.icc_quartiles]
        return plain(self.estimates) | {"icc_quartiles": quartiles, "n_dimensions": self.n_dimensions}


@dataclass(frozen=True)
class Reliability:
    """Of one encoder."""

    before: Numbers
    after: Numbers | None = None
    """After ComBat over scanners, fitted on the same scans and therefore optimistic."""
    why_not: str = ""
    """Why there is no ComBat."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        after = self.after.to_dict() if self.after else None
        return self.before.to_dict() | {"combat": after, "combat_impossible": self.why_not}


@dataclass(frozen=True)
class ReliabilityResult:
    """All encoders on the same repeat scans."""

    encoders: dict[str, Reliability]
    repeats: Repeats
    block: Block
    chance: float
    """Identification rate of random vectors."""
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: one.to_dict() for name, one in self.encoders.items()}

    def design(self) -> dict[str, Any]:
        """What the numbers rest on, for JSON."""
        return {
            "n_scans": len(self.repeats.rows),
            "n_subjects": self.repeats.n_subjects,
            "scanners": self.repeats.scanners,
            "block_subjects": self.block.rows.shape[0],
            "block_raters": list(self.block.raters),
            "identification_chance": self.chance,
        }


def reliability(
    vectors: Mapping[str, np.ndarray], repeats: Repeats, n_bootstrap: int = 1000, seed: int = 0
) -> ReliabilityResult:
    """Measure the reliability of each encoder.

    Args:
        vectors: (N, D) of each encoder.
        repeats: which of the N rows are repeat scans.
        n_bootstrap: resamples of subjects.
        seed: of the resamples.
    """
    block = complete_block(repeats.subject, repeats.raters)
    warnings = list(repeats.warnings)
    if not block.usable:
        warnings.append("no two subjects were scanned on the same two scanners: there is no ICC(2,1)")
    found = {}
    for name, X in vectors.items():
        own = X[repeats.rows].astype(np.float64)
        before = _numbers(own, repeats, block, n_bootstrap, seed)
        try:
            harmonised = ComBat().fit(own, repeats.scanner, None).transform(own, repeats.scanner, None)
        except UsageError as error:
            found[name] = Reliability(before, None, str(error))
        else:
            found[name] = Reliability(before, _numbers(harmonised, repeats, block, n_bootstrap, seed))
    same, others = _pairs(repeats)
    with_partner = same.any(axis=1)
    chance = float((same.sum(axis=1) / (same | others).sum(axis=1))[with_partner].mean())
    return ReliabilityResult(found, repeats, block, chance, tuple(warnings))


def _numbers(X: np.ndarray, repeats: Repeats, block: Block, n_bootstrap: int, seed: int) -> Numbers:
    deviation = X.std(axis=0)
    X = X[:, deviation > _CONSTANT * np.abs(X).max(axis=0)]
    X = (X - X.mean(axis=0)) / X.std(axis=0)

    def bootstrap(subject: np.ndarray) -> Bootstrap:
        return Bootstrap(subject, np.zeros(len(subject), dtype=np.int64), n_bootstrap, seed)

    by_subject = bootstrap(repeats.subject)
    estimates = by_subject.estimates(_by_distance(X, repeats))
    # If all scans or none are identified, resampling shows no uncertainty.
    with_partner = np.asarray(_pairs(repeats)[0].any(axis=1))
    estimates["identification"] = bounds.rate(estimates["identification"], with_partner, by_subject)
    quartiles = (float("nan"), float("nan"))
    if block.usable and X.shape[1]:
        values = X[block.rows]
        subjects = repeats.subject[block.rows[:, 0]]
        estimates |= bootstrap(subjects).estimates(
            lambda weights: _agreement(values, weights, "scanner_variance")
        )
        low, high = np.percentile(icc(values), [25, 75])
        quartiles = float(low), float(high)
    by_site = complete_block(repeats.subject, repeats.site)
    if by_site.usable and X.shape[1]:
        values_by_site = X[by_site.rows]
        found = bootstrap(repeats.subject[by_site.rows[:, 0]]).estimates(
            lambda weights: _agreement(values_by_site, weights, "site_variance")
        )
        estimates["site_variance"] = found["site_variance"]
    return Numbers(estimates, quartiles, X.shape[1])


def _agreement(values: np.ndarray, weights: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """(B,) median ICC over dimensions, and the rater's share of the variance under its name."""
    subject, rater, residual = components(values, weights)
    total = (subject + rater + residual).sum(axis=1)
    share = np.clip(weighted.divide(rater.sum(axis=1), total), 0, 1)
    return {"icc": np.median(ratio(subject, rater, residual), axis=1), name: share}


def _pairs(repeats: Repeats) -> tuple[np.ndarray, np.ndarray]:
    """(n, n) pairs of one subject that count (on different scanners, if these are known), and of different subjects."""
    same = repeats.subject[:, None] == repeats.subject
    known = len(set(repeats.scanner.tolist())) > 1
    apart = repeats.scanner[:, None] != repeats.scanner if known else ~np.eye(len(same), dtype=bool)
    return same & apart, ~same


def _by_distance(X: np.ndarray, repeats: Repeats) -> Any:
    """Statistic of (B, n) weights of the scans, for `Bootstrap.estimates`."""
    same, others = _pairs(repeats)
    length = (X**2).sum(axis=1)
    squared = np.maximum(length[:, None] + length - 2 * X @ X.T, 0)
    with_partner = np.flatnonzero(same.any(axis=1))
    identified = np.zeros(len(X))
    ordered = np.zeros(len(X))
    for i in with_partner:
        own, foreign = squared[i, same[i]], np.sort(squared[i, others[i]])
        identified[i] = own.min() < foreign[0]
        # Of each pair, the other subjects' scans that are farther away; ties count half.
        farther = len(foreign) - np.searchsorted(foreign, own, side="right")
        ties = len(foreign) - np.searchsorted(foreign, own, side="left") - farther
        ordered[i] = ((farther + ties / 2) / len(foreign)).mean()
    within = (squared * same).sum(axis=1)
    n_within = same.sum(axis=1)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        between = ((weights @ (squared * others)) * weights).sum(axis=1)
        n_between = ((weights @ others) * weights).sum(axis=1)
        ratio = weighted.divide((weights @ within) / (weights @ n_within), between / n_between)
        return {
            "icc_distance": 1 - ratio,
            "identification": weighted.mean(identified[with_partner], weights[:, with_partner]),
            "discriminability": weighted.mean(ordered[with_partner], weights[:, with_partner]),
        }

    return statistic


def variance_between(X: np.ndarray, labels: np.ndarray) -> float:
    """Share of the variance between labelled groups (epsilon squared, Kelley 1935), summed over dimensions.

    Args:
        X: (N, D); dimensions are standardised first.
        labels: (N,) text; rows without one are left out.

    Returns:
        NaN if there are fewer than two groups.
    """
    X, labels = X[labels != ""].astype(np.float64), labels[labels != ""]
    names, group, n = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2 or len(X) <= len(names):
        return float("nan")
    X = X[:, X.std(axis=0) > _CONSTANT * np.abs(X).max(axis=0)]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    means = np.zeros((len(names), X.shape[1]))
    np.add.at(means, group, X)
    within = ((X - (means / n[:, None])[group]) ** 2).sum() / (len(X) - len(names))
    return float(max(0.0, 1 - within / ((X**2).sum() / (len(X) - 1)))) if X.shape[1] else float("nan")
