"""Metrics of predicted counts, for many sets of weights at once (see `weighted`), and the dispersion of counts.

Functions take (N,) counts and predicted means, and (B, N) weights, and return (B,) values, NaN if a value is not
defined.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

from prima_features.evaluation.weighted import divide, mean

_LEAST = 1e-10
"""Predicted means are raised to this, so that their logarithm is finite."""
_NEWTON_STEPS = 30
_SETTLED = 1e-6
_LARGEST_SLOPE = 1e3
_DISPERSIONS = (1e-6, 1e3)


def unit_deviance(y: np.ndarray, predicted: np.ndarray, dispersion: float = 0.0) -> np.ndarray:
    """(N,) deviance of each count: Poisson, or negative binomial of variance mu + dispersion mu^2."""
    mu = np.maximum(predicted, _LEAST)
    if not dispersion:
        return np.asarray(2 * (xlogy(y, y / mu) - y + mu))
    size = y + 1 / dispersion
    return np.asarray(2 * (xlogy(y, y / mu) - size * np.log((1 + dispersion * y) / (1 + dispersion * mu))))


def deviance(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean Poisson deviance, as scikit-learn's mean_poisson_deviance."""
    return mean(unit_deviance(y, predicted), weights)


def d2(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 less the Poisson deviance over that of the mean count, as scikit-learn's d2_tweedie_score(power=1)."""
    total = mean(y, weights)
    # Terms of y alone cancel in 2 (y log(y / m) - y + m) if m is the weighted mean.
    of_mean = 2 * (mean(xlogy(y, y), weights) - xlogy(total, total))
    negligible = 1e-12 * max(float(y.mean()), 1e-300)
    return 1 - divide(deviance(y, predicted, weights), np.where(of_mean > negligible, of_mean, 0))


def calibration_ratio(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Observed over predicted counts (calibration in the large): above 1, predictions are too low."""
    return divide(weights @ y, weights @ predicted)


def calibration_slope(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slope of a Poisson regression of the counts on the log of the predictions: 1 is ideal, below 1 overconfident.

    NaN if predictions are all the same, or the slope diverges.
    """
    x = np.log(np.maximum(predicted, _LEAST))
    spread = float(x.std())
    if spread < 1e-9 or not y.any():
        return np.full(len(weights), np.nan)
    z = (x - x.mean()) / spread
    powers = np.column_stack([np.ones(len(z)), z, z**2])
    observed = weights @ (powers[:, :2] * y[:, None])
    beta = np.column_stack([np.log(np.maximum(mean(y, weights), _LEAST)), np.zeros(len(weights))])
    step = np.zeros_like(beta)
    for _ in range(_NEWTON_STEPS):
        expected = weights * np.exp(np.clip(beta[:, :1] + beta[:, 1:] * z, -30, 30))
        s0, s1, s2 = (expected @ powers).T
        g0, g1 = observed[:, 0] - s0, observed[:, 1] - s1
        determinant = s0 * s2 - s1**2
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.column_stack([s2 * g0 - s1 * g1, s0 * g1 - s1 * g0]) / determinant[:, None]
        beta += np.clip(step, -1, 1)
        if not np.nanmax(np.abs(step), initial=0) > 1e-9:
            break
    slope = beta[:, 1] / spread
    settled = np.abs(step).max(axis=1) < _SETTLED
    return np.where(settled & (np.abs(slope) < _LARGEST_SLOPE), slope, np.nan)


def metrics(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """All of the above, and the mean absolute error."""
    return {
        "deviance": deviance(y, predicted, weights),
        "d2": d2(y, predicted, weights),
        "calibration_slope": calibration_slope(y, predicted, weights),
        "calibration_ratio": calibration_ratio(y, predicted, weights),
        "mae": mean(np.abs(y - predicted), weights),
    }


def pearson_dispersion(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared Pearson residual, the variance over that of Poisson counts of the predicted means; 1 for Poisson."""
    mu = np.maximum(predicted, _LEAST)
    return mean((y - mu) ** 2 / mu, weights)


def estimate_dispersion(y: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Dispersion of a negative binomial distribution with the predicted means, by maximum likelihood, and its p value.

    The test is that of the likelihood ratio against Poisson, one-sided since a dispersion is not below 0: half of the
    chi-squared distribution is at 0 (Lawless 1987, 10.2307/3314912).

    Returns:
        0 and 1 if counts do not vary more than Poisson counts.
    """
    from scipy.optimize import minimize_scalar
    from scipy.stats import chi2

    mu = np.maximum(predicted, _LEAST)

    def likelihood(log_dispersion: float) -> float:
        size = np.exp(-log_dispersion)
        odds = np.log1p(mu / size)
        return float((gammaln(y + size) - gammaln(size) + xlogy(y, mu / size) - (y + size) * odds).sum())

    poisson = float((xlogy(y, mu) - mu).sum())
    found = minimize_scalar(
        lambda value: -likelihood(value), bounds=tuple(np.log(_DISPERSIONS)), method="bounded"
    )
    ratio = 2 * (-float(found.fun) - poisson)
    if ratio <= 1e-6:
        return 0.0, 1.0
    return float(np.exp(found.x)), float(chi2.sf(ratio, 1) / 2)
