"""The output above which a head calls its finding present."""

from __future__ import annotations

import numpy as np


def best_threshold(outputs: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """The threshold of best accuracy, and that accuracy.

    Args:
        outputs: (N,), at least one.
        present: (N,) bool.

    Returns:
        Of thresholds that are equally good, the middle of the widest gap between outputs; beyond all outputs where
        calling none or all of them present is best.
    """
    order = np.argsort(outputs, kind="stable")
    sorted_outputs, sorted_present = outputs[order].astype(np.float64), present[order]
    # Right when the lowest k are called absent, for k = 0 ... N.
    right = np.concatenate([[0], np.cumsum(~sorted_present)]) + (
        sorted_present.sum() - np.concatenate([[0], np.cumsum(sorted_present)])
    )
    edges = np.concatenate([[sorted_outputs[0] - 2], sorted_outputs, [sorted_outputs[-1] + 2]])
    gaps = np.diff(edges)
    possible = gaps > 0
    best = np.flatnonzero(possible & (right == right[possible].max()))
    chosen = best[gaps[best].argmax()]
    return float((edges[chosen] + edges[chosen + 1]) / 2), float(right[chosen] / len(outputs))
