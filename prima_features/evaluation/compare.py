"""Comparing two probes that were evaluated on the same folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.errors import UsageError


@dataclass(frozen=True)
class Comparison:
    """The corrected resampled t-test of Nadeau and Bengio (2003, 10.1023/A:1024068626366)."""

    metric: str
    difference: float
    """Mean over folds of first minus second."""
    t: float
    degrees_of_freedom: int
    p_value: float
    """Two-sided."""
    n_folds: int
    caveat: str = ""
    """Of the model that made the features; empty for most models."""


def corrected_t_test(
    metric: str, first: np.ndarray, second: np.ndarray, n_train: np.ndarray, n_test: np.ndarray
) -> Comparison:
    """Test whether two probes differ, allowing for training sets that overlap.

    The variance of the J differences d is inflated: t = mean(d) / sqrt((1/J + n_test/n_train) var(d)), with J - 1
    degrees of freedom.

    Args:
        metric: what is compared.
        first: (J,) metric of each fold; NaN if it is not defined, and the fold is left out.
        second: (J,) of the same folds.
        n_train: (J,) training rows of each fold.
        n_test: (J,) test rows.

    Raises:
        UsageError: fewer than two folds can be compared.
    """
    from scipy.stats import t as student

    defined = np.isfinite(first) & np.isfinite(second)
    n_folds = int(defined.sum())
    if n_folds < 2:
        raise UsageError(
            f"two probes need two folds or more in which {metric} is defined, and there are {n_folds}"
        )
    difference = (first - second)[defined]
    ratio = float((n_test[defined] / n_train[defined]).mean())
    deviation = np.sqrt((1 / n_folds + ratio) * difference.var(ddof=1))
    mean = float(difference.mean())
    statistic = mean / deviation if deviation else np.copysign(np.inf, mean) if mean else 0.0
    p_value = float(2 * student.sf(abs(statistic), n_folds - 1))
    return Comparison(metric, mean, float(statistic), n_folds - 1, p_value, n_folds)
