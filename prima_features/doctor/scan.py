"""The made-up scan whose embedding is known: two series of an ellipsoid with a texture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

VERSION = 1
"""Whoever changes the scan raises this and records all answers again (`prima doctor --record-answer`)."""

_AXIAL = np.diag([4.0, 4.0, 10.0, 1.0])
_SAGITTAL = np.array([[0, 0, 8.0, 0], [-4.0, 0, 0, 0], [0, -4.0, 0, 0], [0, 0, 0, 1.0]])
SERIES = {"T1w": (_AXIAL, (48, 48, 12)), "FLAIR": (_SAGITTAL, (48, 48, 16))}
"""Affine (RAS, mm) and shape of each; slices along the last axis."""


def write_scan(folder: Path) -> None:
    """Write the series as .nii.gz into a new folder: the same voxels on every machine."""
    import nibabel as nib

    folder.mkdir(parents=True)
    for name, (affine, shape) in SERIES.items():
        nib.save(nib.Nifti1Image(ellipsoid(shape), affine), folder / f"{name}.nii.gz")


def ellipsoid(shape: tuple[int, int, int]) -> np.ndarray:
    """Voxels (int16) computed from integers alone, so that no rounding comes in; 0 outside."""
    x, y, z = (2 * np.arange(n).reshape(np.roll((-1, 1, 1), i)) - n + 1 for i, n in enumerate(shape))
    a, b, c = shape
    inside = (b * c * x) ** 2 + (a * c * y) ** 2 + (a * b * z) ** 2 < (a * b * c) ** 2 * 4 // 5
    texture = 200 + 3 * ((x * x + 2 * y * y + 3 * z * z + x * y + y * z) % 251)
    return np.where(inside, texture, 0).astype(np.int16)
