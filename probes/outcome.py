"""What a fitted probe says of some studies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """Predictions of N studies."""

    value: np.ndarray
    """(N,) predicted numbers; NaN for classes."""
    probability: np.ndarray
    """(N, K) of the classes; K is 0 for numbers."""
    label: np.ndarray
    """(N,) class numbers by the rule chosen in training; -1 for numbers."""
    corrected: np.ndarray
    """(N,) ages after bias correction, for the gap; NaN where there is none."""

    @classmethod
    def empty(cls, n: int, n_classes: int) -> Outcome:
        """Nothing said of anyone."""
        unknown = np.full(n, np.nan)
        return cls(unknown, np.full((n, n_classes), np.nan), np.full(n, -1), unknown.copy())

    def take(self, rows: np.ndarray) -> Outcome:
        """Of some studies, by mask or position."""
        return Outcome(self.value[rows], self.probability[rows], self.label[rows], self.corrected[rows])

    def put(self, rows: np.ndarray, other: Outcome) -> None:
        """Write the outcome of some studies into this one's arrays."""
        self.value[rows], self.probability[rows] = other.value, other.probability
        self.label[rows], self.corrected[rows] = other.label, other.corrected
