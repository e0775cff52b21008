"""Probe for ordered classes: proportional-odds logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import Tags

from prima_features.probes.estimators.base import Parameters, ProbeClassifier, ascending
from prima_features.probes.linalg.glm import Cumulative, GlmPath, class_probabilities, glm_path
from prima_features.probes.linalg.rows import Rows

ORDINAL_C: tuple[float, ...] = tuple(np.logspace(-5, 1, 13).tolist())
"""Inverse L2 penalties on standardised features."""


class OrdinalProbe(ProbeClassifier):
    """Proportional-odds (cumulative logit) regression with an L2 penalty on standardised features.

    The odds of a class above each threshold have the same coefficients (McCullagh 1980,
    10.1111/j.2517-6161.1980.tb01109.x). Without penalty the numbers are those of statsmodels' OrderedModel. The classes
    are in the order of `classes_`.

    Args:
        C: inverse penalties that are tried; |w|^2 / (2 C) is added to the negative log likelihood.
        standardize: scale features to unit variance.
        components: fit on at most so many principal components, an approximation; None for all that the rows span.
        max_steps: most Newton steps of the solver for each penalty.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.

    Attributes:
        coef_: (D,) weights of the features as given.
        intercept_: (K - 1,) descending: log odds of a class above each threshold at features of 0.
    """

    def __init__(
        self,
        C: Sequence[float] = ORDINAL_C,
        *,
        standardize: bool = True,
        components: int | None = None,
        max_steps: int = 100,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.C = C
        self.standardize = standardize
        self.components = components
        self.max_steps = max_steps
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Of classes that are not in order along one direction.
        tags.classifier_tags.poor_score = True
        return tags

    def _candidates(self) -> Sequence[Parameters]:
        return [{"C": C} for C in ascending("C", self.C)]

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        path = self._solve(candidates, train, y)
        scores = test.dot(path.weights.T).T
        return np.stack(
            [class_probabilities(one[:, None] - extra) for one, extra in zip(scores, path.extra, strict=True)]
        )

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        path = self._solve([parameters], rows, y)
        self.coef_, self.intercept_ = path.weights[0], -path.extra[0]

    def _solve(self, candidates: Sequence[Parameters], rows: Rows, y: np.ndarray) -> GlmPath:
        return glm_path(
            rows,
            Cumulative(y),
            [1 / candidate["C"] for candidate in candidates],
            standardize=self.standardize,
            components=self.components,
            max_steps=self.max_steps,
        )

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return class_probabilities(rows.dot(self.coef_[:, None]) + self.intercept_)

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        return {"coef": self.coef_, "intercept": self.intercept_}

    def restore(self, arrays: dict[str, np.ndarray]) -> OrdinalProbe:
        """Take back what `state` gave; `classes_` are the probe's.

        Raises:
            ValueError: the thresholds are not in order, or not one less than the classes.
        """
        self.coef_, self.intercept_ = arrays["coef"], arrays["intercept"]
        if self.intercept_.shape != (len(self.classes_) - 1,) or not (np.diff(self.intercept_) < 0).all():
            raise ValueError("thresholds of the classes")
        self.n_features_in_ = len(self.coef_)
        return self
