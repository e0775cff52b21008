"""What is tried in the inner loop, as data. Each list runs from the most regularised to the least."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from prima_features.errors import UsageError

RIDGE_ALPHAS: tuple[float, ...] = tuple(np.logspace(6, -2, 20).tolist())
"""Penalties on standardised features: from all but the mean shrunk away to nearly none."""

LOGISTIC_C: tuple[float, ...] = tuple(np.logspace(-6, 2, 9).tolist())
"""Inverse L2 penalties on standardised features."""

XGBOOST_DEPTHS: tuple[int, ...] = (2, 4)
XGBOOST_ROUNDS: tuple[int, ...] = (50, 100, 200, 300)
"""Numbers of trees; all are read off one booster of the largest."""

MLP_ALPHAS: tuple[float, ...] = (10.0, 1.0, 0.1)
"""L2 penalties of the weights."""

KNN_NEIGHBOURS: tuple[int, ...] = (50, 20, 10, 5)


def ascending(name: str, values: Sequence[float]) -> list[float]:
    """The different values of a grid, the smallest first.

    Raises:
        UsageError: there is none, or one is not a positive number.
    """
    try:
        numbers = sorted({float(value) for value in values})
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise UsageError(f"{name} must be a list of positive numbers, one at least, not {values!r}")
    return numbers


def ascending_counts(name: str, values: Sequence[int]) -> list[int]:
    """`ascending` for whole numbers."""
    numbers = ascending(name, values)
    if not all(number.is_integer() for number in numbers):
        raise UsageError(f"{name} must be whole numbers, not {values!r}")
    return [int(number) for number in numbers]
