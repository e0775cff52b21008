"""Ridge regression for many penalties from one decomposition (Hoerl and Kennard 1970; dual form, Saunders 1998)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.linalg.gram import covariance, gram, transposed_dot
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.linalg.scaling import Scaling
from prima_features.probes.linalg.shifted import solve_shifted


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
