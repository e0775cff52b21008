"""Bootstrap intervals over subjects. The spread of a metric over folds is not a confidence interval.

The bootstrap is Rubin's (1981, 10.1214/aos/1176345338): a resample gives every subject a random weight of mean 1
and variance 1, while the usual one draws subjects with replacement. No class is ever left without a subject.

In cross-validation those who are tested also train the probes that test the others, and a resample of fixed
predictions does not see that: on synthetic cohorts of 60 and of 200 subjects such 95% intervals of AUROC contained the
truth in 74 and in 85 of 100. The variance of the weights is therefore raised by the factor that Nadeau and Bengio
(2003, 10.1023/A:1024068626366) found for the mean over folds, 1 + n_tested / n_train, or 2.25 with five folds.
With many subjects and a strong signal this is more than is needed, and the intervals are wide.

Percentile intervals are too narrow for few subjects, for correlations, near a metric's ends, and if a few subjects
decide a number. The first is corrected by percentiles farther out, the second by Fisher's scale, the third in `bounds`.
Numbers that a few subjects can decide (errors, shares of explained variance, AUPRC, calibration slopes) have the
standard error and the bias correction of the jackknife (Efron and Stein 1981, 10.1214/aos/1176345462), on a scale of
logarithms or log odds, and Student's quantile with fewer degrees of freedom the more unequal the subjects' influence is
(as Pan and Wall 2002, 10.1002/sim.1142, for sandwich estimates).
benchmarks/intervals.py, severity.py and labels.py measure the coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEVEL = 0.95
_Z = 1.959963984540054
_BLOCK = 200
"""Resamples at a time, and most groups or parts of groups that the jackknife leaves out one by one."""
NEAR = 0.05
"""How close to its end a metric is for resampling to say too little (see `bounds`)."""
_LEAST_SHARE = 0.8
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Scale:
    """On which a number is more normal than it is itself."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]
    most: float = np.inf
    """Numbers above this are left to `bounds`."""


_AS_IT_IS = _Scale(np.asarray, np.asarray)
_LOGARITHM = _Scale(np.log, np.exp)
_COMPLEMENT = _Scale(lambda share: np.log(1 - share), lambda log: 1 - np.exp(log))
_LOG_ODDS = _Scale(lambda share: np.log(share / (1 - share)), lambda log: 1 / (1 + np.exp(-log)), 1 - NEAR)
_JACKKNIFED = {
    **dict.fromkeys(("auprc", "auprc_micro"), _LOG_ODDS),
    **dict.fromkeys(("mae", "rmse", "deviance", "calibration_ratio", "dispersion"), _LOGARITHM),
    **dict.fromkeys(("r2", "d2"), _COMPLEMENT),
    **dict.fromkeys(("calibration_slope", "slope"), _AS_IT_IS),
}
"""Numbers that a few subjects can decide."""


def jackknifed(name: str, value: float) -> bool:
    """Whether a metric of this name and value has an interval by the jackknife instead of percentiles."""
    return name in _JACKKNIFED and value <= _JACKKNIFED[name].most


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
        group, stratum = self._members
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.n_resamples, _BLOCK):
            n = min(_BLOCK, self.n_resamples - start)
            yield _balanced(rng.gamma(1 / self.variance, size=(n, len(stratum))), stratum)[:, group]

    def weights_without_each(self) -> np.ndarray:
        """(b, N) weights of the rows that leave out one group each, or a part of 200 of many groups.

        Those of a stratum's other groups have mean 1, as in resamples. Each stratum must have two groups or more.
        """
        group, stratum = self._members
        n_parts = min(len(stratum), _BLOCK)
        shuffled = np.random.default_rng(self.seed).permutation(len(stratum))
        part = np.empty(len(stratum), dtype=np.int64)
        # Each part has its share of each stratum.
        part[shuffled[np.argsort(stratum[shuffled], kind="stable")]] = np.arange(len(stratum)) % n_parts
        kept = (part != np.arange(n_parts)[:, None]).astype(float)
        return _balanced(kept, stratum)[:, group]

    @cached_property
    def _members(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) group of each row, and (G,) stratum of each group."""
        _, first, group = np.unique(self.groups, return_index=True, return_inverse=True)
        return group, self.strata[first]

    def estimates(
        self,
        statistic: Callable[[np.ndarray], dict[str, np.ndarray]],
        correlations: Collection[str] = ("pearson_r",),
    ) -> dict[str, Estimate]:
        """Values on the rows as they are, with intervals.

        Args:
            statistic: gives (b,) numbers by name for (b, N) weights.
            correlations: which of them are correlations, with intervals on Fisher's scale.

        Returns:
            estimates by name. The interval is NaN if the number is not defined in a fifth of the resamples.
        """
        values = statistic(np.ones((1, len(self.groups))))
        blocks = [statistic(weights) for weights in self.weights()]
        possible = bool(blocks) and self._smallest > 1
        by_jackknife = {name for name in values if possible and jackknifed(name, float(values[name][0]))}
        left_out = statistic(self.weights_without_each()) if by_jackknife else {}
        found = {}
        for name, value in values.items():
            resampled = np.concatenate([block[name] for block in blocks]) if blocks else value[:0]
            estimate = self._correlation if name in correlations else self._percentile
            found[name] = estimate(float(value[0]), resampled)
            if name in by_jackknife:
                other = self._jackknife(float(value[0]), left_out[name], _JACKKNIFED[name])
                found[name] = other if np.isfinite(other.ci_low) else found[name]
        return found

    def _percentile(self, value: float, resampled: np.ndarray) -> Estimate:
        return percentile(value, resampled, self._tail)

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

    def _jackknife(self, value: float, left_out: np.ndarray, scale: _Scale) -> Estimate:
        """Student's interval by the jackknife on a scale; NaN if a number is not defined there.

        The variance estimate of n groups has 2 n / (kurtosis - 1) degrees of freedom, about n for normal data; the
        kurtosis is that of the changes by leaving out each group.
        """
        from scipy.stats import t as student

        with np.errstate(divide="ignore", invalid="ignore"):
            middle, each = scale.there(np.array(value)), scale.there(left_out)
        if not (np.isfinite(middle) and np.isfinite(each).all()):
            return Estimate(value)
        n, changes = len(each), each - middle
        squares = float((changes**2).sum())
        if squares <= n * (_ROUNDING * max(1.0, abs(float(middle)))) ** 2:
            return Estimate(value, value, value)
        kurtosis = n * float((changes**4).sum()) / squares**2
        freedom = min(n - 1.0, 2 * n / max(kurtosis - 1, 2 / n))
        reach = student.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(self.variance * squares * (n - 1) / n)
        # Less the jackknife's estimate of the bias.
        centre = middle - (n - 1) * changes.mean()
        low, high = sorted(scale.back(centre + np.array([-reach, reach])).tolist())
        return Estimate(value, min(low, value), max(high, value))

    @cached_property
    def _tail(self) -> float:
        """Probability outside on each side, for the smallest class."""
        return tail(self._smallest, self.variance)

    @cached_property
    def _smallest(self) -> int:
        """Number of groups of the smallest stratum."""
        return int(np.unique(self._members[1], return_counts=True)[1].min())


def _balanced(weights: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """(b, G) weights of groups, scaled in place so that those of each stratum have mean 1."""
    for code in np.unique(stratum):
        members = np.flatnonzero(stratum == code)
        weights[:, members] /= weights[:, members].mean(axis=1, keepdims=True)
    return weights


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
