"""The arrays of a series that is cut into patches. Imports no torch: reader processes make them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Patches:
    """n patches of one series, for a network whose series differ in length."""

    values: np.ndarray
    """(n, k) float32."""
    place: np.ndarray
    """(n, 3) float32, where each patch is, as the network counts."""
    coord: np.ndarray
    """(n, 3) int16, as stored with tokens: (z, y, x) of the first voxel."""
