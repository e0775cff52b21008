"""Probes for times to an event: ridge Cox regression and gradient-boosted Cox trees.

Times are signed: positive an event at that time, negative a subject censored at it, the convention of xgboost. Both
predict a log risk (log hazard ratio); only differences between log risks have a meaning.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from prima_features.evaluation.survival import c_index
from prima_features.probes.estimators.base import LinearWeights, Parameters, ProbeEstimator, by_alpha
from prima_features.probes.estimators.xgb import Boosted
from prima_features.probes.linalg.cox import PartialLikelihood, cox_path
from prima_features.probes.linalg.rows import Rows

COX_ALPHAS: tuple[float, ...] = tuple(np.logspace(5, -1, 13).tolist())
"""Ridge penalties on standardised features."""


class ProbeSurvival(ProbeEstimator):
    """Predicts log risks; parameters are chosen by the partial likelihood of out-of-fold log risks.

    That of all rows together, ties after Efron, as Dai and Breheny (2019, arXiv 1905.10432) recommend: the partial
    likelihood of one small fold says little.
    """

    _classifies = False

    def predict(
        self, X: np.ndarray, *, sites: np.ndarray | None = None, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """(N,) log risks of (N, D) features; `sites` and `covariates` as in `fit`, for `adjust`."""
        check_is_fitted(self, "n_features_in_")
        return self._log_risks(self._checked(X, sites, covariates))

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        """Harrell's C of (N, D) features with (N,) signed times."""
        return float(c_index(np.asarray(y, dtype=np.float64), self.predict(X), np.ones((1, len(y))))[0])

    @abstractmethod
    def _log_risks(self, rows: Rows) -> np.ndarray:
        """(n,) log risks of adjusted rows."""

    def _encode(self, y: np.ndarray) -> np.ndarray:
        times = np.asarray(y, dtype=np.float64)
        if not (times != 0).all():
            raise ValueError("a time is 0: times must be positive for events and negative for censored rows")
        if not (times > 0).any():
            raise ValueError("no row has an event: all times are negative, which means censored")
        return times

    def _strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        return (y > 0).astype(np.int64)

    def _loss(self, y: np.ndarray, predicted: np.ndarray) -> float:
        likelihood = PartialLikelihood(y)
        return likelihood.value(predicted) / likelihood.n_events


class CoxProbe(LinearWeights, ProbeSurvival):
    """Cox regression with a ridge penalty on standardised features, ties after Efron.

    The same as a pipeline of StandardScaler and scikit-survival's CoxPHSurvivalAnalysis(ties="efron") in a grouped grid
    search, but each fold is decomposed once for all penalties and no fold is copied; see `linalg.cox`.

    Args:
        alphas: penalties that are tried; alpha |w|^2 / 2 is added to the negative log partial likelihood.
        standardize: scale features to unit variance.
        components: fit on at most so many principal components, an approximation; None for all that the rows span.
        max_steps: most Newton steps of the solver for each penalty.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.

    Attributes:
        coef_: (D,) weights of the features as given.
        intercept_: number that makes the mean log risk of the training rows 0.
    """

    def __init__(
        self,
        alphas: Sequence[float] = COX_ALPHAS,
        *,
        standardize: bool = True,
        components: int | None = None,
        max_steps: int = 100,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.alphas = alphas
        self.standardize = standardize
        self.components = components
        self.max_steps = max_steps
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        return by_alpha(self.alphas)

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        weights, offsets = self._solve(candidates, train, y)
        return (test.dot(weights.T) + offsets).T

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        weights, offsets = self._solve([parameters], rows, y)
        self.coef_, self.intercept_ = weights[0], float(offsets[0])

    def _solve(
        self, candidates: Sequence[Parameters], rows: Rows, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if not (y > 0).any():  # a fold without events has nothing to fit
            return np.zeros((len(candidates), rows.width)), np.zeros(len(candidates))
        path = cox_path(
            rows,
            y,
            [candidate["alpha"] for candidate in candidates],
            standardize=self.standardize,
            components=self.components,
            max_steps=self.max_steps,
        )
        return path.weights, path.offsets

    def _log_risks(self, rows: Rows) -> np.ndarray:
        return self._linear(rows)


class XGBCoxProbe(Boosted, ProbeSurvival):
    """Boosted trees for a time to an event, `survival:cox` of xgboost (ties after Breslow).

    Arguments as `XGBRegressorProbe`.
    """

    def _objective(self, y: np.ndarray) -> dict[str, Any]:
        return {"objective": "survival:cox"}

    def _read(self, raw: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(raw.astype(np.float64), np.finfo(np.float64).tiny))

    def _log_risks(self, rows: Rows) -> np.ndarray:
        return self._read(self.booster_.predict(self._matrix(rows)))
