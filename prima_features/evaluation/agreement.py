"""Agreement of repeated measurements: ICC(2,1), two-way random effects, absolute agreement, one measurement.

Shrout and Fleiss 1979, 10.1037/0033-2909.86.2.420; intervals after McGraw and Wong 1996, 10.1037/1082-989X.1.1.30.
"""

from __future__ import annotations

import numpy as np

from prima_features.evaluation import weighted
from prima_features.evaluation.intervals import Estimate


def icc(values: np.ndarray) -> np.ndarray:
    """(D,) ICC(2,1) of (subjects, raters, D) values."""
    return ratio(*(part[0] for part in components(values, np.ones((1, len(values))))))


def components(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance components of subject, rater and residual, from the mean squares of a two-way analysis of variance.

    Args:
        values: (n subjects, k raters, D).
        weights: (B, n) of the subjects, with mean 1.

    Returns:
        each (B, D); those of subject and rater can be below 0.
    """
    n, k, _ = values.shape
    by_subject = values.mean(axis=1)
    by_rater = np.stack([weights @ values[:, j] / n for j in range(k)])  # (k, B, D)
    mean = by_rater.mean(axis=0)
    square_subject = k * (weights @ by_subject**2 - n * mean**2)
    square_rater = n * ((by_rater - mean) ** 2).sum(axis=0)
    square_total = weights @ (values**2).sum(axis=1) - n * k * mean**2
    # The mean of unequally weighted subjects varies more, as that of n / lost equally weighted ones would.
    lost = (weights**2).mean(axis=1, keepdims=True)
    residual = (square_total - square_subject - square_rater) / ((n - lost) * (k - 1))
    subject = (square_subject / (n - lost) - residual) / k
    rater = (square_rater / (k - 1) - lost * residual) / n
    return subject, rater, residual


def ratio(subject: np.ndarray, rater: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """ICC(2,1) of variance components."""
    return weighted.divide(subject, subject + rater + residual)


def icc_estimate(values: np.ndarray, level: float = 0.95) -> Estimate:
    """ICC(2,1) with its exact interval for normal effects (McGraw and Wong 1996, table 7, ICC(A,1)).

    Args:
        values: (n subjects, k raters).
        level: of the interval.

    Returns:
        no interval if there are fewer than three subjects or no two values differ.
    """
    from scipy import stats

    n, k = values.shape
    value = float(icc(values[:, :, None])[0])
    if n < 3 or not np.isfinite(value) or value >= 1:
        return Estimate(value)
    mean, by_subject, by_rater = values.mean(), values.mean(axis=1), values.mean(axis=0)
    subject = k * ((by_subject - mean) ** 2).sum() / (n - 1)
    rater = n * ((by_rater - mean) ** 2).sum() / (k - 1)
    error = ((values - by_subject[:, None] - by_rater + mean) ** 2).sum() / ((n - 1) * (k - 1))
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * rater + b * error) ** 2 / (
        (a * rater) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    tail = (1 + level) / 2
    low_f, high_f = stats.f.ppf(tail, n - 1, freedom), stats.f.ppf(tail, freedom, n - 1)
    rest = k * rater + (k * n - k - n) * error
    low = n * (subject - low_f * error) / (low_f * rest + n * subject)
    high = n * (high_f * subject - error) / (rest + n * high_f * subject)
    return Estimate(value, float(low), float(high))
