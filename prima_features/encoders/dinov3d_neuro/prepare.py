"""From a scan to the volume that Dinov3D-Neuro reads. Imports no torch.

The model card only states 1 mm and sides that are multiples of 16. Orientation and intensities follow another group's
use of the model: Right, Anterior, Superior, clipped at percentiles and z-scored with the background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np

from prima_features.anatomy.find import Anatomy
from prima_features.encoders.base import Prepared
from prima_features.encoders.brain_volume import TOKENS_PER_WEIGHT, Scan, VolumePreparer
from prima_features.encoders.resize import fit
from prima_features.volumes.resampling import Grid, resample
from prima_features.volumes.volume import Acquired

_CLIP = (0.5, 99.5)
"""Percentiles of the whole scan."""


@dataclass(frozen=True)
class Dino3dPreparer(VolumePreparer):
    """Prepares series for Dinov3D-Neuro."""

    patch: int = 16

    def prepare(self, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
        """(x, y, z) towards Right, Anterior, Superior, with sides that are multiples of the patch."""
        return whole_volume(scan.values, scan.affine, self.patch), ()

    def from_acquired(self, acquired: Acquired, anatomy: Anatomy, picture: bool = False) -> Prepared:
        """Prepare a series that has been read. Its number of tokens depends on its field of view."""
        prepared = super().from_acquired(acquired, anatomy, picture)
        n = prepared.arrays.size // self.patch**3
        return replace(prepared, n_tokens=n, weight=max(1, n // TOKENS_PER_WEIGHT))


def whole_volume(values: np.ndarray, affine: np.ndarray, patch: int = 16) -> np.ndarray:
    """Resample to 1 mm, clip, z-score, and pad to multiples of `patch`, with the lowest value.

    Args:
        values: (i, j, k) float32, as stored.
        affine: (4, 4), voxel indices to mm in RAS.
        patch: side of the network's patches.
    """
    volume = resample(values, affine, covering(values.shape, affine), outside="nearest")
    volume = np.clip(volume, *np.percentile(volume, _CLIP).astype(np.float32))
    volume -= volume.mean(dtype=np.float64)
    volume /= max(float(volume.std(dtype=np.float64)), 1e-6)
    lowest = volume.min()
    x, y, z = (-(-n // patch) * patch for n in volume.shape)
    return fit(volume - lowest, (x, y, z)) + lowest


def covering(shape: tuple[int, ...], affine: np.ndarray) -> Grid:
    """The grid of 1 mm whose axes are those of a scan, turned to R, A, S, and that covers the same field of view."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt("RAS"))
    ras = affine @ nib.orientations.inv_ornt_aff(turn, shape)
    sides = nib.affines.voxel_sizes(ras)
    order = np.argsort(turn[:, 0])
    counts = np.array(shape)[order]
    x, y, z = (max(1, round(float(n * side))) for n, side in zip(counts, sides, strict=True))
    step = np.eye(4)
    for axis, (n, m) in enumerate(zip(counts, (x, y, z), strict=True)):
        # Sample j of m is read at (j + 0.5) n / m - 0.5, so that the field of view is kept.
        step[axis, axis], step[axis, 3] = n / m, 0.5 * n / m - 0.5
    return Grid((x, y, z), ras @ step)
