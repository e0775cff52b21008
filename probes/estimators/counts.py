"""Probes for counts: Poisson or negative binomial regression, and boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import Tags

from prima_features.errors import UsageError
from prima_features.evaluation.counts import estimate_dispersion, unit_deviance
from prima_features.probes.estimators.base import (
    LinearWeights,
    Parameters,
    ProbeRegressor,
    RowMetadata,
    by_alpha,
)
from prima_features.probes.estimators.xgb import Boosted
from prima_features.probes.linalg.glm import Counts, glm_path
from prima_features.probes.linalg.parallel import Parallelism
from prima_features.probes.linalg.rows import Rows

COUNT_ALPHAS: tuple[float, ...] = tuple(np.logspace(6, -1, 15).tolist())
"""Ridge penalties on standardised features."""
FAMILIES = ("auto", "poisson", "negative-binomial")
_LARGEST = 50.0
"""Of the logarithm of a prediction, so that it stays finite."""


class ProbeCounts(ProbeRegressor):
    """Predicts mean counts; parameters are chosen by the mean deviance of out-of-fold predictions."""

    _dispersion = 0.0
    """Of the deviance."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _encode(self, y: np.ndarray) -> np.ndarray:
        counts = y.astype(np.float64)
        if not (counts >= 0).all():
            raise ValueError("a count is negative: counts must be numbers from 0")
        if not counts.any():
            raise ValueError("all counts are 0: there is nothing to learn")
        return counts

    def _loss(self, y: np.ndarray, predicted: np.ndarray) -> float:
        return float(unit_deviance(y, predicted, self._dispersion).mean())


class CountProbe(LinearWeights, ProbeCounts):
    """Regression of counts with a log link and an L2 penalty on standardised features.

    Poisson, or negative binomial with variance mu + dispersion mu^2 if counts vary more than that. With `family="auto"`
    the family is chosen on the training rows: Poisson regression is fitted first, the dispersion is estimated by
    maximum likelihood from its out-of-fold predictions, and if the likelihood ratio speaks for it (one-sided 5%,
    Lawless 1987, 10.2307/3314912) the penalty is chosen again for the negative binomial with this dispersion. Without
    penalty the numbers are those of statsmodels' GLM.

    Args:
        alphas: penalties that are tried; alpha |w|^2 / 2 is added to the negative log likelihood.
        family: `auto`, `poisson` or `negative-binomial`.
        standardize: scale features to unit variance.
        components: fit on at most so many principal components, an approximation; None for all that the rows span.
        max_steps: most Newton steps of the solver for each penalty.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.

    Attributes:
        coef_: (D,) weights of the features as given.
        intercept_: logarithm of the mean at features of 0.
        best_params_: `alpha`, and `dispersion`, which is 0 for Poisson.
    """

    def __init__(
        self,
        alphas: Sequence[float] = COUNT_ALPHAS,
        *,
        family: str = "auto",
        standardize: bool = True,
        components: int | None = None,
        max_steps: int = 100,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.alphas = alphas
        self.family = family
        self.standardize = standardize
        self.components = components
        self.max_steps = max_steps
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        if self.family not in FAMILIES:
            raise UsageError(f"the option family must be one of {', '.join(FAMILIES)}, not {self.family!r}")
        return [one | {"dispersion": 0.0} for one in by_alpha(self.alphas)]

    def _search(
        self,
        candidates: list[Parameters],
        rows: Rows,
        y: np.ndarray,
        metadata: RowMetadata,
        folds: np.ndarray,
        plan: Parallelism,
    ) -> None:
        self._dispersion = 0.0
        super()._search(candidates, rows, y, metadata, folds, plan)
        if self.family == "poisson":
            return
        dispersion, p_value = estimate_dispersion(y, self.out_of_fold_)
        if dispersion > 0 and (self.family == "negative-binomial" or p_value < 0.05):
            self._dispersion = dispersion
            again = [one | {"dispersion": dispersion} for one in candidates]
            super()._search(again, rows, y, metadata, folds, plan)

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        weights, intercepts = self._solve(candidates, train, y)
        return _means((test.dot(weights.T) + intercepts).T)

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        weights, intercepts = self._solve([parameters], rows, y)
        self.coef_, self.intercept_ = weights[0], float(intercepts[0])

    def _solve(
        self, candidates: Sequence[Parameters], rows: Rows, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(candidates)
        if not y.any():  # a fold with counts of 0 alone: half an event in all of it
            return np.zeros((n, rows.width)), np.full(n, np.log(0.5 / len(y)))
        path = glm_path(
            rows,
            Counts(y, candidates[0]["dispersion"]),
            [candidate["alpha"] for candidate in candidates],
            standardize=self.standardize,
            components=self.components,
            max_steps=self.max_steps,
        )
        return path.weights, path.extra[:, 0]

    def _numbers(self, rows: Rows) -> np.ndarray:
        return _means(self._linear(rows))


class XGBCountProbe(Boosted, ProbeCounts):
    """Boosted trees for counts, `count:poisson` of xgboost; arguments as `XGBRegressorProbe`."""

    def _objective(self, y: np.ndarray) -> dict[str, Any]:
        return {"objective": "count:poisson"}

    def _numbers(self, rows: Rows) -> np.ndarray:
        return self._read(self.booster_.predict(self._matrix(rows)))


def _means(log_means: np.ndarray) -> np.ndarray:
    """Means from their logarithms."""
    return np.asarray(np.exp(np.clip(log_means, -_LARGEST, _LARGEST)))
