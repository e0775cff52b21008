"""Metrics of ordered classes, for many sets of weights at once (see `weighted`).

Functions take (N,) positions of the true class from 0, and (B, N) weights, and return (B,) values, NaN if a value is
not defined.
"""

from __future__ import annotations

import numpy as np

from prima_features.evaluation.weighted import divide, mean


def kappa(y: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cohen's (1968, 10.1037/h0026256) kappa with quadratic weights, of (N,) decided positions.

    As scikit-learn's cohen_kappa_score(weights="quadratic"): 1 less the mean squared difference over that of
    independent classes with the same frequencies.
    """
    truth, said = y.astype(float), label.astype(float)
    means = [mean(one, weights) for one in (truth, said)]
    spread = [mean(one**2, weights) - middle**2 for one, middle in zip((truth, said), means, strict=True)]
    by_chance = np.maximum(spread[0], 0) + np.maximum(spread[1], 0) + (means[0] - means[1]) ** 2
    return 1 - divide(mean((truth - said) ** 2, weights), np.where(by_chance > 1e-12, by_chance, 0))


def concordance(y: np.ndarray, score: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Ordinal C: of the pairs of rows of different classes, the share that the (N,) score orders correctly.

    Ties in the score count half; it is (D + 1) / 2 of Somers' (1962, 10.2307/2090408) D, and for two classes the
    AUROC.
    """
    order = np.argsort(score, kind="stable")
    ordered, given, classes = weights[:, order].astype(np.float64), score[order], y[order]
    starts = np.flatnonzero(np.append(True, given[1:] != given[:-1]))
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    lower = np.zeros((len(weights), len(starts)))
    for k in range(n_classes):
        own = np.add.reduceat(ordered * (classes == k), starts, axis=1)
        below = np.cumsum(lower, axis=1) - lower
        right += (own * (below + lower / 2)).sum(axis=1)
        pairs += own.sum(axis=1) * lower.sum(axis=1)
        lower += own
    return divide(right, pairs)


def ranked_probability_score(y: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Squared error of the cumulative (N, K) probabilities, mean over the K - 1 thresholds (Epstein 1969)."""
    below = np.cumsum(probability, axis=1)[:, :-1]
    truth = y[:, None] <= np.arange(probability.shape[1] - 1)
    return mean(((below - truth) ** 2).mean(axis=1), weights)


def expected(probability: np.ndarray) -> np.ndarray:
    """(N,) expected position, from (N, K) probabilities."""
    return np.asarray(probability @ np.arange(probability.shape[1]))
