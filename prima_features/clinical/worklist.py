"""A worklist: studies by one number made of the priority head's outputs.

The public code has no such number, and how its priority head was trained is not published, so no rule can be called the
model's own. Each rule here is monotone and has no parameters; the raw outputs are always written next to it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Rule = Literal["expected", "high", "high-none"]
RULES: dict[Rule, str] = {
    "expected": "the expected level: the sum over levels of their number (0 is the least urgent) times their softmax",
    "high": "the output of the most urgent level",
    "high-none": "the output of the most urgent level minus that of the least urgent one",
}
"""What each rule computes. Higher is more urgent."""


def urgency(priority: np.ndarray, rule: Rule = "expected") -> np.ndarray:
    """One number per study, higher for more urgent studies.

    Args:
        priority: (N, k) raw outputs of the priority head, from the least to the most urgent of k >= 2 levels.
        rule: see `RULES`.

    Returns:
        (N,) float64.
    """
    outputs = np.asarray(priority, dtype=np.float64)
    match rule:
        case "expected":
            shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            return (shares @ np.arange(outputs.shape[1])) / shares.sum(axis=1)
        case "high":
            return outputs[:, -1]
        case "high-none":
            return outputs[:, -1] - outputs[:, 0]


def ranks(urgencies: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Places in the worklist: 1 for the most urgent study; ties are ordered by study id.

    Args:
        urgencies: (N,) see `urgency`.
        ids: (N,) study ids.

    Returns:
        (N,) integers from 1 to N.
    """
    order = np.lexsort([np.asarray(ids).astype(str), -urgencies])
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(1, len(order) + 1)
    return places
