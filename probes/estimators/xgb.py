"""Gradient-boosted trees: a thin layer over xgboost's own training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prima_features.probes.estimators.base import (
    Parameters,
    ProbeClassifier,
    ProbeRegressor,
    ascending_counts,
)
from prima_features.probes.linalg.parallel import Parallelism
from prima_features.probes.linalg.rows import Rows

XGBOOST_DEPTHS: tuple[int, ...] = (2, 4)
XGBOOST_ROUNDS: tuple[int, ...] = (50, 100, 200, 300)
"""Numbers of trees; all are read off one booster of the largest."""


class Boosted:
    """What the regressor and the classifier share. Trees read features as they are, without scaling."""

    def __init__(
        self,
        depths: Sequence[int] = XGBOOST_DEPTHS,
        rounds: Sequence[int] = XGBOOST_ROUNDS,
        *,
        learning_rate: float = 0.05,
        subsample: float = 0.8,
        colsample: float = 0.3,
        max_bin: int = 256,
        n_jobs: int | None = None,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.depths = depths
        self.rounds = rounds
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample = colsample
        self.max_bin = max_bin
        self.n_jobs = n_jobs
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        return [
            {"max_depth": depth, "rounds": rounds}
            for depth in ascending_counts("depths", self.depths)
            for rounds in ascending_counts("rounds", self.rounds)
        ]

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        data, held_out = self._matrix(train, y), self._matrix(test)
        most = max(candidate["rounds"] for candidate in candidates)
        depths = {candidate["max_depth"] for candidate in candidates}
        boosters = {depth: self._train(data, y, depth, most) for depth in depths}
        return np.stack(
            [
                self._read(boosters[item["max_depth"]].predict(held_out, iteration_range=(0, item["rounds"])))
                for item in candidates
            ]
        )

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        data = self._matrix(rows, y)
        self.booster_ = self._train(data, y, parameters["max_depth"], parameters["rounds"])

    def _plan(self, n_folds: int, rows: Rows) -> Parallelism:
        return Parallelism(workers=1, threads=1)  # xgboost shares the cores out itself

    def _train(self, data: Any, y: np.ndarray, depth: int, rounds: int) -> Any:
        parameters = {
            "max_depth": depth,
            "eta": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bynode": self.colsample,
            "max_bin": self.max_bin,
            "tree_method": "hist",
            "seed": self.random_state,
            "nthread": self.n_jobs or 0,
            "verbosity": 0,
        }
        return _xgboost().train(parameters | self._objective(y), data, num_boost_round=rounds)

    def _matrix(self, rows: Rows, y: np.ndarray | None = None) -> Any:
        return _xgboost().DMatrix(rows.array(), label=y, nthread=self.n_jobs or -1)

    def _objective(self, y: np.ndarray) -> dict[str, Any]:
        return {"objective": "reg:squarederror"}

    def _read(self, raw: np.ndarray) -> np.ndarray:
        """Predictions as float64; one column of probabilities becomes two."""
        return raw.astype(np.float64)

    def model_bytes(self) -> bytes:
        """The booster in xgboost's own JSON."""
        return bytes(self.booster_.save_raw("json"))

    def restore_model(self, model: bytes) -> None:
        """Take back what `model_bytes` gave; check the text first (see `persistence.trees`)."""
        self.booster_ = _xgboost().Booster(model_file=bytearray(model))
        self.n_features_in_ = self.booster_.num_features()


class XGBRegressorProbe(Boosted, ProbeRegressor):
    """Boosted trees for a number.

    Args:
        depths: tree depths that are tried.
        rounds: numbers of trees that are tried, all read off the largest.
        learning_rate: shrinkage of each tree.
        subsample: part of the rows that each tree sees.
        colsample: part of the features that each split may choose from.
        max_bin: most values that splits of a feature are looked for between; fewer are faster.
        n_jobs: threads; None for all. Results can differ in the last bits between numbers of threads.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds and of the trees.

    Attributes:
        booster_: the fitted `xgboost.Booster`.
    """

    def _numbers(self, rows: Rows) -> np.ndarray:
        return self._read(self.booster_.predict(self._matrix(rows)))


class XGBClassifierProbe(Boosted, ProbeClassifier):
    """Boosted trees for classes; arguments as `XGBRegressorProbe`."""

    def _objective(self, y: np.ndarray) -> dict[str, Any]:
        n_classes = int(y.max()) + 1
        if n_classes == 2:
            return {"objective": "binary:logistic"}
        return {"objective": "multi:softprob", "num_class": n_classes}

    def _read(self, raw: np.ndarray) -> np.ndarray:
        values = raw.astype(np.float64)
        return np.column_stack([1 - values, values]) if values.ndim == 1 else values

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return self._read(self.booster_.predict(self._matrix(rows)))


def _xgboost() -> Any:
    import xgboost

    return xgboost
