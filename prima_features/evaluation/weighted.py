"""Metrics of weighted rows, for many sets of weights at once: each bootstrap resample is one set of weights.

Each function takes weights (B, N) and returns (B,) values, NaN if a value is not defined. With weights of 1 they equal
scikit-learn's metrics of the same names.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

CLIP = 1e-6
"""Probabilities are clipped to [`CLIP`, 1 - `CLIP`] before a logit is taken."""
_NEWTON_STEPS = 30
_SETTLED = 1e-4
_LARGEST_SLOPE = 1e3


def regression(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of predicted numbers: (N,) true and predicted values, (B, N) weights."""
    error = predicted - truth
    return {
        "mae": mean(np.abs(error), weights),
        "rmse": np.sqrt(mean(error**2, weights)),
        "r2": r2(truth, predicted, weights),
        "pearson_r": pearson(truth, predicted, weights),
    }


def one_against_rest(
    positive: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Metrics of the probability of one class: (N,) truth and probability, (B, N) weights."""
    return {
        "auroc": auroc(positive, probability, weights),
        "auprc": average_precision(positive, probability, weights),
        "prevalence": mean(positive.astype(float), weights),
        "brier": mean((probability - positive) ** 2, weights),
        "calibration_slope": calibration_slope(positive, probability, weights),
    }


def logit(probability: np.ndarray) -> np.ndarray:
    """Log odds of clipped probabilities (`CLIP`)."""
    clipped = np.clip(probability, CLIP, 1 - CLIP)
    return np.log(clipped / (1 - clipped))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients; NaN if the denominator is 0."""
    safe = np.where(denominator == 0, np.nan, denominator)
    return numerator / safe


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means of (N,) values."""
    return divide(weights @ values, weights.sum(axis=1))


def r2(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 less the mean squared error over the variance of the truth."""
    centred = truth - truth.mean()
    variance = mean(centred**2, weights) - mean(centred, weights) ** 2
    negligible = 1e-12 * (centred**2).mean()
    return 1 - divide(mean((truth - predicted) ** 2, weights), np.where(variance > negligible, variance, 0))


def pearson(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation."""
    first, second = first - first.mean(), second - second.mean()
    mean_first, mean_second = mean(first, weights), mean(second, weights)
    covariance = mean(first * second, weights) - mean_first * mean_second
    variances = [mean(first**2, weights) - mean_first**2, mean(second**2, weights) - mean_second**2]
    product = np.maximum(variances[0], 0) * np.maximum(variances[1], 0)
    negligible = 1e-24 * (first**2).mean() * (second**2).mean()
    return divide(covariance, np.sqrt(np.where(product > negligible, product, 0)))


def slope(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slopes of least-squares lines of (N,) true on predicted values; 1 is ideal."""
    centered = predicted - mean(predicted, weights)[:, None]
    away = truth - mean(truth, weights)[:, None]
    return divide((weights * centered * away).sum(axis=1), (weights * centered**2).sum(axis=1))


def auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of pairs of a positive and a negative row that the score orders correctly; ties count half."""
    hits, alarms = _at_levels(positive, score, weights)
    below = np.cumsum(alarms, axis=1) - alarms
    ordered = (hits * (below + alarms / 2)).sum(axis=1)
    return divide(ordered, hits.sum(axis=1) * alarms.sum(axis=1))


def hand_till(y: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean AUROC of all pairs of classes (Hand and Till 2001, 10.1023/A:1010920819831), NaN if a class has no row.

    That of a pair is the mean of two, by the probability of either class, among rows of the two alone: unlike AUROC
    against the rest it does not depend on the frequencies of the classes.

    Args:
        y: (N,) class numbers.
        probability: (N, K).
        weights: (B, N).
    """
    areas = []
    for first, second in combinations(range(probability.shape[1]), 2):
        rows = np.flatnonzero((y == first) | (y == second))
        truth, own = y[rows], weights[:, rows]
        areas += [auroc(truth == k, probability[rows, k], own) for k in (first, second)]
    return np.asarray(np.mean(areas, axis=0))


def average_precision(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall steps, without interpolation."""
    hits, alarms = (levels[:, ::-1] for levels in _at_levels(positive, score, weights))
    found, called = np.cumsum(hits, axis=1), np.cumsum(hits + alarms, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return divide((hits * precision).sum(axis=1), hits.sum(axis=1))


def balanced_accuracy(
    truth: np.ndarray, label: np.ndarray, weights: np.ndarray, n_classes: int
) -> np.ndarray:
    """Mean recall over the classes; NaN if a class has no row."""
    recalls = [mean_where(label == code, truth == code, weights) for code in range(n_classes)]
    return np.mean(recalls, axis=0)


def mean_where(values: np.ndarray, where: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means of (N,) values over the rows of a mask."""
    return mean(values[where].astype(float), weights[:, where])


def calibration_slope(positive: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slope of a logistic regression of the outcome on the log odds (Cox 1958): 1 is ideal, below 1 overconfident.

    NaN if the score separates the classes: the slope then diverges.
    """
    x, y = logit(probability), positive.astype(float)
    spread = x.std() or 1.0
    z = (x - x.mean()) / spread
    # All resamples start from the solution of their mean, which is close to each of theirs.
    start, step = _intercept_and_slope(z, y, weights.mean(axis=0, keepdims=True), np.zeros(2))
    close = np.abs(step).max() < _SETTLED and np.abs(start[0, 1]) / spread < _LARGEST_SLOPE
    beta, step = _intercept_and_slope(z, y, weights, start[0] if close else np.zeros(2))
    settled = np.abs(step).max(axis=1) < _SETTLED
    if close and not settled.all():
        beta[~settled], step[~settled] = _intercept_and_slope(z, y, weights[~settled], np.zeros(2))
        settled = np.abs(step).max(axis=1) < _SETTLED
    slope = beta[:, 1] / spread
    return np.where(settled & (np.abs(slope) < _LARGEST_SLOPE) & (x.std() > 0), slope, np.nan)


def _intercept_and_slope(
    z: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(B, 2) of logistic regressions on (N,) z from a (2,) start, and (B, 2) the last Newton steps."""
    beta = np.tile(start, (len(weights), 1))
    powers = np.column_stack([np.ones(len(z)), z, z**2])
    observed = weights @ (powers[:, :2] * y[:, None])
    for _ in range(_NEWTON_STEPS):
        fitted = beta[:, :1] + beta[:, 1:] * z
        np.clip(fitted, -30, 30, out=fitted)
        np.exp(np.negative(fitted, out=fitted), out=fitted)
        fitted += 1
        np.reciprocal(fitted, out=fitted)
        expected = weights * fitted
        g0, g1 = (observed - expected @ powers[:, :2]).T
        fitted *= expected
        s0, s1, s2 = ((expected - fitted) @ powers).T
        determinant = s0 * s2 - s1**2
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.column_stack([s2 * g0 - s1 * g1, s0 * g1 - s1 * g0]) / determinant[:, None]
        beta += np.clip(step, -5, 5)
        if not np.nanmax(np.abs(step), initial=0) > 1e-8:
            break
    return beta, step


def calibration_in_the_large(
    positive: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Log odds of the outcome beyond those predicted: the intercept of a logistic regression whose slope is fixed at 1.

    0 is ideal; above 0, probabilities are too low. NaN if all rows are of one class.
    """
    x, y = logit(probability), positive.astype(float)
    events = weights @ y
    shift = np.zeros((len(weights), 1))
    for _ in range(_NEWTON_STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(x + shift, -30, 30)))
        step = divide(events - (weights * fitted).sum(axis=1), (weights * fitted * (1 - fitted)).sum(axis=1))
        shift += np.clip(step, -2, 2)[:, None]
        if not np.nanmax(np.abs(step), initial=0) > 1e-9:
            break
    defined = (events > 0) & (weights @ (1 - y) > 0) & (np.abs(step) < 1e-4)
    return np.where(defined, shift[:, 0], np.nan)


def net_benefit(
    positive: np.ndarray, probability: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(B, T) net benefit of treating those with a probability of (T,) thresholds or more.

    True positives less false positives weighted by the odds of the threshold, per row (Vickers and Elkin 2006,
    10.1177/0272989X06295361). Treating no one has a net benefit of 0.
    """
    odds = thresholds / (1 - thresholds)
    treated = probability[:, None] >= thresholds
    value = np.where(positive[:, None], 1.0, -odds) * treated
    return np.asarray(weights @ value / weights.sum(axis=1, keepdims=True))


def _at_levels(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (B, levels) of positive and of negative rows at each different score, the lowest first."""
    order = np.argsort(score, kind="stable")
    ordered, score = weights[:, order].astype(np.float64), score[order]
    starts = np.flatnonzero(np.append(True, score[1:] != score[:-1]))
    of_positive = ordered * positive[order]
    return np.add.reduceat(of_positive, starts, axis=1), np.add.reduceat(
        ordered - of_positive, starts, axis=1
    )
