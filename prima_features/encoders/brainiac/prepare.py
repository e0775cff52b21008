"""From a scan to the volume that BrainIAC reads. Imports no torch.

As in the authors' pipeline but for bias correction (N4), which is left out: skull-stripped, rotated and shifted onto
their template, resized to 96^3, z-scored over the voxels that are not 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from prima_features.anatomy.transforms import rigid
from prima_features.encoders.brain_volume import Scan, VolumePreparer
from prima_features.encoders.resize import resize
from prima_features.volumes.resampling import grid, resample

TEMPLATE = grid((170, 206, 162), first=(84.0, -119.0, -69.0), axes="LAS")
"""Grid of the authors' template."""
MNI_TO_TEMPLATE = np.array(
    [
        [0.912604, -0.001763, 0.004258, -0.792807],
        [-0.004213, 0.92376, 0.024093, -1.965898],
        [0.002228, -0.034612, 0.845302, 1.588296],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""From MNI152NLin6Asym to the template, mm in RAS; as published by MedARC-AI/brainmarks-smri."""
NOT_REGISTERED = "not-registered"
"""Flag: the position in MNI space was unknown, and the whole field of view was resized."""


@dataclass(frozen=True)
class BrainiacPreparer(VolumePreparer):
    """Prepares series for BrainIAC."""

    side: int = 96

    def prepare(self, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
        """(side, side, side) towards Left, Anterior, Superior."""
        values, flags = scan.masked()
        if scan.anatomy.to_mni is None:
            return brain_volume(to_las(values, scan.affine), self.side), (*flags, NOT_REGISTERED)
        return brain_volume(to_template(values, scan.affine, scan.anatomy.to_mni), self.side), flags


def to_template(values: np.ndarray, affine: np.ndarray, to_mni: np.ndarray) -> np.ndarray:
    """Rotate and shift a scan onto the template's grid, without scaling.

    Args:
        values: (i, j, k), as stored.
        affine: (4, 4), voxel indices to mm in RAS.
        to_mni: (4, 4), mm of the scan to mm in MNI152NLin6Asym.
    """
    return resample(values, affine, TEMPLATE, rigid(MNI_TO_TEMPLATE @ to_mni, TEMPLATE.centre))


def to_las(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Permute and flip the axes of a scan to those of the template: Left, Anterior, Superior."""
    wanted = nib.orientations.axcodes2ornt("LAS")
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
    return nib.apply_orientation(values, turn)


def brain_volume(values: np.ndarray, side: int = 96) -> np.ndarray:
    """Resize to (side, side, side) and z-score the voxels that are not 0; zeros stay 0."""
    volume = resize(values.astype(np.float32, copy=False), (side, side, side), "linear")
    inside = volume != 0
    brain = volume[inside].astype(np.float64)
    if brain.size:
        volume[inside] = (brain - brain.mean()) / (brain.std() or 1.0)
    return volume
