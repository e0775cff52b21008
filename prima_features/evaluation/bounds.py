"""Intervals of classification metrics near their ends, where resampling says too little.

If a score separates the classes perfectly, every resample does so too, and a percentile interval has no width; close to
that it is too narrow (benchmarks/intervals.py measures the coverage). Intervals are therefore extended to at least

- AUROC: the score interval of Newcombe (2006, 10.1002/sim.2324, method 5), from the numbers of subjects; that of Hand
  and Till above 0.95: the mean of the pairs' intervals;
- sensitivity, specificity: the exact interval of Clopper and Pearson (1934);
- shares in a confusion matrix: the mid-P interval (Lancaster 1961, 10.1080/01621459.1961.10482105), since the exact one
  is too wide for classes of some 20 subjects;
- balanced accuracy: the recalls' exact intervals, combined by square and add (MOVER, Zou and Donner 2008);
- AUPRC above 0.95 and Brier scores below 0.05: the bootstrap with one more subject, of the worst kind, which for a
  proportion gives Clopper and Pearson's bound.

In cross-validation the numbers of subjects are divided by the variance of the bootstrap's weights (see `intervals`).
Metrics of constant predictions are fixed by design and have no interval to extend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from prima_features.evaluation import weighted
from prima_features.evaluation.intervals import LEVEL, NEAR, Bootstrap, Estimate, tail

_Z = 1.959963984540054
_TAIL = (1 - LEVEL) / 2


def classification(
    found: Mapping[str, Estimate],
    y: np.ndarray,
    probability: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    bootstrap: Bootstrap,
) -> dict[str, Estimate]:
    """Extend the intervals of a classification's metrics.

    Args:
        found: with percentile intervals.
        y: (N,) class numbers.
        probability: (N, K) of each repeat.
        labels: (N,) decided class numbers of each repeat.
        bootstrap: of the N rows.
    """
    n_classes = probability[0].shape[1]
    if not bootstrap.n_resamples or all(np.ptp(one, axis=0).max() == 0 for one in probability):
        return dict(found)
    codes = range(1, 2) if n_classes == 2 else range(n_classes)
    each = [_one_against_rest(found, y == k, [one[:, k] for one in probability], bootstrap) for k in codes]
    made = _of_means(found, each)
    if "hand_till_auc" in found and found["hand_till_auc"].value > 1 - NEAR:
        made["hand_till_auc"] = _extended(found["hand_till_auc"], *_hand_till(y, probability, bootstrap))
    recalls = [
        proportion(float(np.mean([(one[y == k] == k).mean() for one in labels])), _size(bootstrap, y == k))
        for k in range(n_classes)
        if (y == k).any()
    ]
    if len(recalls) == n_classes:
        made["balanced_accuracy"] = _mean_of(found["balanced_accuracy"], recalls)
    return made


def widened(found: Estimate, subjects: int, smaller: int, bootstrap: Bootstrap) -> Estimate:
    """A percentile interval of an AUC whose variation is that of the smaller of two sides, not of all subjects.

    Its tail probability is that of `intervals.tail` for the smaller side, on a normal scale.

    Args:
        found: the interval, within 0 and 1.
        subjects: number that the interval was made for.
        smaller: number of subjects on the smaller side.
        bootstrap: that made it.
    """
    from scipy.stats import norm

    if not np.isfinite(found.ci_low) or smaller < 2:
        return found
    ratio = max(
        1.0, norm.isf(tail(smaller, bootstrap.variance)) / norm.isf(tail(subjects, bootstrap.variance))
    )
    low = max(0.0, found.value - ratio * (found.value - found.ci_low))
    return Estimate(found.value, low, min(1.0, found.value + ratio * (found.ci_high - found.value)))


def labels(
    found: Mapping[str, Estimate],
    y: np.ndarray,
    probability: Sequence[np.ndarray],
    decided: Sequence[np.ndarray],
    bootstrap: Bootstrap,
) -> dict[str, Estimate]:
    """Extend the intervals of means over labels: areas and balanced accuracy by square and add.

    As if labels were independent; the percentile intervals, which are kept inside, allow for their dependence.

    Args:
        found: with percentile intervals.
        y: (N, L) 1 or 0, NaN if unknown.
        probability: (N, L) of each repeat.
        decided: (N, L) 1 or 0 of each repeat.
        bootstrap: of the N rows.
    """
    if not bootstrap.n_resamples or all(np.ptp(one, axis=0).max() == 0 for one in probability):
        return dict(found)
    each, recalls = [], []
    for i, column in enumerate(y.T):
        rows = np.flatnonzero(np.isfinite(column))
        positive, scores = column[rows] == 1, [one[rows, i] for one in probability]
        if not 0 < positive.sum() < len(rows):
            return dict(found)
        own = replace(bootstrap, groups=bootstrap.groups[rows], strata=positive.astype(np.int64))
        each.append(_one_against_rest(found, positive, scores, own))
        for value in (True, False):
            share = [(one[rows, i][positive == value] == value).mean() for one in decided]
            recalls.append(proportion(float(np.mean(share)), _size(own, positive == value)))
    return _of_means(found, each) | {"balanced_accuracy": _mean_of(found["balanced_accuracy"], recalls)}


def _of_means(found: Mapping[str, Estimate], each: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Extend the intervals of means over classes or labels: those of areas by square and add."""
    made = dict(found)
    for name in ("auroc", "auprc"):
        made[name] = _mean_of(found[name], [one[name] for one in each])
    ends = [(one["brier"].ci_low, one["brier"].ci_high) for one in each]
    made["brier"] = _extended(found["brier"], *np.mean(ends, axis=0))
    return made


def _mean_of(found: Estimate, parts: Sequence[Estimate]) -> Estimate:
    """Extend the interval of a mean by square and add, as of independent estimates."""
    low = np.sqrt(sum((one.value - one.ci_low) ** 2 for one in parts)) / len(parts)
    high = np.sqrt(sum((one.ci_high - one.value) ** 2 for one in parts)) / len(parts)
    return _extended(found, found.value - low, found.value + high)


def one_against_rest(
    found: Mapping[str, Estimate], positive: np.ndarray, scores: Sequence[np.ndarray], bootstrap: Bootstrap
) -> dict[str, Estimate]:
    """Extend the intervals of `weighted.one_against_rest`; (N,) truth, and scores of each repeat."""
    if not bootstrap.n_resamples or all(np.ptp(one) == 0 for one in scores):
        return dict(found)
    return _of_means(found, [_one_against_rest(found, positive, scores, bootstrap)])


def rate(found: Estimate, rows: np.ndarray, bootstrap: Bootstrap) -> Estimate:
    """Extend the interval of a sensitivity or specificity, of the rows (N,) of one class."""
    if not bootstrap.n_resamples or not np.isfinite(found.value):
        return found
    exact = proportion(found.value, _size(bootstrap, rows))
    return _extended(found, exact.ci_low, exact.ci_high)


def proportion(value: float, n: float) -> Estimate:
    """A proportion of n subjects, not necessarily a whole number, with Clopper and Pearson's interval."""
    from scipy.stats import beta

    x = value * n
    low = float(beta.ppf(_TAIL, x, n - x + 1)) if x > 0 else 0.0
    high = float(beta.ppf(1 - _TAIL, x + 1, n - x)) if n - x > 1e-9 else 1.0
    return Estimate(value, low, high)


def share(found: Estimate, rows: np.ndarray, bootstrap: Bootstrap) -> Estimate:
    """Extend the interval of a share of decisions, of the rows (N,) of one class."""
    if not bootstrap.n_resamples or not np.isfinite(found.value):
        return found
    middle = mid_p(found.value, _size(bootstrap, rows))
    return _extended(found, middle.ci_low, middle.ci_high)


def mid_p(value: float, n: float) -> Estimate:
    """A proportion of n subjects, not necessarily a whole number, with the mid-P interval."""
    from scipy.stats import beta

    x = value * n
    rest = max(n - x, 0.0)

    def at_most(p: np.ndarray) -> float:
        """Probability of less than x, and half of that of x itself, of a proportion p."""
        below = beta.sf(p, x, rest + 1) if x > 0 else 0.0
        up_to = beta.sf(p, x + 1, rest) if rest > 1e-9 else 1.0
        return float((below + up_to) / 2)

    low = _last_inside(lambda p: np.array(at_most(p) <= 1 - _TAIL), value, 0.0) if x > 0 else 0.0
    high = _last_inside(lambda p: np.array(at_most(p) >= _TAIL), value, 1.0) if rest > 1e-9 else 1.0
    return Estimate(value, low, high)


def auroc(value: float, n_positive: float, n_negative: float) -> Estimate:
    """An AUROC with Newcombe's score interval: all areas t with (value - t)^2 <= z^2 V(t)."""
    mean_size = (n_positive + n_negative) / 2 - 1

    def inside(t: np.ndarray) -> np.ndarray:
        spread = 1 + mean_size * (1 - t) / (2 - t) + mean_size * t / (1 + t)
        return (value - t) ** 2 <= _Z**2 * t * (1 - t) * spread / (n_positive * n_negative)

    low, high = (_last_inside(inside, value, end) for end in (0.0, 1.0))
    return Estimate(value, low, high)


def difference(found: Estimate, first: Estimate, second: Estimate) -> Estimate:
    """Extend the interval of first minus second if one of both is near 0 or 1, as if they were independent."""
    near = any(min(one.value, 1 - one.value) < NEAR for one in (first, second))
    if not near or not np.isfinite([first.ci_low, second.ci_low]).all():
        return found
    low = np.hypot(first.value - first.ci_low, second.ci_high - second.value)
    high = np.hypot(first.ci_high - first.value, second.value - second.ci_low)
    return _extended(found, found.value - low, found.value + high, ends=(-1.0, 1.0))


def largest_gap(levels: Sequence[Estimate], ends: tuple[float, float]) -> Estimate:
    """The largest difference between two of several levels, with an interval that can start at 0.

    The highest minus the lowest level is above 0 by chance alone. The interval combines those of the two levels by
    square and add, as of independent levels, at a confidence that is divided by the number of pairs (Bonferroni): if it
    starts above 0, some two levels differ.

    Args:
        levels: two or more.
        ends: least and largest value that a difference can have.
    """
    from scipy.stats import norm

    values = np.array([one.value for one in levels])
    if not np.isfinite(values).all():
        return Estimate(float("nan"))
    top, bottom = levels[int(values.argmax())], levels[int(values.argmin())]
    gap = Estimate(top.value - bottom.value)
    if not np.isfinite([[one.ci_low, one.ci_high] for one in levels]).all():
        return gap
    factor = float(norm.ppf(1 - _TAIL / (len(levels) * (len(levels) - 1) / 2))) / _Z
    low = factor * np.hypot(top.value - top.ci_low, bottom.ci_high - bottom.value)
    high = factor * np.hypot(top.ci_high - top.value, bottom.value - bottom.ci_low)
    return replace(
        gap, ci_low=float(max(gap.value - low, ends[0])), ci_high=float(min(gap.value + high, ends[1]))
    )


def _one_against_rest(
    found: Mapping[str, Estimate], positive: np.ndarray, scores: Sequence[np.ndarray], bootstrap: Bootstrap
) -> dict[str, Estimate]:
    """AUROC, AUPRC and Brier score, with the limits that their intervals must include; NaN if there is no limit."""
    ones = np.ones((1, len(positive)))
    area, precision = (
        float(np.mean([statistic(positive, one, ones) for one in scores]))
        for statistic in (weighted.auroc, weighted.average_precision)
    )
    bounds = {"auroc": Estimate(area), "auprc": Estimate(precision), "brier": Estimate(float("nan"))}
    sizes = _size(bootstrap, positive), _size(bootstrap, ~positive)
    if min(sizes) > 0:
        bounds["auroc"] = auroc(area, *sizes)
        if found["auprc"].value > 1 - NEAR:
            worst = _with_worst(_worst_precision, positive, scores, bootstrap)
            bounds["auprc"] = Estimate(precision, *worst)
    if found["brier"].value < NEAR:
        bounds["brier"] = Estimate(float("nan"), *_with_worst(_worst_brier, positive, scores, bootstrap))
    return bounds


def _hand_till(y: np.ndarray, probability: Sequence[np.ndarray], bootstrap: Bootstrap) -> tuple[float, float]:
    """Mean bounds of the pairs of classes; NaN if a class has no row."""
    sizes = [_size(bootstrap, y == k) for k in range(probability[0].shape[1])]
    if not all(sizes):
        return float("nan"), float("nan")
    pairs = []
    for first, second in combinations(range(len(sizes)), 2):
        rows = (y == first) | (y == second)
        ones = np.ones((1, int(rows.sum())))
        areas = [
            weighted.auroc(y[rows] == k, one[rows, k], ones) for one in probability for k in (first, second)
        ]
        exact = auroc(float(np.mean(areas)), sizes[first], sizes[second])
        pairs.append((exact.ci_low, exact.ci_high))
    low, high = np.mean(pairs, axis=0)
    return float(low), float(high)


def _with_worst(
    statistic: Callable[..., np.ndarray],
    positive: np.ndarray,
    scores: Sequence[np.ndarray],
    bootstrap: Bootstrap,
) -> tuple[float, float]:
    """Quantiles of a statistic of resamples with one more subject of the worst kind."""
    rng = np.random.default_rng(bootstrap.seed + 1)
    values = []
    for weights in bootstrap.weights():
        # In units of the other subjects, of whom n have the weight of n / variance.
        worst = bootstrap.variance * rng.gamma(1.0, size=(len(weights), 1))
        with_worst = np.hstack([weights, worst])
        values.append(np.mean([statistic(positive, one, with_worst) for one in scores], axis=0))
    low, high = np.quantile(np.concatenate(values), [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def _worst_precision(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUPRC with one more negative, scored above all."""
    return weighted.average_precision(np.append(positive, False), np.append(score, score.max() + 1), weights)


def _worst_brier(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Brier score with one more negative of probability 1."""
    return weighted.mean(np.append((score - positive) ** 2, 1.0), weights)


def _size(bootstrap: Bootstrap, rows: np.ndarray) -> float:
    """How many independent subjects some rows are worth."""
    return len(np.unique(bootstrap.groups[rows])) / bootstrap.variance


def _extended(found: Estimate, low: float, high: float, ends: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The interval with these bounds inside it; NaN extends nothing, and gives none if there is none."""
    if not np.isfinite(found.ci_low):
        return found
    return replace(
        found,
        ci_low=float(np.clip(np.fmin(found.ci_low, low), *ends)),
        ci_high=float(np.clip(np.fmax(found.ci_high, high), *ends)),
    )


def _last_inside(inside: Callable[[np.ndarray], np.ndarray], start: float, end: float) -> float:
    """The farthest point from start towards end that is inside, by bisection."""
    near, far = start, end
    for _ in range(60):
        middle = (near + far) / 2
        if inside(np.array(middle)):
            near = middle
        else:
            far = middle
    return near
