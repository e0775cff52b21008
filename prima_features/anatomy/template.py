"""The MNI152 template that scans are registered to: its image, and its brain mask.

It is the symmetric template 2009a of MNI ICBM 152, skull-stripped, at 2 mm; see LICENSE.txt in this folder. Encoders
were trained in the space of other versions of MNI152 (NLin6Asym of FSL, 2009c). Their brains have the same size and
position up to a few millimetres.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from prima_features.volumes.resampling import Grid, resample

_FILE = Path(__file__).with_name("mni152_2mm.nii.gz")


@cache
def template() -> tuple[np.ndarray, Grid]:
    """Values (x, y, z) float32, above 0 in the brain only, and their grid."""
    image = nib.Nifti1Image.from_bytes(gzip.decompress(_FILE.read_bytes()))
    x, y, z = image.shape
    values = np.asarray(image.dataobj).astype(np.float32)
    values.setflags(write=False)
    return values, Grid((x, y, z), image.affine)


def dice(mask: np.ndarray, affine: np.ndarray, to_mni: np.ndarray) -> float:
    """Dice coefficient of a mask with the template's brain mask.

    Args:
        mask: (i, j, k) bool.
        affine: (4, 4), its voxel indices to mm in RAS.
        to_mni: (4, 4), mm of the scan to mm in MNI152.
    """
    values, grid = template()
    brain = values > 0
    found = resample(mask.astype(np.uint8), affine, grid, to_mni, order=0) > 0
    # A mask may reach beyond the template's field of view.
    volume = (
        mask.sum() * abs(np.linalg.det((to_mni @ affine)[:3, :3])) / abs(np.linalg.det(grid.affine[:3, :3]))
    )
    return float(2 * (found & brain).sum() / (max(volume, found.sum()) + brain.sum()))
