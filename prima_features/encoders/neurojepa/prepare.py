"""From a scan to the volume that Neuro-JEPA reads. Imports no torch.

The authors correct the bias field, register with 12 parameters to MNI152 (T1w) or to a T2 template (T2w, FLAIR) and
strip the skull. Bias correction is left out here, and all contrasts are brought to MNI152.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.encoders.brain_volume import Scan, VolumePreparer
from prima_features.encoders.resize import fit, resize
from prima_features.volumes.resampling import grid, resample

MNI = grid((182, 218, 182), first=(-90.0, -126.0, -72.0))
"""1 mm. The steps of `brain_volume` before the crop assume this spacing."""
_FIELD = (180, 216, 180)
_COVERED = (100, 120, 100)
_VOLUME = (96, 108, 96)
_MARGIN = 4
_CLIP = (0.5, 99.5)
"""Percentiles of the whole volume that become 0 and 1."""


@dataclass(frozen=True)
class JepaPreparer(VolumePreparer):
    """Prepares series for Neuro-JEPA."""

    def prepare(self, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
        """(96, 108, 96) towards Right, Anterior, Superior."""
        values, flags = scan.masked()
        return brain_volume(resample(values, scan.affine, MNI, scan.to_mni())), flags


def brain_volume(volume: np.ndarray) -> np.ndarray:
    """The published transform at test time.

    Intensities are scaled and clipped to 0 to 1. The volume is padded or cropped to 180 x 216 x 180, cropped to the box
    of its positive voxels and 4 more on each side, resized to 100 x 120 x 100 by means over areas, and cropped to
    96 x 108 x 96.

    Args:
        volume: (x, y, z) float32, 1 mm, towards Right, Anterior, Superior.
    """
    low, high = np.percentile(volume, _CLIP)
    scaled = np.clip((volume - low) / ((high - low) or 1.0), 0, 1).astype(np.float32)
    scaled = fit(scaled, _FIELD, "edge")
    return fit(resize(scaled[box(scaled)], _COVERED, "mean"), _VOLUME)


def box(volume: np.ndarray) -> tuple[slice, ...]:
    """The box of the positive voxels with its margin, cut at the border."""
    found = []
    for axis in range(3):
        rows = np.flatnonzero((volume > 0).any(axis=tuple(a for a in range(3) if a != axis)))
        if not rows.size:
            return (slice(None),) * 3
        found.append(slice(max(int(rows[0]) - _MARGIN, 0), int(rows[-1]) + 1 + _MARGIN))
    return tuple(found)
