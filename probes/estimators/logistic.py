"""Logistic regression with an L2 penalty, on principal components that lose nothing in small samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from prima_features.probes.estimators.base import Parameters
from prima_features.probes.estimators.grids import LOGISTIC_C, ascending
from prima_features.probes.estimators.kinds import ProbeClassifier
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.steps.reduce import Reduction


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
