"""How unlike the training set studies are, one by one and as a cohort: far from it a probe's numbers mean little."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from prima_features.evaluation.folds import deal
from prima_features.probes.linalg.rows import Reduction, Rows, Scaling

_MAX_ROWS = 2000
_LEADING = 32
_ROWS_PER_LEADING = 10
_MOST_COMPONENTS = 128
_ROWS_PER_COMPONENT = 2
_FOLDS, _FEW_ROWS, _FOLDS_OF_FEW = 5, 500, 10
_FLOOR = 1e-6
"""Least length of standardised features whose logarithm is taken; what rounding leaves is below."""
_LEAST_WIDTH = 0.05
"""Least distance between the middle of a statistic and its limits."""
_TAIL, _RESIDUAL_TAIL = 0.005, 0.0125
"""Share of training studies beyond each limit; for the residual, which separates other kinds of scans best, on one
side."""
_NO_VARIANCE = 1e-9

STATISTICS = ("norm", "components", "residual")
_RESIDUAL = STATISTICS.index("residual")
PREDICTION = "prediction"
_HOW_COHORTS_DIFFER = {
    "norm": ("low", "high", "narrow", "wide"),
    "components": ("low", "high", "narrow", "wide"),
    "residual": ("high",),
    # Subjects differ from those in training; that all have one prediction is another matter.
    PREDICTION: ("narrow",),
}
_GRID = np.linspace(0, 1, 101)
_LEAST_COHORT = 5
_LEAST_SHIFT, _LEAST_Z = 0.2, 4.0
"""A cohort differs if its mean rank is this far from 0.5, and by so many standard errors."""


@dataclass(frozen=True)
class Departure:
    """One way in which a cohort as a whole differs from the training set."""

    name: str
    """A statistic, or `prediction`."""
    how: str
    """`low`, `high`, `narrow` or `wide`."""


@dataclass(frozen=True)
class TrainingRange:
    """The range of the training embeddings and of the probe's predictions on them.

    Three statistics of a study: `norm`, the length of its vector; `components`, its Mahalanobis distance in the leading
    principal components; `residual`, its length outside the span of more components. A fourth is the `prediction`: the
    number, or the log odds of each class, which depends on the directions that the probe uses. Each is compared with
    those of training studies in folds without their group, on both sides: vectors that are scaled down or collapsed to
    the mean are as unlike as those that are far away; only the residual has no low limit.
    """

    reduction: Reduction
    n_leading: int
    limits: np.ndarray
    """(3 + K, 3) low, middle and high of each statistic."""
    grid: np.ndarray
    """(3 + K, 101) quantiles of each statistic over the training studies."""
    n_groups: int
    old: tuple[float, ...] = field(default=())
    """Residual variance and limit of a probe of format version 1, which is one-sided and has one statistic."""

    @classmethod
    def fit(
        cls,
        X: np.ndarray,
        rows: np.ndarray,
        groups: np.ndarray,
        seed: int = 0,
        scores: np.ndarray | None = None,
    ) -> TrainingRange:
        """Fit on at most 2000 training rows, drawn at random.

        Args:
            X: (N, D) features.
            rows: (n,) rows that train.
            groups: (n,) what is kept together among those.
            seed: of the draw and of the folds.
            scores: (n, K) predictions of the training rows by models that had not seen them; see `scores_of`.
        """
        drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_MAX_ROWS])
        rows, groups = rows[drawn], groups[drawn]
        wanted = _FOLDS_OF_FEW if len(rows) < _FEW_ROWS else _FOLDS
        n_folds = min(wanted, len(np.unique(groups)))
        fold = deal(groups, np.zeros(len(rows), dtype=np.int64), n_folds, seed)
        found = np.empty((len(rows), len(STATISTICS)))
        for k in range(n_folds):
            reduction, n_leading = _reduction(Rows(X, rows[fold != k]))
            found[fold == k] = _statistics(reduction, n_leading, X[rows[fold == k]])
        if scores is not None:
            found = np.hstack([found, scores[drawn]])
        tails = [_RESIDUAL_TAIL if i == _RESIDUAL else _TAIL for i in range(found.shape[1])]
        limits = np.array([_limits(column, tail) for column, tail in zip(found.T, tails, strict=True)])
        grid = np.quantile(found, _GRID, axis=0).T
        return cls(*_reduction(Rows(X, rows)), limits, grid, len(np.unique(groups)))

    @property
    def limit(self) -> float:
        """Distance from which on a study counts as unlike the training set."""
        return 1.0

    def distance(self, X: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
        """(n,) the farthest departure of (n, D) features, and (n, K) predictions; 1 is at the limit."""
        if self.old:
            return self._old_distance(X)
        return np.abs(self.departures(X, scores)).max(axis=1)

    def departures(self, X: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
        """(n, 3 or 3 + K) departure of each statistic from its middle: -1 at the low limit, 1 at the high one."""
        if self.old:
            return self._old_distance(X)[:, None]
        found = self._all(X, scores)
        low, middle, high = self.limits[: found.shape[1]].T
        made = np.where(found < middle, (found - middle) / (middle - low), (found - middle) / (high - middle))
        # The training studies' own residuals are lower than those of folds, and no residual is too low.
        made[:, _RESIDUAL] = np.maximum(made[:, _RESIDUAL], 0)
        return made

    def names(self, n: int) -> list[str]:
        """Names of the first n statistics."""
        return ["components"] if self.old else [*STATISTICS, *[PREDICTION] * max(0, n - len(STATISTICS))]

    def reasons(self, departures: np.ndarray) -> list[str]:
        """For each row of `departures` what is beyond a limit: `residual high, norm low`; empty if nothing is."""
        names = self.names(departures.shape[1])
        return [
            ", ".join(
                dict.fromkeys(
                    f"{name} {'high' if value > 0 else 'low'}"
                    for name, value in zip(names, row, strict=True)
                    if abs(value) > 1
                )
            )
            for row in departures
        ]

    def cohort(
        self, X: np.ndarray, groups: np.ndarray, scores: np.ndarray | None = None
    ) -> tuple[Departure, ...]:
        """How studies differ from the training set as a whole, although each alone may be within the limits.

        A statistic's ranks among the training studies are uniform if nothing differs. Their mean is compared with 0.5,
        and their spread with that of uniform ranks; of predictions, which differ with the subjects, the spread alone.

        Args:
            X: (n, D) features.
            groups: (n,) subjects.
            scores: (n, K) predictions.
        """
        n = len(np.unique(groups))
        if self.old or n < _LEAST_COHORT:
            return ()
        values = self._all(X, scores)
        found = []
        error = np.sqrt((1 / n + 1 / self.n_groups) / 12)
        least = max(_LEAST_SHIFT, _LEAST_Z * error)
        for name, column, grid in zip(self.names(values.shape[1]), values.T, self.grid, strict=False):
            rank = _ranks(column, grid)
            shift, spread = rank.mean() - 0.5, 2 * (np.abs(rank - 0.5).mean() - 0.25)
            how = {
                "high": shift > least,
                "low": -shift > least,
                "narrow": -spread > least,
                "wide": spread > least,
            }
            found += [Departure(name, what) for what in _HOW_COHORTS_DIFFER[name] if how[what]][:1]
        return tuple(dict.fromkeys(found))

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        if self.old:
            return self.reduction.state() | {"limits": np.array(self.old)}
        counts = np.array([self.n_leading, self.n_groups])
        return self.reduction.state() | {"limits": self.limits, "grid": self.grid, "counts": counts}

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray]) -> TrainingRange:
        """Take back what `state` gave, also that of format version 1."""
        reduction = Reduction(components=1, whiten=True).restore(arrays)
        limits = arrays["limits"]
        if limits.ndim == 1:
            nothing = np.empty((0, 3))
            return cls(reduction, 0, nothing, nothing, 0, (float(limits[0]), float(limits[1])))
        n_leading, n_groups = arrays["counts"].tolist()
        grid = arrays["grid"]
        shapes = (
            limits.shape[1:] == (3,) and grid.shape == (len(limits), len(_GRID)) and len(limits) > _RESIDUAL
        )
        if (
            not shapes
            or (np.diff(limits) <= 0).any()
            or (np.diff(grid) < 0).any()
            or min(n_leading, n_groups) < 1
        ):
            raise ValueError("limits of the training range")
        return cls(reduction, int(n_leading), limits, grid, int(n_groups))

    def _all(self, X: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
        found = _statistics(self.reduction, self.n_leading, X)
        return found if scores is None else np.hstack([found, scores[:, : len(self.limits) - found.shape[1]]])

    def _old_distance(self, X: np.ndarray) -> np.ndarray:
        """Mahalanobis' distance in the components, with what they leave out as one component more."""
        residual_variance, limit = self.old
        rows = Rows.all(X)
        squares = self.reduction.transform(rows) ** 2
        residual = np.maximum(_squared_length(self.reduction, rows) - squares @ self.reduction.variance_, 0)
        outside = residual / residual_variance if residual_variance > _NO_VARIANCE else residual
        return np.sqrt((squares.sum(axis=1) + outside) / (squares.shape[1] + 1)) / limit


def scores_of(held_out: np.ndarray) -> np.ndarray:
    """(n, K) predictions on a scale without ends: (n,) numbers as they are, probabilities (n, C) as log odds.

    Of two classes the positive one's alone.
    """
    from prima_features.evaluation.weighted import logit

    if held_out.ndim == 1:
        return held_out[:, None].astype(np.float64)
    return logit(held_out[:, 1:] if held_out.shape[1] == 2 else held_out)


def _reduction(rows: Rows) -> tuple[Reduction, int]:
    n_leading = int(np.clip(len(rows) // _ROWS_PER_LEADING, 1, _LEADING))
    components = int(np.clip(len(rows) // _ROWS_PER_COMPONENT, 1, _MOST_COMPONENTS))
    reduction = Reduction(components=components, whiten=True).fit(rows)
    return reduction, min(n_leading, len(reduction.variance_))


def _statistics(reduction: Reduction, n_leading: int, X: np.ndarray) -> np.ndarray:
    """(n, 3) logarithms of `STATISTICS` of (n, D) features."""
    rows = Rows.all(X)
    squares = reduction.transform(rows) ** 2
    residual = np.maximum(_squared_length(reduction, rows) - squares @ reduction.variance_, 0)
    lengths = np.column_stack(
        [
            np.linalg.norm(X.astype(np.float64), axis=1),
            np.sqrt(squares[:, :n_leading].mean(axis=1)),
            np.sqrt(residual / X.shape[1]),
        ]
    )
    return np.log(np.maximum(lengths, _FLOOR))


def _limits(values: np.ndarray, tail: float) -> tuple[float, float, float]:
    """Low, middle and high of a statistic over training studies, with a share `tail` beyond on either side.

    The wider of the quantiles and those of a normal distribution: the former alone vary much with few studies.
    """
    middle, reach = float(np.median(values)), float(norm.isf(tail) * values.std())
    low, high = np.quantile(values, [tail, 1 - tail])
    width_low = max(middle - low, middle - values.mean() + reach, _LEAST_WIDTH)
    width_high = max(high - middle, values.mean() + reach - middle, _LEAST_WIDTH)
    return middle - float(width_low), middle, middle + float(width_high)


def _ranks(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(n,) ranks from 0 to 1 among the training studies; in the middle of those that are equal to it."""
    left, right = (np.searchsorted(grid, values, side=side) for side in ("left", "right"))
    inside = np.interp(values, grid, _GRID)
    last = len(grid)
    tied = right > left + 1
    return np.where(tied, (left + np.minimum(right, last) - 1) / 2 / (last - 1), inside)


def _squared_length(reduction: Reduction, rows: Rows) -> np.ndarray:
    """(n,) squared lengths of the scaled rows."""
    scaling, result = Scaling(reduction.mean_, reduction.scale_), np.empty(len(rows))
    for chosen, values in rows.row_chunks():
        result[chosen] = (scaling.apply(values) ** 2).sum(axis=1)
    return result
