"""Ridge regression for many penalties from one decomposition (Hoerl and Kennard 1970; dual form, Saunders 1998).

(A + s I) x = b is solved for many shifts s by A = Q B Q' with B a narrow band, so each shift costs one solve with a
band: (A + s I)^-1 b = Q (B + s I)^-1 Q' b. This takes a fraction of the time of the eigenvectors, and hardly any memory
besides A.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solveh_banded

from prima_features.errors import UsageError
from prima_features.probes.linalg.band import BandForm
from prima_features.probes.linalg.rows import Rows, Scaling, covariance, gram, transposed_dot


def ridge_path(
    rows: Rows, y: np.ndarray, alphas: Sequence[float], standardize: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Weights that minimise |y - b - Z w|^2 + alpha |w|^2, for each alpha.

    Z are the rows scaled by their own mean and standard deviation; the weights given are for unscaled features.
    Works on the n x n products of rows where there are fewer rows than features, else on the D x D of features.

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
            f"the penalty {min(alphas):g} is too small beside features of this size: give larger ones"
        ) from error


def _solve(
    rows: Rows, y: np.ndarray, alphas: Sequence[float], standardize: bool
) -> tuple[np.ndarray, np.ndarray]:
    scaling = Scaling.fit(rows, standardize)
    centred = y - y.mean()
    if len(rows) <= rows.width:
        dual = solve_shifted(gram(rows, scaling), centred, alphas)
        weights = transposed_dot(rows, scaling, dual)
    else:
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
