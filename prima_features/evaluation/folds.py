"""Dealing groups of rows to folds: no group is cut, and every fold gets its share of each class or age."""

from __future__ import annotations

import numpy as np

MAX_BINS = 10
"""Most bins that a number is cut into, to share its range out over the folds."""


def deal(groups: np.ndarray, strata: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Deal whole groups to folds, the largest first, each to the fold that has least of its stratum.

    scikit-learn's StratifiedGroupKFold does the same, in time that grows too fast for nested loops over
    ten thousand subjects.

    Args:
        groups: (N,) what must not be cut, mostly subjects; any type that sorts.
        strata: (N,) integers from 0: class, or bin of a number (see `strata_of`). Or (N, C) columns of 0 and 1, such as
            labels, which are all shared out evenly.
        n_folds: at least 2; no more than there are groups.
        seed: of the order among groups of one size.

    Returns:
        (N,) fold of each row, from 0.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    _, group = np.unique(groups, return_inverse=True)
    size = np.bincount(group)
    if not 2 <= n_folds <= len(size):
        raise ValueError(f"{n_folds} folds need as many groups, and at least 2, but there are {len(size)}")
    rng = np.random.default_rng(seed)
    if strata.ndim == 2:
        return _deal_columns(group, strata.astype(np.float64), n_folds, rng)[group]
    stratum = _most_frequent(group, strata)
    held = np.zeros((stratum.max() + 1, n_folds))
    # A random fraction of a row breaks ties between folds that hold as much.
    total = rng.random(n_folds) / 2
    fold_of_group = np.empty(len(size), dtype=np.int64)
    for index in np.lexsort((rng.random(len(size)), -size)):
        fold = np.lexsort((total, held[stratum[index]]))[0]
        held[stratum[index], fold] += size[index]
        total[fold] += size[index]
        fold_of_group[index] = fold
    return fold_of_group[group]


def strata_of(y: np.ndarray, groups: np.ndarray, *, classes: bool, n_folds: int) -> np.ndarray:
    """What is to be shared out evenly: the class, or the bin of the group's mean.

    Args:
        y: (N,) class numbers from 0, or numbers.
        groups: (N,) what must not be cut.
        classes: whether `y` holds class numbers.
        n_folds: bins are wide enough that each fold can have a group of each.

    Returns:
        (N,) integers from 0.
    """
    if classes:
        return y.astype(np.int64)
    _, group = np.unique(groups, return_inverse=True)
    mean = np.bincount(group, weights=y) / np.bincount(group)
    n_bins = int(np.clip(len(mean) // n_folds, 1, MAX_BINS))
    rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    return (rank * n_bins // len(mean))[group]


def rarest_label(y: np.ndarray) -> np.ndarray:
    """(N,) the rarest label that is present in each row of (N, L), from 1; 0 if none is."""
    present = y == 1
    rarity = np.empty(y.shape[1], dtype=np.int64)
    rarity[np.argsort(present.sum(axis=0), kind="stable")] = np.arange(y.shape[1])
    order = np.where(present, rarity, y.shape[1])
    return np.where(present.any(axis=1), order.argmin(axis=1) + 1, 0)


def _deal_columns(
    group: np.ndarray, columns: np.ndarray, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """(G,) fold of each group, so that all columns (N, C) and the rows are shared out evenly.

    The groups with the rarest column come first, each to the fold that has least of what the group has (after Sechidis
    2011, 10.1007/978-3-642-23808-6_10).
    """
    has = np.zeros((group.max() + 1, columns.shape[1] + 1))
    np.add.at(has, group, np.column_stack([columns, np.ones(len(group))]))
    has /= np.maximum(has.sum(axis=0), 1)
    rarity = has.max(axis=1)
    held = np.zeros((n_folds, has.shape[1]))
    total = rng.random(n_folds) / (2 * len(group))
    fold_of_group = np.empty(len(has), dtype=np.int64)
    for index in np.lexsort((rng.random(len(has)), -rarity)):
        load = held @ has[index]
        fold = np.lexsort((total, np.round(load, 12)))[0]
        held[fold] += has[index]
        total[fold] += has[index, -1]
        fold_of_group[index] = fold
    return fold_of_group


def _most_frequent(group: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """The stratum that most rows of each group are in."""
    count = np.zeros((group.max() + 1, int(strata.max()) + 1), dtype=np.int64)
    np.add.at(count, (group, strata), 1)
    return count.argmax(axis=1)
