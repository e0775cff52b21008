"""From a scan to the volume that 3D-Neuro-SimCLR reads. Imports no torch.

The authors' pipeline (TurboPrep) corrects the bias field, strips the skull, registers rigidly to the symmetric MNI
ICBM 2009c template, normalises with WhiteStripe and masks with the labels of SynthSeg. Here, bias correction is left
out, one brain mask is used, and WhiteStripe is left out, since z-scores do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.anatomy.transforms import rigid
from prima_features.encoders.brain_volume import Scan, VolumePreparer
from prima_features.volumes.resampling import grid, resample

TEMPLATE = grid((193, 229, 193), first=(-96.0, -132.0, -78.0))
"""Grid of MNI ICBM 2009c. Its brain is within 2 mm of that of MNI152NLin6Asym."""
_CROP = np.s_[10:160, 19:211, 1:193]
"""Of (z, y, x): 150 x 192 x 192."""


@dataclass(frozen=True)
class SimclrPreparer(VolumePreparer):
    """Prepares series for 3D-Neuro-SimCLR."""

    def prepare(self, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
        """(150, 192, 192): towards Superior, Anterior, Right."""
        values, flags = scan.masked()
        to_template = rigid(scan.to_mni(), TEMPLATE.centre)
        head = resample(values, scan.affine, TEMPLATE, to_template)
        if scan.anatomy.mask is None:
            return standardise(crop(head), crop(head > 0)), flags
        mask = resample(scan.anatomy.mask.astype(np.uint8), scan.affine, TEMPLATE, to_template, order=0)
        return standardise(crop(head), crop(mask > 0)), flags


def crop(volume: np.ndarray) -> np.ndarray:
    """(x, y, z) on the template's grid to (z, y, x), cropped to 150 x 192 x 192."""
    return volume.transpose(2, 1, 0)[_CROP]


def standardise(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Z-scores of the voxels in a mask, 0 outside."""
    brain = volume[mask].astype(np.float64)
    result = np.zeros(volume.shape, np.float32)
    if brain.size:
        mean = brain.mean()
        result[mask] = (brain - mean) / np.sqrt((brain**2).mean() - mean**2 + 1e-12)
    return result
