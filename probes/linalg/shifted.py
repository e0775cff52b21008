"""Solving (A + s I) x = b for many shifts s from one decomposition of A.

A = Q T Q' with T tridiagonal (Householder; Golub and Van Loan, section 8.3.1), so that each shift costs one
tridiagonal solve: (A + s I)^-1 b = Q (T + s I)^-1 Q' b. This takes a third of the time of the eigenvectors, and
no memory beside A.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack, solveh_banded

_BLOCK = 64


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
    n = len(matrix)
    if n == 1:
        return right[:, None] / (matrix[0, 0] + np.asarray(shifts))
    work = int(lapack.dsytrd_lwork(n, lower=1)[0])
    reduced, diagonal, below, reflectors, _ = lapack.dsytrd(matrix, lower=1, lwork=work, overwrite_a=1)
    rotated = _rotate(reduced, reflectors, right[:, None], transpose=True)[:, 0]
    bands = np.zeros((2, n))
    bands[1, :-1] = below
    solutions = np.empty((n, len(shifts)), order="F")
    for i, shift in enumerate(shifts):
        bands[0] = diagonal + shift
        solutions[:, i] = solveh_banded(bands, rotated, lower=True)
    return _rotate(reduced, reflectors, solutions, transpose=False)


def _rotate(reduced: np.ndarray, reflectors: np.ndarray, right: np.ndarray, *, transpose: bool) -> np.ndarray:
    """Q @ right, or Q' @ right. Q leaves the first row alone and is a QR's Q on the others (LAPACK's dsytrd)."""
    n = len(reduced)
    # dormqr wants the block below the first row as a matrix of its own. This view starts there and keeps the
    # column stride, where slicing would make dormqr's wrapper copy the whole.
    vectors = reduced.reshape(-1, order="F")[1 : 1 + n * (n - 1)].reshape((n, n - 1), order="F")
    lower = np.asfortranarray(right[1:])
    work = max(1, right.shape[1]) * _BLOCK
    turned, _, _ = lapack.dormqr("L", "T" if transpose else "N", vectors, reflectors, lower, work)
    return np.vstack([right[:1], turned])
