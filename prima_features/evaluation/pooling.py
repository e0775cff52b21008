"""Random-effects pooling of estimates from several sites.

The variance between sites is Paule and Mandel's (1982), the interval of the mean Hartung and Knapp's (2001), and the
prediction interval for a new site Higgins' (2009, 10.1111/j.1467-985X.2008.00552.x), with k - 2 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.evaluation.intervals import LEVEL

_STEPS = 200


@dataclass(frozen=True)
class Pooled:
    """k sites."""

    mean: float
    ci_low: float
    ci_high: float
    """Of the mean."""
    tau: float
    """Standard deviation of the true values between sites."""
    prediction_low: float
    prediction_high: float
    """Where the true value of a new site is expected; NaN for two sites."""
    q: float
    """Cochran's heterogeneity statistic."""
    p_heterogeneity: float
    i_squared: float
    """Share of the variance of the estimates that is between sites."""
    k: int


def pool(values: np.ndarray, errors: np.ndarray) -> Pooled | None:
    """Pool (k,) estimates with their (k,) standard errors; None for fewer than two sites.

    Raises:
        ValueError: a standard error is not above 0.
    """
    from scipy.stats import chi2
    from scipy.stats import t as student

    k = len(values)
    if k < 2:
        return None
    if not (np.isfinite(values).all() and (errors > 0).all()):
        raise ValueError("estimates must be finite, and their standard errors above 0")
    tau2 = _paule_mandel(values, errors**2)
    weight = 1 / (errors**2 + tau2)
    mean = float(np.average(values, weights=weight))
    # Hartung and Knapp's factor, not below 1: else agreement by chance makes the interval too narrow.
    scale = float((weight * (values - mean) ** 2).sum() / (k - 1))
    error2 = max(scale, 1.0) / float(weight.sum()) if tau2 == 0 else scale / float(weight.sum())
    reach = float(student.ppf((1 + LEVEL) / 2, k - 1)) * np.sqrt(error2)
    fixed = 1 / errors**2
    q = float((fixed * (values - np.average(values, weights=fixed)) ** 2).sum())
    spread = np.nan
    if k > 2:
        spread = float(student.ppf((1 + LEVEL) / 2, k - 2)) * np.sqrt(tau2 + error2)
    return Pooled(
        mean,
        mean - reach,
        mean + reach,
        float(np.sqrt(tau2)),
        float(mean - spread),
        float(mean + spread),
        q,
        float(chi2.sf(q, k - 1)),
        max(0.0, (q - k + 1) / q) if q > 0 else 0.0,
        k,
    )


def _paule_mandel(values: np.ndarray, variances: np.ndarray) -> float:
    """The variance between sites at which the generalised Q equals its expectation, k - 1; 0 if it is below."""

    def excess(tau2: float) -> float:
        weight = 1 / (variances + tau2)
        centred = values - np.average(values, weights=weight)
        return float((weight * centred**2).sum()) - (len(values) - 1)

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.ptp(values) ** 2 + variances.max())
    while excess(high) > 0:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if excess(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
