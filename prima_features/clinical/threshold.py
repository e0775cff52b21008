"""The threshold that Prima's public training code chooses for a diagnosis."""

from __future__ import annotations

import numpy as np

CANDIDATES = np.arange(-25, 11) / 5
"""-5.0, -4.8, ..., 2.0."""
NONE_IS_RIGHT = -100.0
"""What the rule gives if every candidate has an accuracy of 0."""


def best_threshold(positive: np.ndarray, logit: np.ndarray) -> float:
    """The lowest of the candidates with the highest accuracy of `logit >= candidate`.

    Args:
        positive: (N,) truth.
        logit: (N,) output of the head, before a threshold is subtracted.
    """
    called = np.asarray(logit, dtype=np.float64)[:, None] >= CANDIDATES
    accuracy = (called == np.asarray(positive, dtype=bool)[:, None]).mean(axis=0)
    return float(CANDIDATES[accuracy.argmax()]) if accuracy.max() > 0 else NONE_IS_RIGHT
