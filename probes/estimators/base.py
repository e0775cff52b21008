"""What all estimators share: validation, the inner loop grouped by subject, adjustment inside folds, and prediction."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from prima_features.errors import UsageError
from prima_features.evaluation.folds import deal, strata_of
from prima_features.probes.bags import Bags
from prima_features.probes.linalg.parallel import Parallelism
from prima_features.probes.linalg.rows import CHUNK_BYTES, Rows

Parameters = dict[str, Any]
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class RowMetadata:
    """Groups, sites and covariates of each row."""

    groups: np.ndarray
    """(N,) what must not cross folds."""
    sites: np.ndarray | None = None
    """(N,) text, for harmonisation."""
    covariates: np.ndarray | None = None
    """(N, C) numbers, for harmonisation or taking confounds out; NaN if unknown."""

    def take(self, rows: np.ndarray) -> RowMetadata:
        """Those of some rows."""
        return RowMetadata(self.groups[rows], _take(self.sites, rows), _take(self.covariates, rows))


class ProbeEstimator(BaseEstimator):
    """A scikit-learn estimator that chooses its parameters by cross-validation grouped by subject.

    Subclasses take the grid as constructor arguments and define `_candidates`, `_path` and `_fit_best`.
    All have the constructor arguments `inner_folds`, `adjust` (None, or a `ComBat` or `Residualizer` that is
    fitted again in every inner training fold) and `random_state`.

    Attributes:
        best_params_: the candidate with the least mean loss in the inner loop.
        out_of_fold_: (N,) or (N, K) its predictions of the training rows, each by a model that had not seen the
            row's group. Calibration, threshold and bias correction are fitted on these. Having been chosen by
            the same predictions they are a little better than those of new subjects.
        inner_losses_: (candidates,) mean losses.
        adjust_: `adjust` as fitted on all training rows, None if there is none.
    """

    inner_folds: int
    adjust: Any
    random_state: int
    adjust_: Any = None
    reads_bags: ClassVar[bool] = False
    """Whether it pools the vectors of series or tokens itself (`Rows.bags`) instead of reading their means."""
    _classifies: ClassVar[bool]

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray | None = None,
        *,
        sites: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        inner: np.ndarray | None = None,
    ) -> ProbeEstimator:
        """Choose the parameters and fit with them on all rows.

        Args:
            X: (N, D) float32 or float64, finite.
            y: (N,) numbers or classes.
            groups: (N,) what must not cross inner folds; default is each row by itself.
            sites: (N,) text, for `adjust`.
            covariates: (N, C) numbers, for `adjust`.
            inner: (N,) inner fold of each row from 0, instead of drawing them.

        Raises:
            ValueError: as scikit-learn's estimators, or there are fewer groups than inner folds need.
        """
        X, y = self._validated(X, y)
        check_consistent_length(X, groups, sites, covariates, inner)
        given = (None if values is None else np.asarray(values) for values in (sites, covariates))
        metadata = RowMetadata(np.arange(len(X)) if groups is None else np.asarray(groups), *given)
        return self._fit(Rows.all(X), self._encode(y), metadata, inner)

    def _validated(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What `fit` was given, checked as scikit-learn's estimators do."""
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2, y_numeric=not self._classifies
        )
        return X, y

    def fit_rows(
        self, rows: Rows, y: np.ndarray, metadata: RowMetadata, inner: np.ndarray | None = None
    ) -> ProbeEstimator:
        """`fit` on some rows of a matrix, without copying them.

        Args:
            rows: n rows of a matrix that is known to be finite.
            y: (n,) float64, or for a classifier class numbers from 0 without gaps.
            metadata: of these rows alone.
            inner: (n,) inner fold of each, instead of drawing them.
        """
        self.n_features_in_ = rows.width
        if self._classifies:
            self.classes_ = np.arange(y.max() + 1)
        return self._fit(rows, y, metadata, inner)

    def _fit(
        self, rows: Rows, y: np.ndarray, metadata: RowMetadata, inner: np.ndarray | None
    ) -> ProbeEstimator:
        folds = self._draw(y, metadata) if inner is None else np.asarray(inner)
        if len(np.unique(folds)) < 2:
            raise ValueError("the inner loop needs at least 2 folds, but all rows are in one fold")
        plan = self._plan(len(np.unique(folds)), rows)
        with plan.limits(), warnings.catch_warnings():
            # What stops before it converges is tried all the same: the inner loop judges what it predicts. Said here
            # and not around each fit, because threads share what they ignore.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._search(list(self._candidates()), rows, y, metadata, folds, plan)
            self.adjust_ = self._fitted_adjustment(rows, metadata)
            self._fit_best(_adjusted(self.adjust_, rows, metadata), y, self.best_params_)
        return self

    def _plan(self, n_folds: int, rows: Rows) -> Parallelism:
        """Inner folds next to each other, if they take no more than one and a half times the data, or 256 MiB."""
        square = 8 * min(len(rows), rows.width) ** 2
        bytes_each = 2 * square if self.adjust is None else 2 * square + 16 * len(rows) * rows.width
        return Parallelism.plan(n_folds, bytes_each, max(1 << 28, rows.X.nbytes * 3 // 2))

    @abstractmethod
    def _candidates(self) -> Sequence[Parameters]:
        """The grid, the most regularised first."""

    @abstractmethod
    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        """(candidates, n_test) numbers or (candidates, n_test, K) probabilities of test rows."""

    @abstractmethod
    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        """Fit with one candidate, setting attributes that end in `_`."""

    @abstractmethod
    def _loss(self, y: np.ndarray, predicted: np.ndarray) -> float:
        """Mean loss that the candidates are compared by."""

    def _encode(self, y: np.ndarray) -> np.ndarray:
        return y.astype(np.float64)

    def _draw(self, y: np.ndarray, metadata: RowMetadata) -> np.ndarray:
        n_groups = len(np.unique(metadata.groups))
        n_folds = min(self.inner_folds, n_groups)
        if n_folds < 2:
            raise ValueError(
                f"the inner loop needs at least 2 folds and 2 groups (subjects), not {self.inner_folds} folds and "
                f"{n_groups} groups"
            )
        return deal(metadata.groups, self._strata(y, metadata.groups, n_folds), n_folds, self.random_state)

    def _strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        return strata_of(y, groups, classes=self._classifies, n_folds=n_folds)

    def _search(
        self,
        candidates: list[Parameters],
        rows: Rows,
        y: np.ndarray,
        metadata: RowMetadata,
        folds: np.ndarray,
        plan: Parallelism,
    ) -> None:
        predicted = np.empty((len(candidates), *self._shape(y)))

        def predict_fold(fold: int) -> None:
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            adjust = self._fitted_adjustment(rows.take(train), metadata.take(train))
            fitted = _adjusted(adjust, rows.take(train), metadata.take(train))
            held_out = _adjusted(adjust, rows.take(test), metadata.take(test))
            predicted[:, test] = self._fold_path(candidates, fitted, y[train], held_out)

        plan.run(predict_fold, np.unique(folds))
        self._choose(candidates, y, predicted)

    def _shape(self, y: np.ndarray) -> tuple[int, ...]:
        """Of the predictions of N rows."""
        return (len(y), len(self.classes_)) if self._classifies else (len(y),)

    def _choose(self, candidates: list[Parameters], y: np.ndarray, predicted: np.ndarray) -> None:
        """Keep the candidate with the least loss; `predicted` are the held-out predictions of each."""
        self.inner_losses_ = np.array([self._loss(y, values) for values in predicted])
        best = int(self.inner_losses_.argmin())
        self.best_params_ = candidates[best]
        self.out_of_fold_ = predicted[best]

    def _fold_path(
        self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows
    ) -> np.ndarray:
        return self._path(candidates, train, y, test)

    def _fitted_adjustment(self, rows: Rows, metadata: RowMetadata) -> Any:
        if self.adjust is None:
            return None
        return clone(self.adjust).fit(rows.array(), metadata.sites, metadata.covariates)

    def _checked(
        self,
        X: np.ndarray,
        sites: np.ndarray | None,
        covariates: np.ndarray | None,
        bags: Bags | None = None,
    ) -> Rows:
        """Rows to predict, adjusted as in training."""
        check_is_fitted(self, "n_features_in_")
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return _adjusted(self.adjust_, Rows.all(X, bags), RowMetadata(np.arange(len(X)), sites, covariates))


class ProbeRegressor(RegressorMixin, ProbeEstimator):
    """Predicts numbers; parameters are chosen by the mean squared error."""

    _classifies = False

    def predict(
        self,
        X: np.ndarray,
        *,
        sites: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        bags: Bags | None = None,
    ) -> np.ndarray:
        """(N,) numbers of (N, D) features; `sites` and `covariates` as in `fit`, for `adjust`.

        If the estimator reads bags and there are none, each row is the only vector of its study.
        """
        return self._numbers(self._checked(X, sites, covariates, bags))

    @abstractmethod
    def _numbers(self, rows: Rows) -> np.ndarray:
        """(n,) predictions of adjusted rows."""

    def _loss(self, y: np.ndarray, predicted: np.ndarray) -> float:
        return float(np.mean((y - predicted) ** 2))


class ProbeClassifier(ClassifierMixin, ProbeEstimator):
    """Predicts classes; parameters are chosen by the log loss of the probabilities."""

    _classifies = True

    def predict(
        self,
        X: np.ndarray,
        *,
        sites: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        bags: Bags | None = None,
    ) -> np.ndarray:
        """(N,) most probable classes of (N, D) features."""
        check_is_fitted(self, "n_features_in_")
        return self.classes_[
            self.predict_proba(X, sites=sites, covariates=covariates, bags=bags).argmax(axis=1)
        ]

    def predict_proba(
        self,
        X: np.ndarray,
        *,
        sites: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        bags: Bags | None = None,
    ) -> np.ndarray:
        """(N, K) probabilities of the classes, in the order of `classes_`; `bags` as in `ProbeRegressor.predict`."""
        check_is_fitted(self, "n_features_in_")
        return self._probabilities(self._checked(X, sites, covariates, bags))

    @abstractmethod
    def _probabilities(self, rows: Rows) -> np.ndarray:
        """(n, K) probabilities of adjusted rows."""

    def _encode(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"a classifier needs at least 2 classes, but all rows have 1 class: {self.classes_[0]}"
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


class LinearWeights:
    """One weight per feature and an intercept: how they are applied and saved.

    Attributes:
        coef_: (D,) weights of the features as given.
        intercept_: number.
    """

    coef_: np.ndarray
    intercept_: float
    n_features_in_: int

    def _linear(self, rows: Rows) -> np.ndarray:
        """(n,) weighted sums of adjusted rows."""
        return rows.dot(self.coef_[:, None])[:, 0] + self.intercept_

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        return {"coef": self.coef_, "intercept": np.array([self.intercept_])}

    def restore(self, arrays: dict[str, np.ndarray]) -> Self:
        """Take back what `state` gave."""
        self.coef_, self.intercept_ = arrays["coef"], float(arrays["intercept"][0])
        self.n_features_in_ = len(self.coef_)
        return self


def _adjusted(adjust: Any, rows: Rows, metadata: RowMetadata) -> Rows:
    if adjust is None:
        return rows
    X = adjust.transform(rows.array(), metadata.sites, metadata.covariates)
    return Rows.all(X, None if rows.bags is None else _adjusted_bags(adjust, rows, metadata))


def _adjusted_bags(adjust: Any, rows: Rows, metadata: RowMetadata) -> Bags:
    """The bags of the rows, each vector mapped as the mean of its study is.

    Adjustments are affine given a study's site and covariates, so means of adjusted vectors are the adjusted means.
    """
    assert rows.bags is not None
    bags = rows.bags.take(rows.index)
    index, owner = bags.index, bags.owner
    values = np.empty((len(index), bags.values.shape[1]), dtype=np.float32)
    step = max(1, CHUNK_BYTES // (8 * values.shape[1]))
    for first in range(0, len(index), step):
        part = slice(first, first + step)
        of = owner[part]
        sites, covariates = _take(metadata.sites, of), _take(metadata.covariates, of)
        values[part] = adjust.transform(bags.values[index[part]].astype(np.float64), sites, covariates)
    stop = np.cumsum(bags.sizes)
    columns = {name: column[index] for name, column in bags.columns.items()}
    return Bags(values, stop - bags.sizes, stop, columns)


def _take(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def ascending(name: str, values: Sequence[float]) -> list[float]:
    """The different values of a grid, the smallest first.

    Raises:
        UsageError: there is none, or one is not a positive number.
    """
    try:
        numbers = sorted({float(value) for value in values})
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise UsageError(f"the option {name} must be a list of one or more positive numbers, not {values!r}")
    return numbers


def by_alpha(alphas: Sequence[float]) -> list[Parameters]:
    """Candidates `alpha` of a grid of penalties, the strongest first.

    Raises:
        UsageError: as `ascending`.
    """
    return [{"alpha": alpha} for alpha in reversed(ascending("alphas", alphas))]


def ascending_counts(name: str, values: Sequence[int]) -> list[int]:
    """`ascending` for whole numbers."""
    numbers = ascending(name, values)
    if not all(number.is_integer() for number in numbers):
        raise UsageError(f"the option {name} must be a list of whole numbers, not {values!r}")
    return [int(number) for number in numbers]
