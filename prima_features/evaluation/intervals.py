"""Bootstrap intervals over subjects. The spread of a metric over folds is not a confidence interval.

The bootstrap is Rubin's (1981, 10.1214/aos/1176345338): a resample gives every subject a random weight of mean 1
and variance 1, while the usual one draws subjects with replacement. No class is ever left without a subject.

In cross-validation those who are tested also train the probes that test the others, and a resample of fixed
predictions does not see that: on synthetic cohorts of 60 and of 200 subjects such 95% intervals of AUROC contained the
truth in 74 and in 85 of 100. The variance of the weights is therefore raised by the factor that Nadeau and Bengio
(2003, 10.1023/A:1024068626366) found for the mean over folds, 1 + n_tested / n_train, or 2.25 with five folds.
With many subjects and a strong signal this is more than is needed, and the intervals are wide.

Percentile intervals are too narrow for few subjects, for correlations, and near a metric's ends. The first is corrected
by percentiles farther out, the second by Fisher's scale (and skewed numbers such as root mean squared errors by that of
logarithms), the third
in `bounds`. benchmarks/intervals.py measures the coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEVEL = 0.95
_Z = 1.959963984540054
_SKEWED = ("rmse", "deviance", "calibration_ratio", "dispersion")
"""Positive numbers whose resamples are skewed."""
_SHARES = ("d2",)
"""1 less such a number."""
_BLOCK = 200
_LEAST_SHARE = 0.8
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN if it is not defined."""

    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")

    def __str__(self) -> str:
        """`0.812 (0.750 to 0.869)`, `13.0 (9.9 to 17.1)`; `-` if it is not defined."""
        if not np.isfinite(self.value):
            return "-"
        decimals = int(np.clip(3 - len(str(int(abs(self.value)))), 0, 2)) if abs(self.value) >= 1 else 3
        # Rounded and then added to 0, -0.0 loses its sign.
        value, low, high = (round(number, decimals) + 0.0 for number in vars(self).values())
        interval = f" ({low:.{decimals}f} to {high:.{decimals}f})" if np.isfinite(low) else ""
        return f"{value:.{decimals}f}{interval}"

    def to_dict(self) -> dict[str, float | None]:
        """For JSON, which has no NaN."""
        return {name: number if np.isfinite(number) else None for name, number in vars(self).items()}


@dataclass(frozen=True)
class Bootstrap:
    """Reweighting of groups (subjects or families, with all their rows), within classes if there are classes."""

    groups: np.ndarray
    """(N,) what has one weight."""
    strata: np.ndarray
    """(N,) integers; a group belongs to the stratum of its first row."""
    n_resamples: int = 1000
    seed: int = 0
    variance: float = 1.0
    """Of the weights: 1 for the predictions of one fitted probe, more for cross-validation."""

    def weights(self) -> Iterator[np.ndarray]:
        """(b, N) weights above 0 of the rows, in blocks of resamples; those of a stratum's groups have mean 1."""
        _, first, group = np.unique(self.groups, return_index=True, return_inverse=True)
        stratum = self.strata[first]
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.n_resamples, _BLOCK):
            n = min(_BLOCK, self.n_resamples - start)
            drawn = rng.gamma(1 / self.variance, size=(n, len(first)))
            for code in np.unique(stratum):
                members = np.flatnonzero(stratum == code)
                drawn[:, members] /= drawn[:, members].mean(axis=1, keepdims=True)
            yield drawn[:, group]

    def estimates(
        self,
        statistic: Callable[[np.ndarray], dict[str, np.ndarray]],
        correlations: Collection[str] = ("pearson_r",),
        recentred: Collection[str] = (),
    ) -> dict[str, Estimate]:
        """Values on the rows as they are, with intervals.

        Args:
            statistic: gives (b,) numbers by name for (b, N) weights.
            correlations: which of them are correlations, with intervals on Fisher's scale.
            recentred: which of them are shares from 0 to 1 with a bias in small samples, such as means of AUPRC: the
                bootstrap's own bias is taken off its percentiles twice, once for the value's.

        Returns:
            estimates by name. The interval is NaN if the number is not defined in a fifth of the resamples.
        """
        values = statistic(np.ones((1, len(self.groups))))
        blocks = [statistic(weights) for weights in self.weights()]
        found = {}
        for name, value in values.items():
            resampled = np.concatenate([block[name] for block in blocks]) if blocks else value[:0]
            estimate = self._percentile
            if name in correlations:
                estimate = self._correlation
            elif name in recentred:
                estimate = self._recentred
            elif name in _SKEWED:
                estimate = self._logarithm
            elif name in _SHARES:
                estimate = self._complement
            found[name] = estimate(float(value[0]), resampled)
        return found

    def _percentile(self, value: float, resampled: np.ndarray) -> Estimate:
        return percentile(value, resampled, self._tail)

    def _recentred(self, value: float, resampled: np.ndarray) -> Estimate:
        """Percentiles moved by twice the difference of the value and the mean of the resamples, within 0 and 1."""
        found, defined = self._percentile(value, resampled), _defined(resampled)
        if not found.ci_low < found.ci_high:
            return found
        shift = 2 * (value - float(defined.mean()))
        low, high = (float(np.clip(end + shift, 0, 1)) for end in (found.ci_low, found.ci_high))
        return Estimate(value, min(low, value), max(high, value))

    def _correlation(self, value: float, resampled: np.ndarray) -> Estimate:
        """On Fisher's scale, with the bootstrap's standard error but no less than that of normal data.

        There is none for correlations of 1 and -1, and for three groups or fewer.
        """
        defined, n = _defined(resampled), len(np.unique(self.groups))
        if not len(defined) or n <= 3 or not abs(value) < 1 - _ROUNDING:
            return Estimate(value)
        error = max(float(_fisher(defined).std()), np.sqrt(self.variance / (n - 3)))
        low, high = np.tanh(_fisher(np.array(value)) + np.array([-1, 1]) * _Z * error)
        return Estimate(value, float(low), float(high))

    def _logarithm(self, value: float, resampled: np.ndarray) -> Estimate:
        """Normal on the scale of logarithms, corrected for the bootstrap's bias; none for 0."""
        from scipy.stats import norm

        defined = _defined(resampled)
        if not len(defined) or value <= 0:
            return Estimate(value)
        logs = np.log(np.maximum(defined, np.finfo(float).tiny))
        middle = 2 * np.log(value) - logs.mean()
        reach = float(np.clip(norm.isf(self._tail), 0, 10)) * logs.std()
        low, high = np.exp(middle - reach), np.exp(middle + reach)
        return Estimate(value, float(min(low, value)), float(max(high, value)))

    def _complement(self, value: float, resampled: np.ndarray) -> Estimate:
        """On the scale of logarithms of 1 less the number."""
        one = self._logarithm(1 - value, 1 - resampled)
        return Estimate(value, 1 - one.ci_high, 1 - one.ci_low)

    @cached_property
    def _tail(self) -> float:
        """Probability outside on each side, for the smallest class."""
        _, first = np.unique(self.groups, return_index=True)
        n = int(np.bincount(np.unique(self.strata[first], return_inverse=True)[1]).min())
        return tail(n, self.variance)


def tail(n: int, variance: float = 1.0) -> float:
    """Probability outside a percentile interval on each side, for a statistic of n subjects.

    Percentiles of few subjects are too narrow: the bootstrap's variance of a mean is that of n instead of n - 1,
    and a normal quantile stands for Student's. Percentiles farther out make good for both (Hesterberg 2015,
    10.1080/00031305.2015.1089789).

    Args:
        n: subjects; 0 is returned for fewer than two.
        variance: of the bootstrap's weights.
    """
    from scipy.stats import norm
    from scipy.stats import t as student

    if n < 2:
        return 0.0
    factor = np.sqrt((n + variance) / (n - 1))
    return float(norm.cdf(-factor * student.ppf((1 + LEVEL) / 2, n - 1)))


def percentile(value: float, resampled: np.ndarray, outside: float) -> Estimate:
    """A percentile interval; NaN if the number is not defined in a fifth of the resamples.

    Args:
        value: on the rows as they are.
        resampled: (B,) values.
        outside: probability on each side (`tail`).
    """
    defined = _defined(resampled)
    if not len(defined):
        return Estimate(value)
    if np.ptp(defined) <= _ROUNDING * abs(value):
        # Fixed by the strata, such as the prevalence: rounding must not put the value outside its interval.
        return Estimate(value, value, value)
    low, high = np.quantile(defined, [outside, 1 - outside])
    return Estimate(value, float(low), float(high))


def _defined(resampled: np.ndarray) -> np.ndarray:
    """Those that are numbers; none if more than a fifth are not."""
    defined = resampled[np.isfinite(resampled)]
    return defined if len(defined) >= _LEAST_SHARE * len(resampled) else defined[:0]


def _fisher(correlation: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(correlation, -1 + _ROUNDING, 1 - _ROUNDING))
