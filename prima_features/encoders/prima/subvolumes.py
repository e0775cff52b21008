"""Cutting a volume into the subvolumes that become tokens."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes

from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.volumes.volume import Volume


@dataclass(frozen=True)
class Subvolumes:
    """The kept subvolumes of one series. N are kept, U of them different ones."""

    values: np.ndarray
    """(U, ...) float32, divided by the volume's maximum: 4 long on the slice axis, 32 on the others. Not yet
    doubled along the slice axis."""
    row: np.ndarray
    """(N,) int64, the row of `values` that each token is made of; one kept twice occurs twice."""
    coord: np.ndarray
    """(N, 3) int16, (z, y, x) of each token's first voxel in the padded volume."""
    slice_axis: int
    """Which of (z, y, x) is the short one."""
    threshold: int
    """Percentage of foreground from which subvolumes were kept."""
    n_all: int
    """Subvolumes before filtering."""

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Grid:
    """A volume divided into subvolumes, before any is left out."""

    values: np.ndarray
    """(gz, sz, gy, sy, gx, sx), the padded volume cut along each axis."""
    percent: np.ndarray
    """(gz, gy, gx) float64, share of foreground, 0 to 100."""
    maximum: float
    slice_axis: int

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels of a subvolume along z, y, x."""
        _, z, _, y, _, x = self.values.shape
        return z, y, x


def divide(volume: Volume, preprocessing: Preprocessing = Preprocessing()) -> Grid:
    """Pad a volume and divide it."""
    size = [preprocessing.long_side] * 3
    size[volume.slice_axis] = preprocessing.short_side
    # The public pipeline thresholds in single precision, where 50 + 1e-12 is not above 50.
    single = volume.values.dtype.kind == "f"
    padded = _pad(volume.values.astype(np.float32) if single else volume.values, size)
    counts = [length // side for length, side in zip(padded.shape, size, strict=True)]
    values = padded.reshape([n for pair in zip(counts, size, strict=True) for n in pair])
    maximum = padded.max()
    percent = foreground_percent(values, float(maximum), preprocessing)
    return Grid(values, percent, maximum, volume.slice_axis)


def cut(volume: Volume | Grid, preprocessing: Preprocessing = Preprocessing()) -> Subvolumes:
    """Cut a volume into subvolumes and keep those with foreground (the public Prima pipeline's rule).

    Values are divided by the padded volume's maximum where that is above 0. Kept subvolumes are in the order
    of `prima_features.encoders.prima.subvolumes.kept`.
    """
    grid = volume if isinstance(volume, Grid) else divide(volume, preprocessing)
    indices, threshold = kept(grid.percent, preprocessing)
    unique, row = np.unique(indices, return_inverse=True)
    counts = grid.percent.shape
    z, y, x = np.unravel_index(unique, counts)
    # Axes 0, 2, 4 count subvolumes: indexing them with arrays gathers (U, sz, sy, sx).
    values = grid.values[z, :, y, :, x, :].astype(np.float32)
    if grid.maximum > 0:
        values /= np.float32(grid.maximum)
    return Subvolumes(
        values=values,
        row=row,
        coord=(np.stack(np.unravel_index(indices, counts), axis=1) * grid.size).astype(np.int16),
        slice_axis=grid.slice_axis,
        threshold=threshold,
        n_all=grid.percent.size,
    )


def _pad(values: np.ndarray, size: list[int]) -> np.ndarray:
    """Zeros on both sides of each axis up to a multiple of `size`; the odd one goes behind."""
    missing = [-length % side for length, side in zip(values.shape, size, strict=True)]
    return np.pad(values, [(p // 2, p - p // 2) for p in missing]) if any(missing) else values


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
