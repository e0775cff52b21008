"""Which subvolumes are kept: thresholds on the share of foreground, and the filling of holes."""

import numpy as np
from scipy.ndimage import binary_fill_holes

from prima_features.encoders.prima.preprocessing import Preprocessing


def foreground_percent(grid: np.ndarray, maximum: float, preprocessing: Preprocessing) -> np.ndarray:
    """Percentage of each subvolume's voxels that are foreground.

    Args:
        grid: (gz, sz, gy, sy, gx, sx), the padded volume cut along each axis.
        maximum: the padded volume's.

    Returns:
        (gz, gy, gx) float64, 0 to 100.
    """
    small = maximum < preprocessing.small_maximum
    threshold = preprocessing.small_foreground if small else preprocessing.foreground
    _, z, _, y, _, x = grid.shape
    # Of the orders to sum in, the one that adds long rows: a tenth of the time of all three axes at once.
    counts = np.add.reduce(grid > threshold, axis=3, dtype=np.int32).sum(axis=1).sum(axis=-1)
    return 100.0 * (counts / (z * y * x))


def kept(percent: np.ndarray, preprocessing: Preprocessing) -> tuple[np.ndarray, int]:
    """Flat grid indices of the kept subvolumes, in the order that the encoder reads them.

    A threshold t keeps, for k = t ... 100, the shell of subvolumes whose percentage lies in [k, k + 1), and
    for low k also the infill: what that shell closes in. A subvolume can be kept twice, as infill and in its
    own shell; it then counts twice. t falls from `start_percent` to 0 until more than `min_kept` are kept.

    Subvolumes tile the volume, so filling holes on their grid is the same as filling them voxel by voxel.

    Args:
        percent: (gz, gy, gx), see `foreground_percent`.

    Returns:
        Indices (N,) int64 into the flattened grid, and the threshold used.
    """
    shell = np.floor(percent).astype(np.int64)
    for threshold in range(preprocessing.start_percent, -1, -1):
        indices = _kept_from(shell, threshold, preprocessing.infill_percent)
        if len(indices) > preprocessing.min_kept:
            break
    return indices, threshold


def _kept_from(shell: np.ndarray, threshold: int, infill_percent: int) -> np.ndarray:
    parts = []
    for k in range(threshold, infill_percent + 1):
        solid = shell == k
        if solid.any():
            infill = binary_fill_holes(solid) & ~solid
            parts += [np.flatnonzero(solid), np.flatnonzero(infill)]
    # Above the infill's range the shells follow each other: one stable sort by k serves for all of them.
    rest = np.flatnonzero(shell > infill_percent)
    parts.append(rest[np.argsort(shell.ravel()[rest], kind="stable")])
    return np.concatenate(parts)
