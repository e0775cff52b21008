"""Few-shot curves: how well a classifier does with 1, 2, 4 ... 64 labelled subjects per class.

The classifier is SimpleShot (Wang et al. 2019, arXiv 1911.04623): the mean of the training vectors is subtracted,
vectors are scaled to length 1, and a study belongs to the class with the nearest mean. It has no parameter to choose,
for which so few subjects would not be enough. Training sets are drawn once for all encoders. Within a draw the
smaller ones are part of the larger ones, and all sizes are tested on the same studies, of subjects that are in none
of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prima_features.evaluation.weighted import auroc
from prima_features.probes.samples import Samples

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Subjects per class."""
_MOST_TEST = 2000
"""Studies that each draw is tested on, at most."""


@dataclass(frozen=True)
class Draw:
    """Training sets of one draw, and the rows that they are tested on."""

    train: np.ndarray
    """(K, classes) rows; the first k rows are the training set of k per class."""
    test: np.ndarray
    """(m,) rows."""


@dataclass(frozen=True)
class FewShotPoint:
    """AUROC (mean of the classes) for one size."""

    per_class: int
    value: float
    """Mean over draws."""
    low: float
    high: float
    """2.5th and 97.5th percentile of the draws: their spread, not a confidence interval."""


def draw_few(given: Samples, n_draws: int, seed: int = 0) -> tuple[Draw, ...]:
    """Draw training sets of up to the largest size that leaves half of each class for testing.

    Args:
        given: studies of a classification task.
        n_draws: number of draws.
        seed: of the draws.

    Returns:
        none if a class has fewer than two subjects.
    """
    eligible, groups = np.flatnonzero(given.eligible), given.groups
    n_classes = len(given.task.classes)
    smallest = min(len(np.unique(groups[eligible][given.y[eligible] == code])) for code in range(n_classes))
    sizes = [size for size in SIZES if 2 * size <= smallest]
    if not sizes:
        return ()
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n_draws):
        order = rng.permutation(eligible)
        columns = []
        for code in range(n_classes):
            rows = order[given.y[order] == code]
            _, first = np.unique(groups[rows], return_index=True)  # one study of each subject
            columns.append(rows[np.sort(first)][: sizes[-1]])
        train = np.column_stack(columns)
        test = order[~np.isin(groups[order], groups[train.ravel()])]
        if len(np.unique(given.y[test])) == n_classes:  # else subjects in several classes have used one up
            made.append(Draw(train, test[:_MOST_TEST]))
    return tuple(made)


def few_shot(given: Mapping[str, Samples], draws: Sequence[Draw]) -> dict[str, tuple[FewShotPoint, ...]]:
    """The curve of each encoder, on the same draws."""
    if not draws:
        return {}
    sizes = [size for size in SIZES if size <= len(draws[0].train)]
    found = {}
    for name, own in given.items():
        values = np.array([[_area(own, one, size) for size in sizes] for one in draws])
        low, high = np.percentile(values, [2.5, 97.5], axis=0)
        found[name] = tuple(
            FewShotPoint(size, float(mean), float(a), float(b))
            for size, mean, a, b in zip(sizes, values.mean(axis=0), low, high, strict=True)
        )
    return found


def _area(given: Samples, one: Draw, size: int) -> float:
    """AUROC of one training set, mean of the classes against the rest."""
    train = given.X[one.train[:size]].astype(np.float64)  # (size, classes, D)
    centre = train.mean(axis=(0, 1))
    means = _unit(train - centre).mean(axis=0)
    test = _unit(given.X[one.test].astype(np.float64) - centre)
    # Squared distances, less the squared length of the vector, which is the same for all classes.
    closeness = 2 * test @ means.T - (means**2).sum(axis=1)
    ones = np.ones((1, len(one.test)))
    y, n_classes = given.y[one.test], closeness.shape[1]
    if n_classes == 2:
        return float(auroc(y == 1, closeness[:, 1] - closeness[:, 0], ones)[0])
    share = np.exp(closeness - closeness.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return float(np.mean([auroc(y == code, share[:, code], ones)[0] for code in range(n_classes)]))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1))
