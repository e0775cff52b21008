"""Small images for tests of the finders."""

from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip


@cache
def nifti_bytes(seed: int = 0, n_volumes: int = 1) -> bytes:
    """A NIfTI file of 6 x 7 x 8 random voxels."""
    shape = (6, 7, 8) if n_volumes == 1 else (6, 7, 8, n_volumes)
    values = np.random.default_rng(seed).integers(0, 4000, shape, dtype=np.int16)
    return nib.Nifti1Image(values, np.diag([-2, -2, 4, 1])).to_bytes()


def put(root: Path, *names: str, text: str = "") -> None:
    """Files with `text`; those that end in .nii or .nii.gz are images, each with other voxels."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith((".nii", ".nii.gz")) and not text:
            content = nifti_bytes(len(list(root.rglob("*.[nN]*"))))
            (root / name).write_bytes(igzip.compress(content) if name.lower().endswith(".gz") else content)
        else:
            (root / name).write_text(text)


def put_volume(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> None:
    """A NIfTI file of these voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([-2, -2, 4, 1]) if affine is None else affine), path)
