"""From a scan to the volume that OpenMind's encoders read. Imports no torch.

The authors' plan (nnU-Net) leaves axes as stored and trains on crops of 160^3 at random places. Here axes are always
turned to Left, Posterior, Superior, and the crop is about the centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

from prima_features.encoders.brain_volume import Scan, VolumePreparer
from prima_features.encoders.resize import fit

_SPACING = 1.0
_ANISOTROPIC = 3.0
"""Ratio of the longest to the shortest voxel side above which slices are resampled one by one."""


@dataclass(frozen=True)
class OpenmindPreparer(VolumePreparer):
    """Prepares series for OpenMind's encoders."""

    side: int = 160

    def prepare(self, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
        """(side, side, side) towards Superior, Posterior, Left."""
        turn = nib.orientations.ornt_transform(
            nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt("LPS")
        )
        values = nib.apply_orientation(scan.values, turn).transpose(2, 1, 0)
        sides = nib.affines.voxel_sizes(scan.affine @ nib.orientations.inv_ornt_aff(turn, scan.values.shape))
        return brain_volume(values, tuple(sides[::-1]), self.side), ()


def brain_volume(values: np.ndarray, spacing: tuple[float, ...], side: int = 160) -> np.ndarray:
    """Crop to the nonzero voxels, z-score, resample to 1 mm, and pad with 0 or crop to (side, side, side).

    Args:
        values: (z, y, x).
        spacing: mm along (z, y, x).
        side: voxels of 1 mm.
    """
    crop = nonzero(values).astype(np.float32)
    crop = (crop - crop.mean(dtype=np.float64)) / max(float(crop.std(dtype=np.float64)), 1e-8)
    shape = tuple(max(round(n * s / _SPACING), 1) for n, s in zip(crop.shape, spacing, strict=True))
    return fit(to_shape(crop.astype(np.float32), shape, slice_axis(spacing)), (side, side, side))


def nonzero(values: np.ndarray) -> np.ndarray:
    """The box of the voxels that are not 0."""
    inside = values != 0
    for axis in range(3):
        rows = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if rows.size:
            values = values[(slice(None),) * axis + (slice(int(rows[0]), int(rows[-1]) + 1),)]
    return values


def slice_axis(spacing: tuple[float, ...]) -> int | None:
    """The axis across slices that are resampled one by one; None if all axes are resampled together."""
    longest = max(spacing)
    axes = [axis for axis, one in enumerate(spacing) if one == longest]
    return axes[0] if longest / min(spacing) > _ANISOTROPIC and len(axes) == 1 else None


def to_shape(volume: np.ndarray, shape: tuple[int, ...], across: int | None = None) -> np.ndarray:
    """Resample with cubic splines as scikit-image's `resize(order=3, mode="edge", anti_aliasing=False)`.

    Args:
        volume: (z, y, x) float32.
        shape: of the result.
        across: take the nearest slice along this axis, and resample in plane only.
    """
    if shape == volume.shape:
        return volume
    if across is None:
        return _cubic(volume, shape)
    slices = np.moveaxis(volume, across, 0)
    in_plane = tuple(n for axis, n in enumerate(shape) if axis != across)
    made = np.stack([_cubic(one, in_plane) for one in slices])
    place = (np.arange(shape[across]) + 0.5) * (len(slices) / shape[across]) - 0.5
    nearest = np.clip(np.floor(place + 0.5).astype(int), 0, len(slices) - 1)
    return np.moveaxis(made[nearest], 0, across)


def _cubic(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if shape == values.shape:
        return values
    factors = [m / n for m, n in zip(shape, values.shape, strict=True)]
    found = ndimage.zoom(values, factors, order=3, mode="nearest", grid_mode=True)
    return np.clip(found, values.min(), values.max())
