"""Ridge regression whose penalty is chosen from one decomposition a fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prima_features.probes.estimators.base import Parameters
from prima_features.probes.estimators.grids import RIDGE_ALPHAS, ascending
from prima_features.probes.estimators.kinds import ProbeRegressor
from prima_features.probes.linalg.ridge_path import ridge_path
from prima_features.probes.linalg.rows import Rows


class RidgeProbe(ProbeRegressor):
    """Linear regression with an L2 penalty on standardised features.

    The same as a pipeline of StandardScaler and Ridge in a grouped grid search, but each fold is decomposed once
    for all penalties, and no fold is copied: memory stays below three times that of float32 data.

    Args:
        alphas: penalties that are tried, as scikit-learn's Ridge has them.
        standardize: scale features to unit variance.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.

    Attributes:
        coef_: (D,) weights of the features as given.
        intercept_: number.
    """

    def __init__(
        self,
        alphas: Sequence[float] = RIDGE_ALPHAS,
        *,
        standardize: bool = True,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.alphas = alphas
        self.standardize = standardize
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        return [{"alpha": alpha} for alpha in reversed(ascending("alphas", self.alphas))]

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        alphas = [candidate["alpha"] for candidate in candidates]
        weights, intercepts = ridge_path(train, y, alphas, self.standardize)
        return (test.dot(weights) + intercepts).T

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        weights, intercepts = ridge_path(rows, y, [parameters["alpha"]], self.standardize)
        self.coef_, self.intercept_ = weights[:, 0], float(intercepts[0])

    def _numbers(self, rows: Rows) -> np.ndarray:
        return rows.dot(self.coef_[:, None])[:, 0] + self.intercept_

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        return {"coef": self.coef_, "intercept": np.array([self.intercept_])}

    def restore(self, arrays: dict[str, np.ndarray]) -> RidgeProbe:
        """Take back what `state` gave."""
        self.coef_, self.intercept_ = arrays["coef"], float(arrays["intercept"][0])
        self.n_features_in_ = len(self.coef_)
        return self
