"""Bootstrap intervals over subjects. The spread of a metric over folds is not a confidence interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_BLOCK = 200
_LEAST_SHARE = 0.8


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN where it is not defined."""

    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")

    def to_dict(self) -> dict[str, float | None]:
        """For JSON, which has no NaN."""
        return {name: number if np.isfinite(number) else None for name, number in vars(self).items()}


@dataclass(frozen=True)
class Bootstrap:
    """Resampling of groups (subjects or families, with all their rows), within classes where there are classes."""

    groups: np.ndarray
    """(N,) what is resampled as a whole."""
    strata: np.ndarray
    """(N,) integers; a group belongs to the stratum of its first row."""
    n_resamples: int = 1000
    seed: int = 0

    def weights(self) -> Iterator[np.ndarray]:
        """(b, N) numbers of times that each row is drawn, in blocks of resamples."""
        _, first, group = np.unique(self.groups, return_index=True, return_inverse=True)
        stratum = self.strata[first]
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.n_resamples, _BLOCK):
            n = min(_BLOCK, self.n_resamples - start)
            drawn = np.empty((n, len(first)), dtype=np.float32)
            for code in np.unique(stratum):
                members = np.flatnonzero(stratum == code)
                drawn[:, members] = rng.multinomial(
                    len(members), np.full(len(members), 1 / len(members)), size=n
                )
            yield drawn[:, group]

    def estimates(self, statistic: Callable[[np.ndarray], dict[str, np.ndarray]]) -> dict[str, Estimate]:
        """Values on the rows as they are, with percentile intervals.

        Args:
            statistic: gives (b,) numbers by name for (b, N) weights.

        Returns:
            estimates by name. The interval is NaN where the number is not defined in a fifth of the resamples.
        """
        values = statistic(np.ones((1, len(self.groups)), dtype=np.float32))
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
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
