"""Bootstrap intervals over subjects. The spread of a metric over folds is not a confidence interval.

The bootstrap is Rubin's (1981, 10.1214/aos/1176345338): a resample gives every subject a random weight of mean 1
and variance 1, where the usual one draws subjects with replacement. No class is ever left without a subject.

In cross-validation those who are tested also train the probes that test the others, and a resample of fixed
predictions does not see that: on made-up cohorts of 60 and of 200 subjects such 95% intervals of AUROC held the
truth in 74 and in 85 of 100. The variance of the weights is therefore raised by the factor that Nadeau and Bengio
(2003, 10.1023/A:1024068626366) found for the mean over folds, 1 + n_tested / n_train, or 2.25 with five folds.
With many subjects and a strong signal this is more than is needed, and the intervals are wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_BLOCK = 200
_LEAST_SHARE = 0.8
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN where it is not defined."""

    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")

    def __str__(self) -> str:
        """`0.812 (0.750 to 0.869)`, `13.0 (9.9 to 17.1)`; `-` where it is not defined."""
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
    """Reweighting of groups (subjects or families, with all their rows), within classes where there are classes."""

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

    def estimates(self, statistic: Callable[[np.ndarray], dict[str, np.ndarray]]) -> dict[str, Estimate]:
        """Values on the rows as they are, with percentile intervals.

        Args:
            statistic: gives (b,) numbers by name for (b, N) weights.

        Returns:
            estimates by name. The interval is NaN where the number is not defined in a fifth of the resamples.
        """
        values = statistic(np.ones((1, len(self.groups))))
        blocks = [statistic(weights) for weights in self.weights()]
        return {
            name: _estimate(
                float(value[0]), np.concatenate([block[name] for block in blocks]) if blocks else value[:0]
            )
            for name, value in values.items()
        }


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    defined = resampled[np.isfinite(resampled)]
    if not len(defined) or len(defined) < _LEAST_SHARE * len(resampled):
        return Estimate(value)
    if np.ptp(defined) <= _ROUNDING * abs(value):
        # Fixed by the strata, such as the prevalence: rounding must not put the value outside its interval.
        return Estimate(value, value, value)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
