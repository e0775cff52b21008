"""Whether an explanation says what the model reads: delete tokens by rank, and in random orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.explain.passes import MaskedSeries

N_RANDOM = 8
"""Random orders to compare with."""
_STEPS = 12
_MOST_REMOVED = 0.9


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The target while more and more tokens of one series are removed."""

    removed: np.ndarray
    """(K,) share of the tokens that are removed, from 0."""
    ranked: np.ndarray
    """(K,) the target, tokens with the largest coefficients removed first."""
    random: np.ndarray
    """(R, K) the target under random orders of the same groups."""

    @property
    def gain(self) -> float:
        """How much lower the ranked curve is than the mean random one, on average over the steps: above 0 is better."""
        return float((self.random.mean(axis=0) - self.ranked)[1:].mean())

    @property
    def better_than(self) -> int:
        """Random orders whose mean over the steps is above that of the ranked curve."""
        return int((self.random[:, 1:].mean(axis=1) > self.ranked[1:].mean()).sum())


def faithfulness(
    series: MaskedSeries,
    coefficient: np.ndarray,
    group: np.ndarray,
    seed: int = 0,
    n_random: int = N_RANDOM,
) -> Faithfulness | None:
    """Delete the groups of tokens of one series by falling coefficient, and in random orders.

    Args:
        series: whose tokens are deleted.
        coefficient: (N,) of each token; equal within a group.
        group: (N,) group of each token.
        seed: of the random orders.
        n_random: how many of them.

    Returns:
        None for a series of one group.
    """
    sizes = np.bincount(group)
    if len(sizes) < 2:
        return None
    rank = np.bincount(group, coefficient) / sizes
    orders = [np.argsort(-rank, kind="stable")]
    rng = np.random.default_rng((seed, 2))
    orders += [rng.permutation(len(sizes)) for _ in range(n_random)]
    most = max(1, int(_MOST_REMOVED * len(sizes)))
    steps = np.unique(np.rint(np.linspace(0, most, _STEPS + 1)).astype(int))
    curves, shares = [], np.zeros(len(steps))
    for order in orders:
        kept = np.array([~np.isin(group, order[:step]) for step in steps])
        curves.append(series.outputs(kept))
        if len(curves) == 1:
            shares = 1 - kept.mean(axis=1)
    return Faithfulness(shares, curves[0], np.array(curves[1:]))
