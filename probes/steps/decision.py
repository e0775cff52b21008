"""From probabilities to a class, by a rule chosen on out-of-fold predictions of training subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decision:
    """The rule that gave the best balanced accuracy in training.

    Of two classes the positive is chosen from a threshold on (Youden's). Of more, the class is chosen whose
    probability is highest relative to its frequency in training, which is best for calibrated probabilities; or the
    most probable one where that did better, as with probabilities of an estimator that weighs classes alike.
    """

    threshold: float = 0.5
    frequency: tuple[float, ...] = ()
    """What each class's probability is divided by, for more than two classes."""

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

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """(N,) class numbers of (N, K) probabilities."""
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
