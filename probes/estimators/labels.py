"""Probes for several labels that can be present together: a classifier for each, with parameters of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from prima_features.probes.bags import Bags
from prima_features.probes.estimators.base import Parameters, ProbeClassifier, ProbeEstimator, RowMetadata
from prima_features.probes.estimators.knn import KNNClassifierProbe
from prima_features.probes.estimators.linear import LogisticProbe
from prima_features.probes.estimators.mlp import MLPClassifierProbe
from prima_features.probes.estimators.xgb import XGBClassifierProbe
from prima_features.probes.linalg.logistic import LogisticPath, label_paths
from prima_features.probes.linalg.rows import Rows

_LEAST_PROBABILITY = 1e-12


class _Labels(ProbeClassifier):
    """What the estimators share. Targets are (N, L): 1 present, 0 absent, NaN unknown.

    Attributes:
        n_labels_: L.
        best_params_: of each label the candidate with the least mean log loss, as `NAME of label I` from 1.
        out_of_fold_: (N, L) probabilities of the training rows, each by a model that had not seen the row's group.
        inner_losses_: (candidates, L).
    """

    n_labels_: int
    best_: list[Parameters]
    """Of each label."""

    def fit_rows(
        self, rows: Rows, y: np.ndarray, metadata: RowMetadata, inner: np.ndarray | None = None
    ) -> ProbeEstimator:
        """`fit` on some rows of a matrix, without copying them; y is (n, L)."""
        self.n_features_in_ = rows.width
        return self._fit(rows, self._encode(y), metadata, inner)

    def _validated(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        check_consistent_length(X, y)
        return X, np.asarray(y, dtype=np.float64)

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """The labels as they are.

        Raises:
            ValueError: a label is neither 1, 0 nor NaN, or has a single value.
        """
        if y.ndim != 2 or not np.isin(y[np.isfinite(y)], (0, 1)).all():
            raise ValueError("labels must be a table of 1, 0 and NaN, with a row for each study")
        single = [i for i, column in enumerate(y.T) if len(np.unique(column[np.isfinite(column)])) < 2]
        if single:
            raise ValueError(f"label {single[0] + 1} of {y.shape[1]} has a single value in training")
        self.n_labels_, self.classes_ = y.shape[1], np.arange(2)
        return y

    def predict(
        self,
        X: np.ndarray,
        *,
        sites: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        bags: Bags | None = None,
    ) -> np.ndarray:
        """(N, L) 1 for labels with a probability above one half, else 0."""
        return (self.predict_proba(X, sites=sites, covariates=covariates, bags=bags) > 0.5).astype(np.int64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output, tags.target_tags.single_output = True, False
        tags.classifier_tags.multi_label = True
        return tags

    def _shape(self, y: np.ndarray) -> tuple[int, ...]:
        return y.shape

    def _strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        return np.hstack([y == 1, y == 0])

    def _choose(self, candidates: list[Parameters], y: np.ndarray, predicted: np.ndarray) -> None:
        share = np.clip(predicted, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        loss = -np.log(np.where(y == 1, share, 1 - share))
        self.inner_losses_ = np.nanmean(np.where(np.isfinite(y), loss, np.nan), axis=1)
        best = self.inner_losses_.argmin(axis=0)
        self.best_ = [candidates[i] for i in best]
        self.best_params_ = {
            f"{name} of label {i + 1}": value
            for i, own in enumerate(self.best_)
            for name, value in own.items()
        }
        self.out_of_fold_ = np.stack([predicted[one, :, i] for i, one in enumerate(best)], axis=1)

    def _fold_path(
        self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows
    ) -> np.ndarray:
        """`_path` of the labels that have both values in the fold's training rows; others get their share there."""
        known = np.isfinite(y)
        positive = np.where(known, y, 0).sum(axis=0)
        both = (positive > 0) & (positive < known.sum(axis=0))
        found = np.empty((len(candidates), len(test), y.shape[1]))
        found[:] = (positive + 1) / (known.sum(axis=0) + 2)
        if both.any():
            found[:, :, both] = self._path(candidates, train, y[:, both], test)
        return found


class LogisticLabelsProbe(_Labels, LogisticProbe):
    """A logistic regression for each label, all on one decomposition of each fold's training rows.

    The numbers of `LogisticProbe` on the rows whose label is known, except that all rows set the scale of the features;
    arguments as there. `class_weight` `balanced` is by label.

    Attributes:
        coef_: (L, D) weights of the features as given.
        intercept_: (L,).
        unconverged_: inverse penalties with which a fit did not converge.
    """

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        found = []
        for path in self._labels([candidates] * y.shape[1], train, y):
            scores = test.dot(path.weights[:, :, 0].T) + path.intercepts[:, 0]
            found.append(expit(scores.T))
        return np.stack(found, axis=2)

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        paths = self._labels([[one] for one in self.best_], rows, y)
        self.coef_ = np.stack([path.weights[0, :, 0] for path in paths])
        self.intercept_ = np.array([path.intercepts[0, 0] for path in paths])

    def _labels(
        self, candidates: Sequence[Sequence[Parameters]], rows: Rows, y: np.ndarray
    ) -> list[LogisticPath]:
        weights = np.zeros(y.shape)
        for i, column in enumerate(y.T):
            known = np.isfinite(column)
            weights[known, i] = compute_sample_weight(self.class_weight, column[known])
        tried = [[one["C"] for one in own] for own in candidates]
        paths = label_paths(
            rows,
            weights,
            y,
            tried,
            standardize=self.standardize,
            components=self.components,
            max_steps=self.max_steps,
        )
        missed = {C for own, path in zip(tried, paths, strict=True) for C in _unconverged(own, path)}
        self.unconverged_ = tuple(sorted({*self.unconverged_, *missed}))
        return paths

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return np.asarray(expit(rows.dot(self.coef_.T) + self.intercept_))

    def restore(self, arrays: dict[str, np.ndarray]) -> LogisticLabelsProbe:
        """Take back what `state` gave; `n_labels_` is the probe's.

        Raises:
            ValueError: there are not as many weights as labels.
        """
        super().restore(arrays)
        if self.coef_.shape[:1] != (self.n_labels_,) or self.intercept_.shape != (self.n_labels_,):
            raise ValueError("weights of the labels")
        return self


def _unconverged(tried: Sequence[float], path: LogisticPath) -> list[float]:
    return [C for C, found in zip(tried, path.converged, strict=True) if not found]


class _EachLabel(_Labels):
    """A classifier of two classes for each label, on the rows where it is known."""

    _single: ClassVar[type[ProbeClassifier]]
    each_: list[Any]
    """Of each label, fitted."""

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        found = []
        for column in y.T:
            known = np.flatnonzero(np.isfinite(column))
            codes = column[known].astype(np.int64)
            found.append(self._new()._path(candidates, train.take(known), codes, test)[:, :, 1])
        return np.stack(found, axis=2)

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        self.each_ = []
        for column, own in zip(y.T, self.best_, strict=True):
            known = np.flatnonzero(np.isfinite(column))
            one = self._new()
            one._fit_best(rows.take(known), column[known].astype(np.int64), own)
            self.each_.append(one)

    def _new(self) -> Any:
        made = self._single(**self.get_params(deep=False))
        made.classes_ = np.arange(2)
        return made

    def _probabilities(self, rows: Rows) -> np.ndarray:
        check_is_fitted(self, "each_")
        return np.stack([one._probabilities(rows)[:, 1] for one in self.each_], axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted for each label, as arrays."""
        return {
            f"label{i}.{name}": values
            for i, one in enumerate(self.each_)
            for name, values in one.state().items()
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> Any:
        """Take back what `state` gave; `n_labels_` is the probe's.

        Raises:
            ValueError: labels read different numbers of features.
        """
        self.each_ = []
        for i in range(self.n_labels_):
            start = f"label{i}."
            own = {k.removeprefix(start): values for k, values in arrays.items() if k.startswith(start)}
            self.each_.append(self._new().restore(own))
        widths = {one.n_features_in_ for one in self.each_}
        if len(widths) != 1:
            raise ValueError("features of the labels")
        self.n_features_in_ = widths.pop()
        return self


class XGBLabelsProbe(_EachLabel, XGBClassifierProbe):
    """Boosted trees for each label; arguments as `XGBRegressorProbe`."""

    _single = XGBClassifierProbe

    def model_bytes(self) -> bytes:
        """The boosters in xgboost's own JSON, as a list `labels`."""
        return b'{"labels": [' + b", ".join(one.model_bytes() for one in self.each_) + b"]}"

    def restore_model(self, model: bytes) -> None:
        """Take back what `model_bytes` gave; check the text first (see `persistence.trees`)."""
        self.each_ = []
        for booster in json.loads(model)["labels"]:
            one = self._new()
            one.restore_model(json.dumps(booster).encode())
            self.each_.append(one)
        self.n_features_in_ = self.each_[0].n_features_in_


class MLPLabelsProbe(_EachLabel, MLPClassifierProbe):
    """A network for each label; arguments as `MLPRegressorProbe`."""

    _single = MLPClassifierProbe


class KNNLabelsProbe(_EachLabel, KNNClassifierProbe):
    """Nearest neighbours for each label; arguments as `KNNRegressorProbe`."""

    _single = KNNClassifierProbe
