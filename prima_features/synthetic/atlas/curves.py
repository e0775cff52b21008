"""Distances to curves and bodies given in MNI coordinates, mm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Point = tuple[float, float, float]


def distance_to_curve(grid: Sequence[np.ndarray], curve: Sequence[Point]) -> np.ndarray:
    """Distance of each point of a grid to a chain of straight segments.

    Args:
        grid: x, y, z, which broadcast to one shape.
        curve: at least two points.
    """
    points = np.asarray(curve, np.float32)
    nearest: np.ndarray | None = None
    for a, b in pairwise(points):
        along = b - a
        t = sum((axis - p) * d for axis, p, d in zip(grid, a, along, strict=True)) / float(along @ along)
        t = np.clip(t, 0, 1)
        square = sum((axis - p - t * d) ** 2 for axis, p, d in zip(grid, a, along, strict=True))
        nearest = square if nearest is None else np.minimum(nearest, square)
    if nearest is None:
        raise ValueError(f"a curve must have at least two points, not {len(points)}")
    return np.sqrt(nearest)
