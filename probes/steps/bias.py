"""Correcting the age bias of predicted ages, for the brain-age gap only: never for accuracy.

Predicted ages regress to the mean, so that the gap (predicted minus true age) falls with age. Both corrections
are fitted on out-of-fold predictions of training subjects. They flatter a weak model (de Lange 2022, PMC9188975),
so the metrics of a probe are always those of its raw predictions.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prima_features.errors import UsageError

Method = Literal["none", "cole", "beheshti"]
METHODS: tuple[Method, ...] = ("none", "cole", "beheshti")

_LEAST_SLOPE = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BiasCorrection:
    """A line through training subjects' ages.

    `cole` (Cole 2018, as in de Lange and Cole 2020): predicted = slope * age + intercept, and
    corrected = (predicted - intercept) / slope; does not use the subject's own age.
    `beheshti` (Beheshti 2019): predicted - age = slope * age + intercept, and
    corrected = predicted - (slope * age + intercept); uses the subject's own age.
    """

    method: Method = "none"
    slope: float = 0.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, method: Method, age: np.ndarray, predicted: np.ndarray) -> BiasCorrection:
        """Fit the line.

        Args:
            method: which correction.
            age: (N,) years of training subjects.
            predicted: (N,) years, by models that had not seen the subject.

        Raises:
            UsageError: there is no such method, or all subjects have one age.
        """
        if method not in METHODS:
            raise UsageError(f"there is no bias correction {method!r}: expected one of {', '.join(METHODS)}")
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
