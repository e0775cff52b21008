"""Estimators of numbers and of classes: how they predict, and the loss that their parameters are chosen by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from prima_features.probes.estimators.base import Parameters, ProbeEstimator
from prima_features.probes.linalg.rows import Rows

_LEAST_PROBABILITY = 1e-12


class ProbeRegressor(RegressorMixin, ProbeEstimator):
    """Predicts numbers; parameters are chosen by the mean squared error."""

    _classifies = False

    def predict(
        self, X: np.ndarray, *, sites: np.ndarray | None = None, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """(N,) numbers of (N, D) features; `sites` and `covariates` as in `fit`, for `adjust`."""
        return self._numbers(self._checked(X, sites, covariates))

    @abstractmethod
    def _numbers(self, rows: Rows) -> np.ndarray:
        """(n,) predictions of adjusted rows."""

    def _loss(self, y: np.ndarray, predicted: np.ndarray) -> float:
        return float(np.mean((y - predicted) ** 2))


class ProbeClassifier(ClassifierMixin, ProbeEstimator):
    """Predicts classes; parameters are chosen by the log loss of the probabilities."""

    _classifies = True

    def predict(
        self, X: np.ndarray, *, sites: np.ndarray | None = None, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """(N,) most probable classes of (N, D) features."""
        check_is_fitted(self, "n_features_in_")
        return self.classes_[self.predict_proba(X, sites=sites, covariates=covariates).argmax(axis=1)]

    def predict_proba(
        self, X: np.ndarray, *, sites: np.ndarray | None = None, covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """(N, K) probabilities of the classes, in the order of `classes_`."""
        check_is_fitted(self, "n_features_in_")
        return self._probabilities(self._checked(X, sites, covariates))

    @abstractmethod
    def _probabilities(self, rows: Rows) -> np.ndarray:
        """(n, K) probabilities of adjusted rows."""

    def _encode(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"a classifier needs 2 classes or more, and all rows have 1 class: {self.classes_[0]}"
            )
        return codes

    def _loss(self, y: np.ndarray, predicted: np.ndarray) -> float:
        given = predicted[np.arange(len(y)), y]
        return float(-np.log(np.maximum(given, _LEAST_PROBABILITY)).mean())

    def _fold_path(
        self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows
    ) -> np.ndarray:
        """`_path` on the classes that the fold's training rows have; the others get probability 0."""
        present, codes = np.unique(y, return_inverse=True)
        full = np.zeros((len(candidates), len(test), len(self.classes_)))
        full[:, :, present] = self._path(candidates, train, codes, test) if len(present) > 1 else 1.0
        return full
