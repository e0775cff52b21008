"""Means and logistic regression with standard errors that are robust to repeated studies of a subject (clusters)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.evaluation.intervals import LEVEL, Estimate

_STEPS = 50
_MOST_STEP = 5.0
_LARGEST = 30.0


@dataclass(frozen=True)
class Fit:
    """Coefficients with their covariance."""

    coefficients: np.ndarray
    """(p,) log odds; NaN if the classes are separated, so that they diverge."""
    covariance: np.ndarray
    """(p, p), robust to clusters (Liang and Zeger 1986), with the factor n / (n - 1) of n clusters."""
    n_clusters: int

    def estimate(self, i: int) -> Estimate:
        """A coefficient with its 95% interval, by Student's t with as many degrees of freedom as clusters less p."""
        from scipy.stats import t as student

        value, error = float(self.coefficients[i]), float(np.sqrt(self.covariance[i, i]))
        freedom = max(self.n_clusters - len(self.coefficients), 1)
        reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
        return Estimate(value, value - reach, value + reach)

    def p_value(self, i: int) -> float:
        """Two-sided, of the hypothesis that the coefficient is 0."""
        from scipy.stats import t as student

        statistic = abs(self.coefficients[i]) / np.sqrt(self.covariance[i, i])
        return float(2 * student.sf(statistic, max(self.n_clusters - len(self.coefficients), 1)))


def fit(X: np.ndarray, positive: np.ndarray, clusters: np.ndarray, offset: np.ndarray | float = 0.0) -> Fit:
    """Fit a logistic regression by Newton's method.

    Args:
        X: (n, p) predictors, a column of ones among them if there is to be an intercept.
        positive: (n,) outcome.
        clusters: (n,) subjects, any type that sorts.
        offset: (n,) or one number, added to the log odds.
    """
    p = X.shape[1]
    y = positive.astype(np.float64)
    beta = np.zeros(p)
    settled = False
    for _ in range(_STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(X @ beta + offset, -_LARGEST, _LARGEST)))
        information = (X * (fitted * (1 - fitted))[:, None]).T @ X
        step = np.linalg.lstsq(information, X.T @ (y - fitted), rcond=None)[0]
        beta = beta + np.clip(step, -_MOST_STEP, _MOST_STEP)
        if settled := bool(np.abs(step).max(initial=0) < 1e-9):
            break
    if not settled or np.linalg.matrix_rank(information) < p:
        return Fit(np.full(p, np.nan), np.full((p, p), np.nan), len(np.unique(clusters)))
    _, cluster = np.unique(clusters, return_inverse=True)
    n_clusters = int(cluster.max()) + 1
    scores = np.zeros((n_clusters, p))
    np.add.at(scores, cluster, X * (y - fitted)[:, None])
    bread = np.linalg.inv(information)
    covariance = bread @ (scores.T @ scores) @ bread * (n_clusters / max(n_clusters - 1, 1))
    return Fit(beta, covariance, n_clusters)


def mean(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean of (n,) values with its 95% interval, by Student's t with as many degrees of freedom as clusters less 1."""
    from scipy.stats import t as student

    if not len(values):
        return Estimate(float("nan"))
    _, cluster = np.unique(clusters, return_inverse=True)
    value, n_clusters = float(values.mean()), int(cluster.max()) + 1
    if n_clusters < 2:
        return Estimate(value)
    sums = np.bincount(cluster, weights=values - value)
    error = float(np.sqrt((sums**2).sum() * n_clusters / (n_clusters - 1))) / len(values)
    reach = float(student.ppf((1 + LEVEL) / 2, n_clusters - 1)) * error
    return Estimate(value, value - reach, value + reach)


def difference(values: np.ndarray, second: np.ndarray, clusters: np.ndarray) -> tuple[Estimate, float]:
    """Mean of (n,) values in the second set of rows (n,) minus that in the first, with its interval.

    Returns:
        the difference, and the two-sided p value of the hypothesis that it is 0.
    """
    from scipy.stats import t as student

    sizes = [int((~second).sum()), int(second.sum())]
    if not all(sizes):
        return Estimate(float("nan")), float("nan")
    means = [float(values[~second].mean()), float(values[second].mean())]
    influence = np.where(second, (values - means[1]) / sizes[1], -(values - means[0]) / sizes[0])
    _, cluster = np.unique(clusters, return_inverse=True)
    n_clusters = int(cluster.max()) + 1
    if n_clusters < 3:
        return Estimate(means[1] - means[0]), float("nan")
    sums = np.bincount(cluster, weights=influence)
    error = float(np.sqrt((sums**2).sum() * n_clusters / (n_clusters - 1)))
    value, freedom = means[1] - means[0], n_clusters - 2
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * student.sf(abs(value) / error, freedom)) if error else float(value == 0)
    return Estimate(value, value - reach, value + reach), p
