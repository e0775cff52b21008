"""The largest difference between groups with its interval, a test of whether groups differ, and Holm's correction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prima_features.evaluation.intervals import LEVEL, Estimate

_TAIL = (1 - LEVEL) / 2
_NEAR_END = 3.0
"""Standard errors of a difference within which a group may be equal to the highest or lowest one."""
_STEPS = 30


def largest_gap(values: np.ndarray, resampled: np.ndarray, most: float = 1.0) -> Estimate:
    """The largest minus the smallest of K estimates, with a 95% interval that starts at 0 unless groups differ.

    The gap of estimates is above 0 by chance alone, so that a percentile interval never contains a true gap of 0.
    Here the
    interval has all true gaps for which the observed one is neither among the largest nor the smallest 2.5% of
    resamples: deviations of the bootstrap are added to true values of that gap (with two groups, of a folded normal
    distribution). The true values have the pattern of the estimates. A gap below the median of those that chance alone
    makes says little about the true one: the upper limit is then that of the median. For the lower limit, groups
    within three standard errors of the highest or lowest one are taken as equal to it, since the spread between equal
    groups widens the gap.

    Args:
        values: (K,) estimates of the groups.
        resampled: (K, B) of the same resamples, so that subjects in several groups are taken into account.
        most: largest gap that there can be.

    Returns:
        NaN if a group's value is not defined or there are fewer than two groups; no interval if a group's value is not
        defined in a resample.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return Estimate(float("nan"))
    gap = float(np.ptp(values))
    if resampled.shape[1] < 2 or not np.isfinite(resampled).all():
        return Estimate(gap)
    deviations = resampled - resampled.mean(axis=1, keepdims=True)

    def share_above(observed: float, pattern: np.ndarray) -> Callable[[float], float]:
        return lambda true: float((np.ptp(true * pattern[:, None] + deviations, axis=0) >= observed).mean())

    by_chance = float(np.median(np.ptp(deviations, axis=0)))
    clustered = share_above(gap, _unit(_without_near(values, deviations)))
    plain = share_above(max(gap, by_chance), _unit(values))
    low = 0.0
    if clustered(0.0) < _TAIL:
        low = _crossing(lambda true: clustered(true) >= _TAIL, most)
    high = _crossing(lambda true: plain(true) > 1 - _TAIL, most)
    return Estimate(gap, min(low, gap), max(high, gap))


def homogeneity(values: np.ndarray, resampled: np.ndarray, least_error: np.ndarray | None = None) -> float:
    """P value of the hypothesis that K estimates have one true value; 1 for fewer than two.

    Wald's test with the covariance of the bootstrap, as Hotelling's T squared.

    Args:
        values: (K,) estimates, on a scale on which they are about normal, such as log odds.
        resampled: (K, B) of the same resamples, on that scale.
        least_error: (K,) standard errors that the bootstrap's are raised to.
    """
    from scipy.stats import f as f_distribution

    k, n = resampled.shape
    if k < 2 or not np.isfinite(values).all() or not np.isfinite(resampled).all():
        return 1.0
    covariance = np.atleast_2d(np.cov(resampled))
    if least_error is not None:
        errors = np.sqrt(np.diag(covariance))
        raised = np.maximum(least_error / np.where(errors > 0, errors, np.inf), 1.0)
        covariance = covariance * raised[:, None] * raised + np.diag(np.where(errors > 0, 0, least_error**2))
    contrasts = np.hstack([np.eye(k - 1), -np.ones((k - 1, 1))])
    difference = contrasts @ values
    spread = contrasts @ covariance @ contrasts.T
    statistic = float(difference @ np.linalg.pinv(spread, hermitian=True) @ difference)
    return float(f_distribution.sf(statistic * (n - k + 1) / ((n - 1) * (k - 1)), k - 1, n - k + 1))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p values (Holm 1979), at most 1; NaN stays NaN and does not count."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def _without_near(values: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """The values, those near the highest (or lowest) one replaced by their weighted mean."""
    top, bottom = int(values.argmax()), int(values.argmin())
    below, above = values[top] - values, values - values[bottom]
    error_below, error_above = ((deviations[end] - deviations).std(axis=1) for end in (top, bottom))
    near_top = (below <= _NEAR_END * error_below) & (below < above)
    near_bottom = (above <= _NEAR_END * error_above) & ~near_top
    made = values.astype(np.float64).copy()
    variance = deviations.var(axis=1)
    weight = 1 / np.maximum(variance, 1e-12 * (variance.max() or 1.0))
    for near in (near_top, near_bottom):
        if near.any():
            made[near] = np.average(values[near], weights=weight[near])
    return made


def _unit(values: np.ndarray) -> np.ndarray:
    """The pattern of (K,) values: mean 0 and range 1."""
    spread = np.ptp(values)
    if spread <= 1e-12:
        values, spread = np.linspace(0, 1, len(values)), 1.0
    return np.asarray((values - values.mean()) / spread)


def _crossing(reached: Callable[[float], bool], most: float) -> float:
    """The least number at which a rising condition holds, by bisection; `most` if it holds nowhere below."""
    low, high = 0.0, most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if reached(middle):
            high = middle
        else:
            low = middle
    return high
