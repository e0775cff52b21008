"""Solving (A + s I) x = b for many shifts s from one decomposition of A.

A = Q B Q' with B a narrow band, so that each shift costs one solve with a band: (A + s I)^-1 b = Q (B + s I)^-1 Q' b.
This takes a fraction of the time of the eigenvectors, and hardly any memory beside A.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solveh_banded

from prima_features.probes.linalg.band import BandForm


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
