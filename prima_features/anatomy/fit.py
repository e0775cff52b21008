"""Whether a brain mask fits the voxels of its scan: in its place, without the skull, with a brain inside.

The volume of a mask says nothing of this, nor does its overlap with the template: a mask that is shifted against its
scan is registered by its own outline. Here the mutual information (bits) between the side of the outline on which a
sample is and its signal measures how well the outline separates brain from surroundings, whatever the contrast. The
same outline is then tried elsewhere: a right one separates best where it is.

Thresholds were chosen on 34 synthetic heads of six contrasts and 23 real images (docs/masks.md has the rates).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan, nan

import numpy as np
from scipy import ndimage

from prima_features.anatomy.quality import MISPLACED, NO_BRAIN, TOO_LARGE

_STEP = 3.0
"""mm between samples."""
_BAND = 8.0
"""mm on each side of an outline."""
_MOVES = (10.0, 20.0)
"""mm along each axis, both ways."""
_DEPTHS, _DEEPER = (-3.0, 0.0, 3.0), (6.0, 9.0, 12.0)
"""mm below the mask's outline at which the brain may end (cerebrospinal fluid is as dark as bone in some contrasts),
and at which it ends in masks that include the skull."""
_CLEARLY = 1.25
"""Least ratio of two values of mutual information that are called different."""
_LEVELS = 24
_SMOOTH = 15.0
"""mm, standard deviation of the local mean that signals are divided by: coils are more sensitive close by."""
_MOST, _FEWEST = 25_000, 1000
"""Samples that are looked at, and that are needed."""
_LAG, _CORRELATED = 4.0, 0.2
"""mm, and least correlation of samples in the mask at this distance (`volumes.brain_check`). Brains 0.5 to 0.9."""
_CONSTANT = 0.5
"""Largest fraction of the mask with one and the same value."""


def mask_doubts(values: np.ndarray, affine: np.ndarray, mask: np.ndarray) -> tuple[str, ...]:
    """Flags of a mask that does not fit its scan.

    Args:
        values: (i, j, k), a whole head or a skull-stripped scan.
        affine: (4, 4), voxel indices to mm.
        mask: (i, j, k) bool, not empty.
    """
    inside = values[mask]
    if np.unique(inside, return_counts=True)[1].max() > _CONSTANT * len(inside):
        return (NO_BRAIN,)
    signal, coarse, sides = _reduced(values, mask, np.linalg.norm(affine[:3, :3], axis=0))
    if _correlation(signal, coarse, sides) < _CORRELATED:
        return (NO_BRAIN,)
    here, moved, deeper = separation(signal, coarse, sides)
    if moved > _CLEARLY * here:
        return (MISPLACED,)
    return (TOO_LARGE,) if deeper > _CLEARLY * here else ()


def separation(values: np.ndarray, mask: np.ndarray, sides: np.ndarray) -> tuple[float, float, float]:
    """Mutual information of the two sides of an outline and the signal, bits.

    Args:
        values: (i, j, k) float32.
        mask: (i, j, k) bool.
        sides: (3,), of the voxels, mm.

    Returns:
        Where the mask is, the best of its places elsewhere, and the best of outlines well within it; NaN where there
        are too few samples.
    """
    levels = _levels(values, sides)
    # Outside of the scan nothing is known, but the distance to an outline at its border is.
    margin = np.ceil((_BAND - _DEPTHS[0]) / sides).astype(int)
    padded = np.pad(mask, [(n, n) for n in margin])
    below = ndimage.distance_transform_edt(padded, sampling=sides)
    depth = below - ndimage.distance_transform_edt(~padded, sampling=sides)
    near = (depth >= _DEPTHS[0] - _BAND) & (depth <= _DEEPER[-1] + _BAND)
    places, depth = np.argwhere(near) - margin, depth[near]
    step = max(1, len(places) // _MOST)
    places, depth = places[::step], depth[::step]

    def best(move: np.ndarray, ends: tuple[float, ...]) -> float:
        moved = places + np.rint(move / sides).astype(int)
        known = ((moved >= 0) & (moved < values.shape)).all(1)
        signal, deep = levels[tuple(moved[known].T)], depth[known]
        bands = [(np.abs(deep - end) <= _BAND, deep > end) for end in ends]
        return _most(_information(side[band], signal[band]) for band, side in bands if band.sum() >= _FEWEST)

    moves = [way * mm * axis for axis in np.eye(3) for mm in _MOVES for way in (-1, 1)]
    elsewhere = [best(move, _DEPTHS) for move in moves]
    return best(np.zeros(3), _DEPTHS), _most(elsewhere), best(np.zeros(3), _DEEPER)


def _most(found: Iterable[float]) -> float:
    """The largest number, without NaN; NaN if there is none."""
    return max((one for one in found if not isnan(one)), default=nan)


def _reduced(
    values: np.ndarray, mask: np.ndarray, sides: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over blocks of about `_STEP`, the mask of these blocks, and their sides."""
    block = np.clip(np.rint(_STEP / sides), 1, values.shape).astype(int)
    n = np.array(values.shape) // block

    def means(one: np.ndarray) -> np.ndarray:
        cut = one[tuple(slice(0, size) for size in n * block)].astype(np.float32)
        return cut.reshape(n[0], block[0], n[1], block[1], n[2], block[2]).mean(axis=(1, 3, 5))

    return means(values), means(mask) > 0.5, sides * block


def _levels(values: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The signal relative to its surroundings, as one of `_LEVELS` numbers of equal frequency."""
    signal = values - np.percentile(values, 1)
    around = ndimage.gaussian_filter(signal, _SMOOTH / sides)
    relative = signal / np.maximum(around, max(1e-3 * float(signal.max()), 1e-30))
    edges = np.unique(np.quantile(relative, np.linspace(0, 1, _LEVELS + 1)[1:-1]))
    return np.searchsorted(edges, relative)


def _information(side: np.ndarray, signal: np.ndarray) -> float:
    joint = np.bincount(2 * signal + side, minlength=2 * _LEVELS).reshape(-1, 2) / len(side)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log2(joint[some] / independent[some])).sum())


def _correlation(values: np.ndarray, mask: np.ndarray, sides: np.ndarray) -> float:
    """The largest of the correlations along the three axes of samples in the mask; 1 if there are too few."""
    found = []
    for axis, side in enumerate(sides):
        lag = max(1, round(_LAG / side))
        (first, second), (one, other) = (
            (np.moveaxis(array, axis, 0)[lag:], np.moveaxis(array, axis, 0)[:-lag])
            for array in (values, mask)
        )
        both = one & other
        if both.sum() >= _FEWEST and first[both].std() > 0 and second[both].std() > 0:
            found.append(np.corrcoef(first[both], second[both])[0, 1])
    return float(max(found, default=1.0))
