"""Training rows on a basis of their own span, for estimators that need products with them many times.

An L2 penalty depends on lengths only, so any basis in which the rows keep their products gives the same solution. If
there are no more rows than features the basis is that of a pivoted Cholesky factor, Z Z' = L L' (Higham 1990), which
takes a small part of the time of the eigenvectors. Otherwise the rows are used as they are, in float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from scipy.linalg import blas, lapack, solve_triangular

from prima_features.probes.linalg.rows import Reduction, Rows, fit_gram, principal, transposed_dot

Solve = Callable[[np.ndarray], np.ndarray]
"""(r,) right-hand side to (r,) solution."""
_RANK_TOLERANCE = 1e-12
"""Square of a row's part outside the span of the others, relative to the longest row, that counts as rounding."""
_WOODBURY_LIMIT = 1e-10
"""Least penalty, relative to the trace of the weighted products, for which they are inverted instead of the Hessian:
below, the difference of two nearly equal vectors would be all rounding."""


class Design(ABC):
    """n rows Z on r directions."""

    shape: tuple[int, int]
    """n, r."""
    squares: np.ndarray
    """(n,) squared length of each row."""

    @abstractmethod
    def dot(self, w: np.ndarray) -> np.ndarray:
        """(n, k) products Z w."""

    @abstractmethod
    def transposed(self, v: np.ndarray) -> np.ndarray:
        """(r, k) products Z' v."""

    @abstractmethod
    def factor(self, weights: np.ndarray, penalty: float) -> Solve:
        """Solve (Z' diag(weights) Z + penalty I) x = b; (n,) weights, none below 0."""

    @abstractmethod
    def unfold(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (r, k) as weights (D, k) on the features as given, and the offset (k,) that they need."""


def design(rows: Rows, standardize: bool = True, components: int | None = None) -> Design:
    """Scaled training rows, or at most `components` principal components of them, in the smaller basis."""
    if components is None or components >= min(len(rows), rows.width):
        return Span(rows, standardize) if len(rows) <= rows.width else Dense(rows, standardize)
    return Leading(rows, standardize, components)


class Dense(Design):
    """Scaled features as they are."""

    Z: np.ndarray

    def __init__(self, rows: Rows, standardize: bool):
        self.reduction = Reduction(standardize)
        self.Z = self.reduction.fit_transform(rows)
        self.shape, self.squares = self.Z.shape, np.einsum("ij,ij->i", self.Z, self.Z)

    def dot(self, w: np.ndarray) -> np.ndarray:
        """(n, k) products."""
        return np.asarray(self.Z @ w)

    def transposed(self, v: np.ndarray) -> np.ndarray:
        """(r, k) products."""
        return np.asarray(self.Z.T @ v)

    def factor(self, weights: np.ndarray, penalty: float) -> Solve:
        """By the Cholesky factor of the (r, r) matrix."""
        weighted = self.Z * np.sqrt(weights)[:, None]
        return _cholesky(weighted.T @ weighted, penalty)

    def unfold(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the scale of the features."""
        return self.reduction.unfold(w)


class Leading(Dense):
    """The leading principal components."""

    def __init__(self, rows: Rows, standardize: bool, components: int):
        self.rows, self.principal = rows, principal(rows, standardize, components)
        self.Z = self.principal.Z
        self.shape, self.squares = self.Z.shape, np.einsum("ij,ij->i", self.Z, self.Z)

    def unfold(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the components' axes."""
        scaling = self.principal.scaling
        on_features = self.principal.combine(self.rows, w) / scaling.scale[:, None]
        return on_features, -scaling.mean @ on_features


class Span(Design):
    """No more rows than features, on the basis of a pivoted Cholesky factor."""

    def __init__(self, rows: Rows, standardize: bool):
        n = len(rows)
        self.rows, self.shape = rows, (n, n)
        # One square of memory: the factor below the diagonal, the products above it.
        self.scaling, self.packed = fit_gram(rows, standardize)
        self.squares = self.packed.diagonal().copy()
        _mirror(self.packed)
        least = max(_RANK_TOLERANCE, 4 * n * np.finfo(float).eps) * self.squares.max()
        self.packed, order, self.rank, _ = lapack.dpstrf(self.packed, tol=least, lower=1, overwrite_a=1)
        self.order = order - 1
        if self.squares.max() == 0:
            self.rank = 0
        rest = self.packed[self.rank :, self.rank :]
        rest[:] = np.triu(rest, 1)

    def dot(self, w: np.ndarray) -> np.ndarray:
        """(n, k) products."""
        result = np.empty_like(w)
        result[self.order] = self._times(w, 0)
        return result

    def transposed(self, v: np.ndarray) -> np.ndarray:
        """(n, k) products, 0 beyond the rank."""
        return self._times(v[self.order], 1)

    def _times(self, right: np.ndarray, trans: int) -> np.ndarray:
        if right.shape[1] == 1:
            return np.asarray(blas.dtrmv(self.packed, right[:, 0], lower=1, trans=trans))[:, None]
        return np.asarray(blas.dtrmm(1.0, self.packed, right, lower=1, trans_a=trans))

    def factor(self, weights: np.ndarray, penalty: float) -> Solve:
        """By the (n, n) products of the weighted rows (Woodbury), or the Hessian itself if the penalty is tiny."""
        if penalty < _WOODBURY_LIMIT * float(weights @ self.squares):
            return self._factored_hessian(weights, penalty)
        root = np.sqrt(weights)
        square = self.packed * root[:, None]
        square *= root
        square[np.diag_indices_from(square)] = weights * self.squares + penalty
        factor, failed = lapack.dpotrf(square, lower=0, clean=0, overwrite_a=1)
        if failed:
            return self._factored_hessian(weights, penalty)

        def solve(right: np.ndarray) -> np.ndarray:
            inner = root * self.dot(right[:, None])[:, 0]
            # Not dpotrs, which for one column takes three times as long.
            inner = root * blas.dtrsv(factor, blas.dtrsv(factor, inner, trans=1), overwrite_x=1)
            return (right - self.transposed(inner[:, None])[:, 0]) / penalty

        return solve

    def _factored_hessian(self, weights: np.ndarray, penalty: float) -> Solve:
        weighted = np.sqrt(weights)[self.order, None] * np.tril(self.packed)
        return _cholesky(weighted.T @ weighted, penalty)

    def unfold(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the rows that the factor rests on."""
        dual = np.zeros_like(w)
        used = slice(0, self.rank)
        dual[self.order[used]] = solve_triangular(
            self.packed[used, used], w[used], lower=True, trans=1, check_finite=False
        )
        on_features = transposed_dot(self.rows, self.scaling, dual) / self.scaling.scale[:, None]
        return on_features, -self.scaling.mean @ on_features


def _cholesky(matrix: np.ndarray, penalty: float) -> Solve:
    """Solve (matrix + penalty I) x = b, with as much more on the diagonal as rounding errors need."""
    # On a diagonal of ones, so that directions of any length are equally exact.
    diagonal = matrix.diagonal() + penalty
    scale = 1 / np.sqrt(np.maximum(diagonal, np.finfo(float).tiny))
    matrix *= scale[:, None]
    matrix *= scale
    for rounding in (1e-15, 1e-14, 1e-12, 1e-10, 1e-6):
        matrix[np.diag_indices_from(matrix)] = 1 + rounding
        factor, failed = lapack.dpotrf(matrix, lower=1, clean=0)
        if not failed:
            return lambda right: scale * np.asarray(lapack.dpotrs(factor, scale * right, lower=1)[0])
    raise np.linalg.LinAlgError("the Hessian of a logistic regression is not positive definite")


def _mirror(lower: np.ndarray) -> None:
    """Copy what is below the diagonal to above it, in place."""
    for start in range(0, len(lower), 512):
        stop = start + 512
        block = lower[start:stop, start:stop]
        block[:] = np.tril(block) + np.tril(block, -1).T
        lower[start:stop, stop:] = lower[stop:, start:stop].T
