"""The features of all studies in two dimensions, to see what they are arranged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.probes.linalg.rows import Reduction, Rows, Scaling

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.tasks import Task

MAX_ROWS = 5000
"""More are thinned at random."""


@dataclass(frozen=True)
class FeatureMap:
    """The first two principal components of the standardised features."""

    points: np.ndarray
    """(n, 2)."""
    share: tuple[float, float]
    """Part of the variance of the standardised features along each axis."""
    label: np.ndarray
    """(n,) class names, or numbers."""
    site: np.ndarray
    """(n,) text, empty where unknown."""


def feature_map(X: np.ndarray, frame: pd.DataFrame, task: Task, seed: int = 0) -> FeatureMap:
    """Project studies on the two directions in which their features vary most.

    Args:
        X: (N, D) features.
        frame: N rows with `target`, and `site` where it is known.
        task: what the target is.
        seed: of the draw of at most `MAX_ROWS` rows.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS])
    rows = Rows(X, drawn)
    reduction = Reduction(components=2, whiten=True).fit(rows)
    points = np.zeros((len(drawn), 2))
    found = reduction.transform(rows) * np.sqrt(reduction.variance_)
    points[:, : found.shape[1]] = found
    # The sign of a component is arbitrary: the farthest point is put on the positive side.
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    share = np.zeros(2)
    share[: found.shape[1]] = (found**2).mean(axis=0) / _total_variance(rows)
    chosen = frame.iloc[drawn]
    site = chosen["site"].fillna("") if "site" in chosen else np.full(len(drawn), "")
    label = chosen["target"].to_numpy(dtype=object if task.is_classification else float)
    return FeatureMap(points, (float(share[0]), float(share[1])), label, np.array(site, dtype=str))


def _total_variance(rows: Rows) -> float:
    scaling = Scaling.fit(rows)
    total = sum((scaling.apply(values, columns) ** 2).sum() for columns, values in rows.column_chunks())
    return float(total) / len(rows) or 1.0
