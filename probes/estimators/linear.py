"""Linear probes: ridge regression for a number, logistic regression for classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight

from prima_features.probes.estimators.base import (
    LinearWeights,
    Parameters,
    ProbeClassifier,
    ProbeEstimator,
    ProbeRegressor,
    RowMetadata,
    ascending,
    by_alpha,
)
from prima_features.probes.linalg.logistic import (
    LogisticPath,
    logistic_path,
    probabilities,
    unconverged_sentence,
)
from prima_features.probes.linalg.ridge import ridge_path
from prima_features.probes.linalg.rows import Rows

RIDGE_ALPHAS: tuple[float, ...] = tuple(np.logspace(6, -2, 20).tolist())
"""Penalties on standardised features: from all but the mean shrunk away to nearly none."""
LOGISTIC_C: tuple[float, ...] = tuple(np.logspace(-6, 2, 9).tolist())
"""Inverse L2 penalties on standardised features."""


class RidgeProbe(LinearWeights, ProbeRegressor):
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
        return by_alpha(self.alphas)

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        alphas = [candidate["alpha"] for candidate in candidates]
        weights, intercepts = ridge_path(train, y, alphas, self.standardize)
        return (test.dot(weights) + intercepts).T

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        weights, intercepts = ridge_path(rows, y, [parameters["alpha"]], self.standardize)
        self.coef_, self.intercept_ = weights[:, 0], float(intercepts[0])

    def _numbers(self, rows: Rows) -> np.ndarray:
        return self._linear(rows)


class LogisticProbe(ProbeClassifier):
    """Logistic regression (multinomial for more than two classes) with an L2 penalty on standardised features.

    The same as a pipeline of StandardScaler and LogisticRegression in a grouped grid search, but each fold is factored
    once for all penalties and no fold is copied; see `linalg.logistic`.

    Args:
        C: inverse penalties that are tried.
        standardize: scale features to unit variance.
        components: fit on at most so many principal components, an approximation; None for all that the rows span.
        class_weight: None, or `balanced`, which distorts probabilities.
        max_steps: most Newton steps of the solver for each penalty.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.

    Attributes:
        coef_: (1 or K, D) weights of the features as given.
        intercept_: (1 or K,).
        unconverged_: inverse penalties with which a fit, of an inner fold or of all rows, did not converge.
    """

    def __init__(
        self,
        C: Sequence[float] = LOGISTIC_C,
        *,
        standardize: bool = True,
        components: int | None = None,
        class_weight: str | None = None,
        max_steps: int = 500,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.C = C
        self.standardize = standardize
        self.components = components
        self.class_weight = class_weight
        self.max_steps = max_steps
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        return [{"C": C} for C in ascending("C", self.C)]

    def _fit(
        self, rows: Rows, y: np.ndarray, metadata: RowMetadata, inner: np.ndarray | None
    ) -> ProbeEstimator:
        self.unconverged_: tuple[float, ...] = ()
        super()._fit(rows, y, metadata, inner)
        if self.unconverged_:
            warnings.warn(unconverged_sentence(self.unconverged_), ConvergenceWarning, stacklevel=3)
        return self

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        path = self._solve(candidates, train, y)
        n_penalties, width, _ = path.weights.shape
        scores = test.dot(path.weights.transpose(1, 0, 2).reshape(width, -1))
        return np.stack(
            [
                probabilities(one + intercept)
                for one, intercept in zip(np.split(scores, n_penalties, axis=1), path.intercepts, strict=True)
            ]
        )

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        path = self._solve([parameters], rows, y)
        self.coef_, self.intercept_ = np.ascontiguousarray(path.weights[0].T), path.intercepts[0]

    def _solve(self, candidates: Sequence[Parameters], rows: Rows, y: np.ndarray) -> LogisticPath:
        path = logistic_path(
            rows,
            y,
            [candidate["C"] for candidate in candidates],
            weights=compute_sample_weight(self.class_weight, y),
            standardize=self.standardize,
            components=self.components,
            max_steps=self.max_steps,
        )
        missed = [one["C"] for one, found in zip(candidates, path.converged, strict=True) if not found]
        self.unconverged_ = tuple(sorted({*self.unconverged_, *missed}))
        return path

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return probabilities(rows.dot(self.coef_.T) + self.intercept_)

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        return {"coef": self.coef_, "intercept": self.intercept_}

    def restore(self, arrays: dict[str, np.ndarray]) -> LogisticProbe:
        """Take back what `state` gave; `classes_` are the probe's."""
        self.coef_, self.intercept_ = arrays["coef"], arrays["intercept"]
        self.n_features_in_ = self.coef_.shape[1]
        return self
