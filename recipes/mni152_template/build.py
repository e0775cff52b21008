"""Build the template in prima_features/anatomy from the one that nilearn distributes.

    pip download --no-deps nilearn
    python recipes/mni152_template/build.py nilearn-0.14.1-py3-none-any.whl

nilearn's file is the T1 average of the symmetric MNI ICBM 152 nonlinear template 2009a at 1 mm, with 0 outside the
brain. The result has 2 mm voxels, each the mean of 8. A voxel belongs to the brain, and is above 0, if at least half of
these do.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np

SOURCE = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
OUTPUT = Path(__file__).parents[2] / "prima_features" / "anatomy" / "mni152_2mm.nii.gz"


def main(wheel: str) -> None:
    """Write the template."""
    with zipfile.ZipFile(wheel) as archive:
        source = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(SOURCE)))
    fine = np.asarray(source.dataobj).astype(np.float64)
    x, y, z = (n // 2 for n in fine.shape)
    blocks = fine[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2)
    brain = (blocks > 0).mean(axis=(1, 3, 5)) >= 0.5
    values = np.where(brain, np.rint(blocks.mean(axis=(1, 3, 5))).clip(1), 0).astype(np.uint8)
    step = np.diag([2.0, 2.0, 2.0, 1.0])
    step[:3, 3] = 0.5
    made = nib.Nifti1Image(values, source.affine @ step)
    made.header.set_xyzt_units("mm")
    # No time of writing and no file name in the archive: the same bytes each time.
    OUTPUT.write_bytes(gzip.compress(made.to_bytes(), 9, mtime=0))
    print(f"{OUTPUT.name}: {values.shape}, brain of {brain.sum() * 8e-6:.3f} litres")


if __name__ == "__main__":
    main(*sys.argv[1:])
