"""Products of a scaled matrix with itself, the smaller of the two, built up from pieces."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from prima_features.probes.linalg.rows import Rows
from prima_features.probes.linalg.scaling import Scaling


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
