"""Ridge regression for many penalties from one decomposition (Hoerl and Kennard 1970; dual form, Saunders 1998).

(A + s I) x = b is solved for many shifts s by A = Q B Q' with B a narrow band, so each shift costs one solve with a
band: (A + s I)^-1 b = Q (B + s I)^-1 Q' b. This takes a fraction of the time of the eigenvectors, and hardly any memory
besides A.

`BandForm` is the first half of tridiagonalisation in two stages (Bischof, Lang and Sun 2000, 10.1145/365723.365735):
each block of columns is cleared below the band by a QR decomposition, whose Q = I - V T V' is then applied to the rest
of the matrix from both sides, nearly all of it in products of large blocks. LAPACK's dsytrd, which goes on to three
diagonals column by column, spends half of its operations in products with single vectors and waits for memory: for 6400
rows it takes more than twice the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solveh_banded

from prima_features.errors import UsageError
from prima_features.probes.linalg.rows import Rows, Scaling, covariance, fit_gram, transposed_dot


def ridge_path(
    rows: Rows, y: np.ndarray, alphas: Sequence[float], standardize: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Weights that minimise |y - b - Z w|^2 + alpha |w|^2, for each alpha.

    Z are the rows scaled by their own mean and standard deviation; the weights given are for unscaled features.
    Works on the n x n products of rows if there are fewer rows than features, else on the D x D of features.

    Args:
        rows: n training rows of D features.
        y: (n,) float64.
        alphas: positive penalties, as scikit-learn's Ridge has them.
        standardize: whether features are scaled to unit variance, or only centred.

    Returns:
        (D, len(alphas)) weights and (len(alphas),) intercepts.

    Raises:
        UsageError: a penalty is lost in the rounding errors of the features' products.
    """
    try:
        return _solve(rows, y, alphas, standardize)
    except np.linalg.LinAlgError as error:
        raise UsageError(
            f"the penalty {min(alphas):g} is too small for features of this scale: give larger alphas"
        ) from error


def _solve(
    rows: Rows, y: np.ndarray, alphas: Sequence[float], standardize: bool
) -> tuple[np.ndarray, np.ndarray]:
    centred = y - y.mean()
    if len(rows) <= rows.width:
        scaling, product = fit_gram(rows, standardize)
        dual = solve_shifted(product, centred, alphas)
        weights = transposed_dot(rows, scaling, dual)
    else:
        scaling = Scaling.fit(rows, standardize)
        moment = transposed_dot(rows, scaling, centred[:, None])[:, 0]
        weights = solve_shifted(covariance(rows, scaling), moment, alphas)
    weights /= scaling.scale[:, None]
    return weights, y.mean() - scaling.mean @ weights


def solve_shifted(matrix: np.ndarray, right: np.ndarray, shifts: Sequence[float]) -> np.ndarray:
    """Solve for each shift.

    Args:
        matrix: (n, n) float64 in Fortran order, symmetric and positive semidefinite; only the lower half is
            read, and all of it is overwritten.
        right: (n,) float64.
        shifts: positive.

    Returns:
        (n, len(shifts)) solutions.

    Raises:
        numpy.linalg.LinAlgError: a shift is too small against the matrix's rounding errors.
    """
    if len(shifts) == 1:
        return _solve_one(matrix, right[:, None], shifts[0])
    form = BandForm.reduce(matrix)
    bands, rotated = form.bands(), form.rotate(right[:, None], transpose=True)
    diagonal = bands[0].copy()
    solutions = np.empty((len(right), len(shifts)), order="F")
    for i, shift in enumerate(shifts):
        bands[0] = diagonal + shift
        solutions[:, i] = solveh_banded(bands, rotated[:, 0], lower=True, check_finite=False)
    return form.rotate(solutions, transpose=False)


def _solve_one(matrix: np.ndarray, right: np.ndarray, shift: float) -> np.ndarray:
    matrix[np.diag_indices_from(matrix)] += shift
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, right, check_finite=False)


WIDTHS = (32, 128)
"""Fewest and most diagonals below the main one: wide enough for quick products, narrow enough that solving with many
shifts takes little time in comparison. Between the two a sixteenth of the rows."""
_STRIP = 512
"""Rows that are updated in one piece."""


@dataclass(frozen=True)
class BandForm:
    """A = Q B Q', where B has `width` diagonals on either side of the main one."""

    packed: np.ndarray
    """(n, n) in C order: B's upper half, with the vectors V above it."""
    triangles: tuple[np.ndarray, ...]
    """T of each block of columns."""
    width: int

    @classmethod
    def reduce(cls, matrix: np.ndarray, width: int | None = None) -> BandForm:
        """Reduce (n, n) float64 in Fortran order, symmetric; only the lower half is read, and all is overwritten."""
        upper = matrix.T  # the same memory in C order
        width = width or int(np.clip(len(upper) // 16, *WIDTHS))
        _mirror_diagonal_blocks(upper)
        triangles = []
        for start in range(0, len(upper) - width - 1, width):
            columns, below = slice(start, start + width), start + width
            # By numpy as all of this: scipy has threads of its own, and the two would wait for each other.
            upper[columns, below:], tau = np.linalg.qr(upper[columns, below:].T, mode="raw")
            vectors = _vectors(upper[columns, below:].T)
            triangles.append(_triangle(vectors, tau))
            _turn(upper, below, vectors, triangles[-1])
        return cls(upper, tuple(triangles), width)

    def bands(self) -> np.ndarray:
        """B's main diagonal and those below it, laid out as scipy's `solveh_banded` reads them."""
        n = len(self.packed)
        bands = np.zeros((min(self.width, n - 1) + 1, n))
        for i, band in enumerate(bands):
            band[: n - i] = np.diagonal(self.packed, i)
        return bands

    def rotate(self, right: np.ndarray, *, transpose: bool) -> np.ndarray:
        """Q @ right, or Q' @ right, of (n, k) numbers."""
        result = right.copy()
        blocks = list(enumerate(self.triangles))
        for i, triangle in blocks if transpose else reversed(blocks):
            start, below = i * self.width, (i + 1) * self.width
            vectors = _vectors(self.packed[start:below, below:].T)
            rest = result[below:]
            rest -= vectors @ ((triangle.T if transpose else triangle) @ (vectors.T @ rest))
        return result


def _mirror_diagonal_blocks(upper: np.ndarray) -> None:
    for strip in _strips(0, len(upper)):
        block = upper[strip, strip]
        block[:] = np.triu(block) + np.triu(block, 1).T


def _vectors(factored: np.ndarray) -> np.ndarray:
    """V from the QR decomposition as LAPACK leaves it: what is below the diagonal, and ones on it."""
    vectors = np.tril(factored[:, : len(factored)], -1)
    np.fill_diagonal(vectors, 1)
    return vectors


def _triangle(vectors: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Upper triangular T for which I - V T V' is the product of the reflections I - tau v v' (Puglisi 1992)."""
    # Where nothing had to be reflected tau is 0, and so are the row and column of T.
    used = np.ix_(tau != 0, tau != 0)
    inverse = np.triu(vectors.T @ vectors, 1)[used] + np.diag(1 / tau[tau != 0])
    triangle = np.zeros((len(tau), len(tau)))
    triangle[used] = np.linalg.inv(inverse)
    return triangle


def _turn(upper: np.ndarray, below: int, vectors: np.ndarray, triangle: np.ndarray) -> None:
    """Apply Q = I - V T V' from both sides to what is from `below` on: A - V W' - W V', with W as below."""
    product = np.zeros_like(vectors)
    for strip in _strips(below, len(upper)):
        here, after = slice(strip.start - below, strip.stop - below), slice(strip.stop - below, None)
        product[here] += upper[strip, strip.start :] @ vectors[here.start :]
        product[after] += upper[strip, strip.stop :].T @ vectors[here]
    product = product @ triangle
    W = product - vectors @ (triangle.T @ (vectors.T @ product)) / 2
    left, right = np.hstack([vectors, W]), np.hstack([W, vectors])
    for strip in _strips(below, len(upper)):
        first = strip.start - below
        upper[strip, strip.start :] -= left[first : strip.stop - below] @ right[first:].T


def _strips(start: int, stop: int) -> Iterator[slice]:
    """Rows from `start` on, cut where `_STRIP` divides them: only the blocks between are kept on both sides of the
    diagonal."""
    while start < stop:
        end = min(stop, (start // _STRIP + 1) * _STRIP)
        yield slice(start, end)
        start = end
