"""Standardising features and turning them to their principal axes."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from prima_features.probes.linalg.rows import Rows, Scaling, covariance, gram, transposed_dot

_RANK_TOLERANCE = 1e-10


class Reduction:
    """Standardise, then keep the leading principal components.

    With as many components as the training rows span, estimators whose penalty only sees lengths (ridge,
    L2 logistic regression) and distances lose nothing by it, and work on n numbers a study instead of D.

    Args:
        standardize: scale features to unit variance first.
        components: most components kept; None keeps the features as they are.
        whiten: divide each component by its standard deviation.
    """

    def __init__(self, standardize: bool = True, components: int | None = None, whiten: bool = False):
        self.standardize, self.components, self.whiten = standardize, components, whiten

    def fit(self, rows: Rows) -> Reduction:
        """Fit on n training rows; sets `mean_`, `scale_`, `axes_` (D, r; or None) and `variance_` (r,)."""
        scaling = Scaling.fit(rows, self.standardize)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        self.axes_: np.ndarray | None = None
        self.variance_ = np.ones(rows.width)
        if self.components is not None and (rows.width > min(self.components, len(rows)) or self.whiten):
            self.axes_, self.variance_ = _principal_axes(rows, scaling, self.components)
        return self

    def transform(self, rows: Rows) -> np.ndarray:
        """(n, r) components of n rows, or (n, D) scaled features, as float64."""
        result = np.empty((len(rows), rows.width if self.axes_ is None else self.axes_.shape[1]))
        scaling = Scaling(self.mean_, self.scale_)
        for chosen, values in rows.row_chunks():
            scaled = scaling.apply(values)
            result[chosen] = scaled if self.axes_ is None else scaled @ self.axes_
        return result / np.sqrt(self.variance_) if self.whiten else result

    def unfold(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (r, k) on the components as weights (D, k) on the features, and what they add as (k,)."""
        if self.whiten:
            weights = weights / np.sqrt(self.variance_)[:, None]
        on_scaled = weights if self.axes_ is None else self.axes_ @ weights
        on_features = on_scaled / self.scale_[:, None]
        return on_features, -self.mean_ @ on_features

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        arrays = {"mean": self.mean_, "scale": self.scale_, "variance": self.variance_}
        return arrays if self.axes_ is None else arrays | {"axes": self.axes_}

    def restore(self, arrays: dict[str, np.ndarray]) -> Reduction:
        """Take back what `state` gave."""
        self.mean_, self.scale_ = arrays["mean"], arrays["scale"]
        self.axes_, self.variance_ = arrays.get("axes"), arrays["variance"]
        return self


def _principal_axes(rows: Rows, scaling: Scaling, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Axes (D, r) of most variance, with the variance along each (r,), largest first."""
    wide = len(rows) <= rows.width
    product = gram(rows, scaling) if wide else covariance(rows, scaling)
    first = max(0, len(product) - components)
    values, vectors = eigh(
        product, lower=True, overwrite_a=True, check_finite=False, subset_by_index=[first, len(product) - 1]
    )
    values, vectors = values[::-1], vectors[:, ::-1]
    # Centring takes one dimension away, and equal features more.
    kept = values > _RANK_TOLERANCE * values[0]
    if not kept.any():
        return np.zeros((rows.width, 1)), np.ones(1)
    values, vectors = values[kept], vectors[:, kept]
    axes = transposed_dot(rows, scaling, vectors) / np.sqrt(values) if wide else vectors
    return np.ascontiguousarray(axes), values / len(rows)
