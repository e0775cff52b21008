"""Calibrating probabilities on out-of-fold predictions of training subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.weighted import logit

Method = Literal["none", "platt", "isotonic"]
METHODS: tuple[Method, ...] = ("none", "platt", "isotonic")


@dataclass(frozen=True)
class Calibration:
    """One curve a class that never falls, or one alone for the positive of two classes.

    `platt` (Platt 1999, with his smoothed targets) is a logistic regression on the log odds. `isotonic`
    (Zadrozny and Elkan 2002) joins the knots of an isotonic regression by straight lines. With more than two
    classes each is calibrated against the rest and the results are divided by their sum.
    """

    method: Method = "none"
    curves: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    """A class: ((slope,), (intercept,)) for `platt`, (probabilities before, after) of the knots for `isotonic`."""

    @classmethod
    def fit(cls, method: Method, probability: np.ndarray, y: np.ndarray) -> Calibration:
        """Fit the curves.

        Args:
            method: which kind.
            probability: (N, K) by models that had not seen the subject.
            y: (N,) class numbers from 0.

        Raises:
            UsageError: there is no such method.
        """
        if method not in METHODS:
            raise UsageError(f"there is no calibration {method!r}: expected one of {', '.join(METHODS)}")
        if method == "none":
            return cls()
        fit_curve = _platt if method == "platt" else _isotonic
        return cls(method, tuple(fit_curve(probability[:, k], y == k) for k in _curved(probability)))

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """(N, K) calibrated probabilities; rows sum to 1."""
        if self.method == "none":
            return probability
        columns = [self._bend(probability[:, k], i) for i, k in enumerate(_curved(probability))]
        if probability.shape[1] == 2:
            return np.column_stack([1 - columns[0], columns[0]])
        stacked = np.column_stack(columns)
        return stacked / stacked.sum(axis=1, keepdims=True)

    def _bend(self, probability: np.ndarray, i: int) -> np.ndarray:
        first, second = (np.asarray(values) for values in self.curves[i])
        if self.method == "isotonic":
            return np.interp(probability, first, second)
        return 1 / (1 + np.exp(-(first[0] * logit(probability) + second[0])))


def _curved(probability: np.ndarray) -> range:
    """Classes that have a curve: all, but of two only the positive."""
    n_classes = probability.shape[1]
    return range(1, 2) if n_classes == 2 else range(n_classes)


def _platt(probability: np.ndarray, positive: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from sklearn.linear_model import LogisticRegression

    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    high, low = (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    # Smoothed targets as weights: each row counts for its class by `target` and for the other by the rest.
    target = np.where(positive, high, low)
    x = np.tile(logit(probability), 2)[:, None]
    outcome = np.repeat([1, 0], len(target))
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(x, outcome, np.concatenate([target, 1 - target]))
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < 0:
        # Scores that order worse than chance are noise: turning them round would be reading it.
        return (0.0,), (float(logit(target.mean())),)
    return (slope,), (intercept,)


def _isotonic(probability: np.ndarray, positive: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from sklearn.isotonic import IsotonicRegression

    # By Laplace's rule: no number of training subjects makes a probability of 0 or 1.
    least = 1 / (len(positive) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    model.fit(probability, positive.astype(float))
    return tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist())
