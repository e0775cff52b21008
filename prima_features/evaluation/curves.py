"""Curves from a score to a probability that never fall: Platt's logistic curve and isotonic regression."""

from __future__ import annotations

import numpy as np

from prima_features.evaluation.weighted import logit

Points = tuple[tuple[float, ...], tuple[float, ...]]


def platt(x: np.ndarray, positive: np.ndarray) -> Points:
    """Logistic regression of (n,) truth on (n,) log odds or scores, with Platt's (1999) smoothed targets.

    Returns:
        ((slope,), (intercept,)); a slope of 0 if scores order worse than chance.
    """
    from sklearn.linear_model import LogisticRegression

    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    high, low = (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    # Smoothed targets as weights: each row counts for its class by `target` and for the other by the rest.
    target = np.where(positive, high, low)
    outcome = np.repeat([1, 0], len(target))
    model = LogisticRegression(C=np.inf, tol=1e-8)
    model.fit(np.tile(x, 2)[:, None], outcome, np.concatenate([target, 1 - target]))
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < 0:
        # Turning the order round would fit noise.
        return (0.0,), (float(logit(target.mean())),)
    return (slope,), (intercept,)


def isotonic(x: np.ndarray, positive: np.ndarray) -> Points:
    """Isotonic regression (Zadrozny and Elkan 2002) of (n,) truth on (n,) scores.

    Returns:
        scores and probabilities of the knots, to be joined by straight lines.
    """
    from sklearn.isotonic import IsotonicRegression

    # By Laplace's rule: no number of training subjects makes a probability of 0 or 1.
    least = 1 / (len(positive) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    model.fit(x, positive.astype(float))
    return tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist())
