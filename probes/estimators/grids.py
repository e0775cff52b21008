"""What is tried in the inner loop, as data. Each list runs from the most regularised to the least."""

from __future__ import annotations

import numpy as np

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
