"""What turns an estimator's outputs into predictions: calibration, the rule for a class, and age bias correction.

Each is fitted on out-of-fold predictions of the training subjects.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.curves import isotonic, platt
from prima_features.evaluation.ordinal import expected
from prima_features.evaluation.weighted import logit
from prima_features.probes.steps.hazard import SurvivalCurve

CalibrationMethod = Literal["none", "platt", "isotonic"]
CALIBRATIONS: tuple[CalibrationMethod, ...] = ("none", "platt", "isotonic")

BiasMethod = Literal["none", "cole", "beheshti"]
BIAS_CORRECTIONS: tuple[BiasMethod, ...] = ("none", "cole", "beheshti")

_LEAST_SLOPE = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """One curve a class that never falls, or one alone for the positive of two classes.

    `platt` (Platt 1999, with his smoothed targets) is a logistic regression on the log odds. `isotonic`
    (Zadrozny and Elkan 2002) joins the knots of an isotonic regression by straight lines. With more than two
    classes each is calibrated against the rest and the results are divided by their sum.
    """

    method: CalibrationMethod = "none"
    curves: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    """A class: ((slope,), (intercept,)) for `platt`, (probabilities before, after) of the knots for `isotonic`."""

    @classmethod
    def fit(cls, method: CalibrationMethod, probability: np.ndarray, y: np.ndarray) -> Calibration:
        """Fit the curves.

        Args:
            method: which kind.
            probability: (N, K) by models that had not seen the subject.
            y: (N,) class numbers from 0.

        Raises:
            UsageError: there is no such method.
        """
        if method not in CALIBRATIONS:
            raise UsageError(f"unknown calibration {method!r}: expected one of {', '.join(CALIBRATIONS)}")
        if method == "none":
            return cls()
        fit_curve, x = (platt, logit(probability)) if method == "platt" else (isotonic, probability)
        return cls(method, tuple(fit_curve(x[:, k], y == k) for k in _curved(probability)))

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


@dataclass(frozen=True)
class Decision:
    """The rule that gave the best balanced accuracy in training.

    Of two classes the positive is chosen from a threshold on (Youden's). Of more, the class is chosen whose
    probability is highest relative to its frequency in training, which is best for calibrated probabilities; or the
    most probable one if that did better, as with probabilities of an estimator that weighs classes alike.
    """

    threshold: float = 0.5
    frequency: tuple[float, ...] = ()
    """What each class's probability is divided by, for more than two classes."""
    cuts: tuple[float, ...] = ()
    """Expected positions from which on the next of ordered classes is decided; they replace the other two."""
    thresholds: tuple[float, ...] = ()
    """Of several labels: the probability from which on each is decided to be present; they replace the others."""

    def __post_init__(self) -> None:
        if not all(low <= high for low, high in pairwise(self.cuts)):
            raise ValueError("cuts between ordered classes must ascend")

    @classmethod
    def fit(cls, probability: np.ndarray, y: np.ndarray) -> Decision:
        """Choose the rule.

        Args:
            probability: (N, K) by models that had not seen the subject.
            y: (N,) class numbers from 0.
        """
        n_classes = probability.shape[1]
        if n_classes == 2:
            return cls(_best_threshold(probability[:, 1], y == 1))
        relative = cls(frequency=tuple((np.bincount(y, minlength=n_classes) / len(y)).tolist()))
        plain = cls(frequency=(1 / n_classes,) * n_classes)
        return max(relative, plain, key=lambda rule: _balanced_accuracy(y, rule(probability)))

    @classmethod
    def of_ordered(cls, probability: np.ndarray, y: np.ndarray) -> Decision:
        """Cuts on the expected position that give the K ordered classes the frequencies they have in training.

        Of scores with a given correlation with the truth, the quadratic weighted kappa is highest if means and
        variances are those of the truth; the most probable or expected class would nearly always be a middle one if the
        signal is weak. Arguments as of `fit`; each class occurs.
        """
        position, n_classes = expected(probability), probability.shape[1]
        if np.ptp(position) < 1e-12:  # no information: the nearest class
            return cls(cuts=tuple((np.arange(n_classes - 1) + 0.5).tolist()))
        below = np.cumsum(np.bincount(y, minlength=n_classes))[:-1] / len(y)
        return cls(cuts=tuple(np.quantile(position, below).tolist()))

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """(N,) class numbers of (N, K) probabilities; (N, K) 1 or 0 of K labels."""
        if self.thresholds:
            return (probability >= np.array(self.thresholds)).astype(np.int64)
        if self.cuts:
            return np.searchsorted(self.cuts, expected(probability), side="right").astype(np.int64)
        if not self.frequency:
            return (probability[:, 1] >= self.threshold).astype(np.int64)
        frequency = np.asarray(self.frequency)
        relative = np.where(frequency > 0, probability / np.where(frequency > 0, frequency, 1), 0)
        return relative.argmax(axis=1)


def _balanced_accuracy(y: np.ndarray, label: np.ndarray) -> float:
    return float(np.mean([(label[y == code] == code).mean() for code in np.unique(y)]))


def _best_threshold(score: np.ndarray, positive: np.ndarray) -> float:
    """The middle between the two neighbouring scores where sensitivity plus specificity is highest."""
    if positive.all() or not positive.any():
        return 0.5
    levels, level = np.unique(score, return_inverse=True)
    hits = np.bincount(level, weights=positive) / positive.sum()
    alarms = np.bincount(level, weights=~positive) / (~positive).sum()
    youden = np.cumsum((hits - alarms)[::-1])[::-1]
    best = int(youden.argmax())
    below = levels[best - 1] if best else levels[0]
    return float((levels[best] + below) / 2)


@dataclass(frozen=True)
class BiasCorrection:
    """A line through the training subjects' ages, to correct the brain-age gap: never for accuracy.

    Predicted ages regress to the mean, so the gap (predicted minus true age) falls with age. Both corrections flatter
    a weak model (de Lange 2022, PMC9188975): the metrics of a probe are always those of its raw predictions.

    `cole` (Cole 2018, as in de Lange and Cole 2020): predicted = slope * age + intercept, and
    corrected = (predicted - intercept) / slope; does not use the subject's own age.
    `beheshti` (Beheshti 2019): predicted - age = slope * age + intercept, and
    corrected = predicted - (slope * age + intercept); uses the subject's own age.
    """

    method: BiasMethod = "none"
    slope: float = 0.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, method: BiasMethod, age: np.ndarray, predicted: np.ndarray) -> BiasCorrection:
        """Fit the line.

        Args:
            method: which correction.
            age: (N,) years of training subjects.
            predicted: (N,) years, by models that had not seen the subject.

        Raises:
            UsageError: there is no such method, or all subjects have one age.
        """
        if method not in BIAS_CORRECTIONS:
            raise UsageError(
                f"unknown bias correction {method!r}: expected one of {', '.join(BIAS_CORRECTIONS)}"
            )
        if method == "none":
            return cls()
        if np.ptp(age) == 0:
            raise UsageError("the age bias cannot be fitted: all training subjects have the same age")
        slope, intercept = np.polyfit(age, predicted - age if method == "beheshti" else predicted, 1)
        if method == "cole" and abs(slope) < _LEAST_SLOPE:
            _log.warning(
                "predicted age hardly rises with age (slope %.2f): Cole's correction divides by that slope "
                "and its gaps mean little",
                slope,
            )
        return cls(method, float(slope), float(intercept))

    def apply(self, predicted: np.ndarray, age: np.ndarray) -> np.ndarray:
        """(N,) corrected predictions in years; `age` (N,) is used by `beheshti` alone."""
        if self.method == "none":
            return predicted
        if self.method == "cole":
            return (predicted - self.intercept) / self.slope
        return predicted - (self.slope * age + self.intercept)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """All that was fitted after the estimator; what a kind of target does not use is as by default."""

    calibration: Calibration = field(default_factory=Calibration)
    decision: Decision = field(default_factory=Decision)
    correction: BiasCorrection = field(default_factory=BiasCorrection)
    curve: SurvivalCurve = field(default_factory=SurvivalCurve)
