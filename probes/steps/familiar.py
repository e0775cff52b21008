"""How unlike the training set a study is: a probe's numbers mean little far from what it has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.probes.folds import deal
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.linalg.scaling import Scaling
from prima_features.probes.steps.reduce import Reduction

_MAX_ROWS = 2000
_MAX_COMPONENTS = 32
_ROWS_PER_COMPONENT = 10
_FOLDS = 5
_QUANTILE = 0.99
_NO_VARIANCE = 1e-9


@dataclass(frozen=True)
class TrainingRange:
    """Where the training embeddings lie.

    The distance is Mahalanobis' in the leading principal components, with what they leave out as one component
    more, over the square root of their number; it is given in units of the 99th percentile of distances of
    training studies to a range fitted without their group. Above 1 a study is less like the training set than all
    but one in a hundred of its own.
    """

    reduction: Reduction
    residual_variance: float
    limit: float = 1.0

    @classmethod
    def fit(cls, X: np.ndarray, rows: np.ndarray, groups: np.ndarray, seed: int = 0) -> TrainingRange:
        """Fit on at most 2000 training rows, drawn at random.

        Args:
            X: (N, D) features.
            rows: (n,) rows that train.
            groups: (n,) what is kept together among those.
            seed: of the draw and of the folds.
        """
        drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_MAX_ROWS])
        rows, groups = rows[drawn], groups[drawn]
        n_folds = min(_FOLDS, len(np.unique(groups)))
        fold = deal(groups, np.zeros(len(rows), dtype=np.int64), n_folds, seed)
        distances = np.empty(len(rows))
        for k in range(n_folds):
            one = cls._fit_range(Rows(X, rows[fold != k]))
            distances[fold == k] = one.distance(X[rows[fold == k]])
        whole = cls._fit_range(Rows(X, rows))
        return cls(whole.reduction, whole.residual_variance, float(np.quantile(distances, _QUANTILE)) or 1.0)

    @classmethod
    def _fit_range(cls, rows: Rows) -> TrainingRange:
        components = int(np.clip(len(rows) // _ROWS_PER_COMPONENT, 1, _MAX_COMPONENTS))
        reduction = Reduction(components=components, whiten=True).fit(rows)
        left = _squared_length(reduction, rows).mean() - reduction.variance_.sum()
        return cls(reduction, float(max(left, 0.0)))

    def distance(self, X: np.ndarray) -> np.ndarray:
        """(n,) distances of (n, D) features, 1 being as far as hardly any training study."""
        rows = Rows.all(X)
        squares = self.reduction.transform(rows) ** 2
        residual = np.maximum(_squared_length(self.reduction, rows) - squares @ self.reduction.variance_, 0)
        # Where the components hold all of the training rows' variance, any residual is new: it counts as it is.
        outside = residual / self.residual_variance if self.residual_variance > _NO_VARIANCE else residual
        return np.sqrt((squares.sum(axis=1) + outside) / (squares.shape[1] + 1)) / self.limit

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        return self.reduction.state() | {"limits": np.array([self.residual_variance, self.limit])}

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray]) -> TrainingRange:
        """Take back what `state` gave."""
        reduction = Reduction(components=1, whiten=True).restore(arrays)
        return cls(reduction, float(arrays["limits"][0]), float(arrays["limits"][1]))


def _squared_length(reduction: Reduction, rows: Rows) -> np.ndarray:
    """(n,) squared lengths of the scaled rows."""
    scaling, result = Scaling(reduction.mean_, reduction.scale_), np.empty(len(rows))
    for chosen, values in rows.row_chunks():
        result[chosen] = (scaling.apply(values) ** 2).sum(axis=1)
    return result
