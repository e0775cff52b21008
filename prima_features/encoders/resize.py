"""Changing the size of volumes as torch and MONAI do, without torch: reader processes do it."""

from __future__ import annotations

from typing import Literal

import numpy as np


def linear_weights(n: int, m: int) -> np.ndarray:
    """(m, n) weights of linear interpolation from n to m samples, corners not aligned and no smoothing.

    Output j is read at (j + 0.5) n / m - 0.5, and at the border if that is outside: torch's `interpolate`. Places are
    computed in float32, as there: whether a voxel is exactly 0 depends on it.
    """
    ratio = np.float32(n) / np.float32(m)
    place = np.clip(ratio * (np.arange(m, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0, n - 1)
    below = np.minimum(place.astype(int), max(n - 2, 0))
    weights = np.zeros((m, n), np.float32)
    weights[np.arange(m), below] = 1 - (place - below)
    weights[np.arange(m), np.minimum(below + 1, n - 1)] += place - below
    return weights


def mean_weights(n: int, m: int) -> np.ndarray:
    """(m, n) weights of means over the samples that each of m outputs covers: torch's `adaptive_avg_pool3d`."""
    weights = np.zeros((m, n), np.float32)
    for j in range(m):
        start, end = j * n // m, -(-(j + 1) * n // m)
        weights[j, start:end] = 1 / (end - start)
    return weights


def resize(volume: np.ndarray, shape: tuple[int, int, int], how: Literal["linear", "mean"]) -> np.ndarray:
    """Change the number of samples of a float32 volume.

    Args:
        volume: (a, b, c) float32.
        shape: its new shape.
        how: `linear` interpolation (`linear_weights`), or `mean` over areas (`mean_weights`).
    """
    weights = linear_weights if how == "linear" else mean_weights
    for axis, m in enumerate(shape):
        along = np.moveaxis(volume, axis, 0)
        changed = weights(volume.shape[axis], m) @ along.reshape(len(along), -1)
        volume = np.moveaxis(changed.reshape(m, *along.shape[1:]), 0, axis)
    return np.ascontiguousarray(volume)


def fit(
    volume: np.ndarray, shape: tuple[int, int, int], padding: Literal["constant", "edge"] = "constant"
) -> np.ndarray:
    """Pad and crop a volume about its centre, as MONAI's `ResizeWithPadOrCrop`.

    Half of the missing samples, rounded down, are padded before, with 0 or with the value at the edge. Cropping starts
    at size // 2 - wanted // 2.
    """
    missing = [max(want - have, 0) for want, have in zip(shape, volume.shape, strict=True)]
    if any(missing):
        volume = np.pad(volume, [(n // 2, n - n // 2) for n in missing], padding)
    starts = [have // 2 - want // 2 for want, have in zip(shape, volume.shape, strict=True)]
    return volume[tuple(slice(start, start + want) for start, want in zip(starts, shape, strict=True))]
