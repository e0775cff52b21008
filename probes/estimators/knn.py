"""Nearest neighbours among the training studies, by distance between principal components."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from prima_features.probes.estimators.base import (
    Parameters,
    ProbeClassifier,
    ProbeRegressor,
    ascending_counts,
)
from prima_features.probes.linalg.rows import Reduction, Rows

KNN_NEIGHBOURS: tuple[int, ...] = (50, 20, 10, 5)


class _Neighbours:
    """What the regressor and the classifier share. A fitted one keeps its training studies."""

    def __init__(
        self,
        neighbours: Sequence[int] = KNN_NEIGHBOURS,
        *,
        components: int = 64,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.neighbours = neighbours
        self.components = components
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        return [{"k": k} for k in reversed(ascending_counts("neighbours", self.neighbours))]

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        reduction = self._reduction().fit(train)
        known, asked = reduction.transform(train), reduction.transform(test)
        near = _nearest(known, asked, max(item["k"] for item in candidates))
        return np.stack([self._vote(y, near[:, : item["k"]]) for item in candidates])

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        self.reduction_ = self._reduction().fit(rows)
        self.known_, self.y_ = self.reduction_.transform(rows), y
        self.k_ = parameters["k"]

    @abstractmethod
    def _vote(self, y: np.ndarray, near: np.ndarray) -> np.ndarray:
        """What (n, k) rows of the training studies, with targets `y`, say of n others."""

    def _reduction(self) -> Reduction:
        return Reduction(components=self.components)

    def _predicted(self, rows: Rows) -> np.ndarray:
        return self._vote(self.y_, _nearest(self.known_, self.reduction_.transform(rows), self.k_))

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays; the training studies' components and targets are among them."""
        arrays = {f"reduction.{name}": values for name, values in self.reduction_.state().items()}
        return arrays | {"known": self.known_, "y": self.y_, "k": np.array([self.k_])}

    def restore(self, arrays: dict[str, np.ndarray]) -> Any:
        """Take back what `state` gave; `classes_` are the probe's."""
        prefix = "reduction."
        inside = {name.removeprefix(prefix): v for name, v in arrays.items() if name.startswith(prefix)}
        self.reduction_ = self._reduction().restore(inside)
        self.known_, self.y_, self.k_ = arrays["known"], arrays["y"], int(arrays["k"][0])
        self.n_features_in_ = len(self.reduction_.mean_)
        return self


class KNNRegressorProbe(_Neighbours, ProbeRegressor):
    """The mean target of the nearest training studies.

    Args:
        neighbours: how many neighbours are tried.
        components: principal components that distances are taken in.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds.
    """

    def _vote(self, y: np.ndarray, near: np.ndarray) -> np.ndarray:
        return y[near].mean(axis=1)

    def _numbers(self, rows: Rows) -> np.ndarray:
        return self._predicted(rows)


class KNNClassifierProbe(_Neighbours, ProbeClassifier):
    """The share of each class among the nearest training studies, with one vote added to every class so that no
    probability is 0 (Laplace); arguments as `KNNRegressorProbe`."""

    def _vote(self, y: np.ndarray, near: np.ndarray) -> np.ndarray:
        n_classes = int(y.max()) + 1
        votes = 1 + (y[near][:, :, None] == np.arange(n_classes)).sum(axis=1)
        return votes / votes.sum(axis=1, keepdims=True)

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return self._predicted(rows)


def _nearest(known: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(n, k) rows of `known` nearest to each of `asked`, the nearest first; fewer if there are fewer."""
    search = NearestNeighbors(n_neighbors=min(k, len(known)), algorithm="brute").fit(known)
    return search.kneighbors(asked, return_distance=False)
