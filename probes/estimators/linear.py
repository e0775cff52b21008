"""Linear probes: ridge regression for a number, logistic regression for classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from prima_features.probes.estimators.base import (
    Parameters,
    ProbeClassifier,
    ProbeRegressor,
    ascending,
)
from prima_features.probes.linalg.ridge import ridge_path
from prima_features.probes.linalg.rows import Reduction, Rows

RIDGE_ALPHAS: tuple[float, ...] = tuple(np.logspace(6, -2, 20).tolist())
"""Penalties on standardised features: from all but the mean shrunk away to nearly none."""
LOGISTIC_C: tuple[float, ...] = tuple(np.logspace(-6, 2, 9).tolist())
"""Inverse L2 penalties on standardised features."""


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


class LogisticProbe(ProbeClassifier):
    """Logistic regression (multinomial for more than two classes) with an L2 penalty on standardised features.

    With wide embeddings the fit runs on principal components; as many as the training rows span give the same
    probabilities as the features themselves, fewer are an approximation.

    Args:
        C: inverse penalties that are tried.
        standardize: scale features to unit variance.
        components: most principal components; None for none.
        class_weight: None, or `balanced`, which distorts probabilities.
        max_steps: most steps of the solver for each penalty.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.

    Attributes:
        coef_: (1 or K, D) weights of the features as given.
        intercept_: (1 or K,).
    """

    def __init__(
        self,
        C: Sequence[float] = LOGISTIC_C,
        *,
        standardize: bool = True,
        components: int | None = 512,
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

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        reduction = Reduction(self.standardize, self.components).fit(train)
        Z, Z_test = reduction.transform(train), reduction.transform(test)
        model = self._model()
        # Each penalty starts from the solution of the stronger one before it.
        return np.stack(
            [model.set_params(**candidate).fit(Z, y).predict_proba(Z_test) for candidate in candidates]
        )

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        reduction = Reduction(self.standardize, self.components).fit(rows)
        Z = reduction.transform(rows)
        model = self._model()
        for candidate in self._candidates():
            model.set_params(**candidate).fit(Z, y)
            if candidate == parameters:
                break
        weights, offset = reduction.unfold(model.coef_.T)
        self.coef_, self.intercept_ = np.ascontiguousarray(weights.T), model.intercept_ + offset

    def _model(self) -> LogisticRegression:
        return LogisticRegression(
            class_weight=self.class_weight, max_iter=self.max_steps, tol=1e-6, warm_start=True
        )

    def _probabilities(self, rows: Rows) -> np.ndarray:
        score = rows.dot(self.coef_.T) + self.intercept_
        if score.shape[1] > 1:
            return softmax(score, axis=1)
        positive = expit(score[:, 0])
        return np.column_stack([1 - positive, positive])

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        return {"coef": self.coef_, "intercept": self.intercept_}

    def restore(self, arrays: dict[str, np.ndarray]) -> LogisticProbe:
        """Take back what `state` gave; `classes_` are the probe's."""
        self.coef_, self.intercept_ = arrays["coef"], arrays["intercept"]
        self.n_features_in_ = self.coef_.shape[1]
        return self
