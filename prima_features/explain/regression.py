"""LIME on tokens: random masks, and a weighted ridge regression of the outputs on them.

The public code (MLNeurosurg/Prima) runs lime 0.2.0.1's LimeBase with masks drawn by numpy's legacy generator, ridge
alpha 1, and uniform weights, because the distances that its kernel reads are never filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALPHA = 1.0
"""Ridge penalty, as LimeBase's."""
KERNEL_WIDTH = 0.25
"""Of the cosine kernel, as the public code states it."""


def public_masks(n_features: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """The masks of the public code: each feature on with probability 1/2; the first row and empty rows all on.

    Args:
        n_features: number of features N.
        n_samples: number of rows S.
        seed: of numpy's legacy generator.

    Returns:
        (S, N) bool.
    """
    drawn = np.random.RandomState(seed).randint(0, 2, n_features * n_samples)
    masks = drawn.reshape(n_samples, n_features).astype(bool)
    masks[0] = True
    masks[~masks.any(axis=1)] = True
    return masks


def cosine_weights(masks: np.ndarray) -> np.ndarray:
    """The weights that the public kernel was evidently meant to give: by cosine distance from the row of all ones.

    Args:
        masks: (S, N) bool, no row empty.

    Returns:
        (S,) float64, 1 for a row of all ones.
    """
    distance = 1 - np.sqrt(masks.mean(axis=1))
    weights: np.ndarray = np.sqrt(np.exp(-(distance**2) / KERNEL_WIDTH**2))
    return weights


@dataclass(frozen=True, eq=False)
class Fit:
    """A weighted ridge regression of S outputs on N features."""

    coefficient: np.ndarray
    """(N,) float64."""
    intercept: float
    r2: float
    """Weighted, on the samples that it was fitted to."""


def ridge(masks: np.ndarray, outputs: np.ndarray, weights: np.ndarray, alpha: float = ALPHA) -> Fit:
    """Ridge regression with a free intercept, in closed form; equals scikit-learn's `Ridge`.

    Args:
        masks: (S, N) bool.
        outputs: (S,).
        weights: (S,) above 0.
        alpha: penalty on the coefficients.
    """
    X, y = masks.astype(np.float64), np.asarray(outputs, dtype=np.float64)
    if np.ptp(y) == 0:  # rounding would give coefficients that are not 0
        return Fit(np.zeros(X.shape[1]), float(y[0]), float("nan"))
    x_mean, y_mean = np.average(X, axis=0, weights=weights), np.average(y, weights=weights)
    root = np.sqrt(weights)
    Xc, yc = root[:, None] * (X - x_mean), root * (y - y_mean)
    if len(X) < X.shape[1]:  # solve in the smaller of the two dimensions
        coefficient = Xc.T @ np.linalg.solve(Xc @ Xc.T + alpha * np.eye(len(X)), yc)
    else:
        coefficient = np.linalg.solve(Xc.T @ Xc + alpha * np.eye(X.shape[1]), Xc.T @ yc)
    total = float(yc @ yc)
    residual = yc - Xc @ coefficient
    r2 = 1 - float(residual @ residual) / total if total > 0 else float("nan")
    return Fit(coefficient, float(y_mean - x_mean @ coefficient), r2)
