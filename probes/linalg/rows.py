"""Some rows of a matrix in pieces, so that folds copy no data: their mean, scale, products and principal components."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, eigh

from prima_features.probes.bags import Bags

CHUNK_BYTES = 1 << 25
"""Size of a piece, as float64."""


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix."""

    X: np.ndarray
    """(N, D) float32 or float64."""
    index: np.ndarray
    """(n,) rows of `X`."""
    bags: Bags | None = None
    """Of all N rows of `X`: what they are means of, for estimators that pool it themselves."""

    @classmethod
    def all(cls, X: np.ndarray, bags: Bags | None = None) -> Rows:
        """All rows of a matrix."""
        return cls(X, np.arange(len(X)), bags)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.X.shape[1]

    def take(self, which: np.ndarray) -> Rows:
        """Some of these rows, by mask or position."""
        return Rows(self.X, self.index[which], self.bags)

    def array(self) -> np.ndarray:
        """(n, D) copy, in the matrix's own type."""
        return self.X[self.index]

    def column_chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Pieces of columns: which, and their values (n, c) as float64."""
        step = max(1, CHUNK_BYTES // (8 * max(1, len(self))))
        for start in range(0, self.width, step):
            columns = slice(start, min(start + step, self.width))
            yield columns, self.X[self.index, columns].astype(np.float64, copy=False)

    def row_chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Pieces of rows: which of these, and their values (r, D) as float64."""
        step = max(1, CHUNK_BYTES // (8 * max(1, self.width)))
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.X[self.index[rows]].astype(np.float64, copy=False)

    def dot(self, weights: np.ndarray) -> np.ndarray:
        """(n, k) product with (D, k) weights, in float64."""
        result = np.empty((len(self), weights.shape[1]))
        for rows, values in self.row_chunks():
            result[rows] = values @ weights
        return result


_ROUNDING = {4: 1e-7, 8: 1e-12}
"""Deviation of a feature that is constant but for rounding, as a part of its mean; by bytes a number."""


@dataclass(frozen=True)
class Scaling:
    """x -> (x - mean) / scale."""

    mean: np.ndarray
    """(D,) float64."""
    scale: np.ndarray
    """(D,) standard deviation (of the population); 1 if a feature is constant or scaling is not wanted."""

    @classmethod
    def fit(cls, rows: Rows, standardize: bool = True) -> Scaling:
        """Mean, and with `standardize` standard deviation, of each feature."""
        made = cls(np.empty(rows.width), np.ones(rows.width))
        for columns, values in rows.column_chunks():
            made.fit_columns(columns, values, rows.X.itemsize, standardize)
        return made

    def fit_columns(self, columns: slice, values: np.ndarray, itemsize: int, standardize: bool) -> None:
        """Fit some columns on their (n, c) values, which are centred in place; of `itemsize` bytes as given."""
        self.mean[columns] = values.mean(axis=0)
        values -= self.mean[columns]
        if standardize:
            deviation = np.sqrt(np.einsum("ij,ij->j", values, values) / len(values))
            # What rounding leaves of a constant is no variation to blow up.
            constant = deviation <= _ROUNDING[itemsize] * np.abs(self.mean[columns])
            self.scale[columns] = np.where(constant | (deviation == 0), 1, deviation)

    def apply(self, values: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """Scale values (n, c) of some columns, in place."""
        values -= self.mean[columns]
        values /= self.scale[columns]
        return values


def fit_gram(rows: Rows, standardize: bool = True) -> tuple[Scaling, np.ndarray]:
    """`Scaling.fit` and `gram` with it, reading the matrix once."""
    scaling = Scaling(np.empty(rows.width), np.ones(rows.width))
    product = np.zeros((len(rows), len(rows)), order="F")
    for columns, values in rows.column_chunks():
        scaling.fit_columns(columns, values, rows.X.itemsize, standardize)
        values /= scaling.scale[columns]
        product = _add_square(values, product)
    return scaling, product


def gram(rows: Rows, scaling: Scaling) -> np.ndarray:
    """Z @ Z.T of the scaled rows Z: (n, n) float64 in Fortran order, of which only the lower half is filled."""
    product = np.zeros((len(rows), len(rows)), order="F")
    for columns, values in rows.column_chunks():
        product = _add_square(scaling.apply(values, columns), product)
    return product


def covariance(rows: Rows, scaling: Scaling) -> np.ndarray:
    """Z.T @ Z of the scaled rows Z: (D, D) float64 in Fortran order, of which only the lower half is filled."""
    product = np.zeros((rows.width, rows.width), order="F")
    for _, values in rows.row_chunks():
        product = _add_square(scaling.apply(values).T, product)
    return product


def transposed_dot(rows: Rows, scaling: Scaling, right: np.ndarray) -> np.ndarray:
    """(D, k) product Z.T @ right of the scaled rows Z with (n, k) numbers."""
    result = np.empty((rows.width, right.shape[1]))
    for columns, values in rows.column_chunks():
        result[columns] = scaling.apply(values, columns).T @ right
    return result


def _add_square(values: np.ndarray, product: np.ndarray) -> np.ndarray:
    """`product` plus values @ values.T, in place."""
    # BLAS reads Fortran order: hand it whichever of the matrix and its transpose is that without a copy.
    if values.flags.f_contiguous:
        return blas.dsyrk(1.0, values, beta=1.0, c=product, trans=0, lower=1, overwrite_c=1)
    return blas.dsyrk(1.0, values.T, beta=1.0, c=product, trans=1, lower=1, overwrite_c=1)


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
        self.fit_transform(rows)
        return self

    def fit_transform(self, rows: Rows) -> np.ndarray:
        """`fit`, and the (n, r) components of the training rows."""
        self.axes_: np.ndarray | None = None
        self.variance_ = np.ones(rows.width)
        if self.components is None or not (rows.width > min(self.components, len(rows)) or self.whiten):
            scaling = Scaling.fit(rows, self.standardize)
            self.mean_, self.scale_ = scaling.mean, scaling.scale
            return self.transform(rows)
        found = principal(rows, self.standardize, self.components)
        self.mean_, self.scale_ = found.scaling.mean, found.scaling.scale
        self.axes_, self.variance_ = found.axes(rows), found.variance
        return found.Z / np.sqrt(self.variance_) if self.whiten else found.Z

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


@dataclass(frozen=True)
class Principal:
    """The leading r principal components of n training rows."""

    scaling: Scaling
    Z: np.ndarray
    """(n, r) components of the rows."""
    variance: np.ndarray
    """(r,) along each, largest first."""
    vectors: np.ndarray
    """Axes (D, r), or if `wide` what combines the scaled rows to them (n, r)."""
    wide: bool

    def axes(self, rows: Rows) -> np.ndarray:
        """(D, r) of the scaled features."""
        return self.combine(rows, np.eye(self.Z.shape[1])) if self.wide else self.vectors

    def combine(self, rows: Rows, weights: np.ndarray) -> np.ndarray:
        """(D, k) products of the axes with (r, k) weights, without making the axes."""
        combined = self.vectors @ weights
        return transposed_dot(rows, self.scaling, combined) if self.wide else combined


def principal(rows: Rows, standardize: bool, components: int) -> Principal:
    """Decompose the rows' products or the features', whichever are fewer."""
    n, wide = len(rows), len(rows) <= rows.width
    if wide:
        scaling, product = fit_gram(rows, standardize)
    else:
        scaling = Scaling.fit(rows, standardize)
        product = covariance(rows, scaling)
    first = max(0, len(product) - components)
    values, vectors = eigh(
        product, lower=True, overwrite_a=True, check_finite=False, subset_by_index=[first, len(product) - 1]
    )
    values, vectors = values[::-1], vectors[:, ::-1]
    # Centring takes one dimension away, and equal features more.
    kept = values > _RANK_TOLERANCE * values[0]
    if not kept.any():
        return Principal(scaling, np.zeros((n, 1)), np.ones(1), np.zeros((rows.width, 1)), False)
    values, vectors = values[kept], np.ascontiguousarray(vectors[:, kept])
    if wide:
        return Principal(scaling, vectors * np.sqrt(values), values / n, vectors / np.sqrt(values), True)
    Z = np.empty((n, len(values)))
    for chosen, piece in rows.row_chunks():
        Z[chosen] = scaling.apply(piece) @ vectors
    return Principal(scaling, Z, values / n, vectors, False)
