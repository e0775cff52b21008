"""Brain masks from files, brought onto the stored grid of a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, OtherImage
from prima_features.studies.voxels import find_data_file, open_nifti, open_other
from prima_features.volumes.dicom import temporary_folder
from prima_features.volumes.nifti import read_nifti
from prima_features.volumes.other_formats import to_nifti
from prima_features.volumes.resampling import Grid, resample, stored_values
from prima_features.volumes.volume import SizeLimits

HALF = 0.5
"""Least probability of a voxel of the brain."""
_FREESURFER = "brainmask.mgz"
"""A skull-stripped image; voxels that a user deleted have the value 1."""
_INSIDE = 0.5
"""Least fraction of the mask within the field of view of the scan."""
_WHOLE = 0.98
"""Fraction of the scan from which the mask is the whole image."""
_EMPTY = 0.5
"""Largest fraction of the mask in which the scan is exactly 0."""
_SAME = 1e-4
_AGAIN = "check that the file is there and complete"
_CHECK = "check that the mask was made from this scan"


def read_mask(path: Path, values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, str]:
    """A mask on the grid of a scan: the nearest voxel in the world coordinates that both state.

    Voxels above 0 are the brain in masks, label images and skull-stripped images, and voxels of at least 0.5 in maps of
    probabilities (fractions from 0 to 1).

    Args:
        path: an image of any format that can be embedded, on any grid.
        values: (i, j, k), the scan.
        affine: (4, 4), its voxel indices to mm in RAS.

    Returns:
        Bool (i, j, k), and what the file contains unless it is a plain mask.

    Raises:
        SeriesError: the file cannot be read, has several volumes or complex voxels, or does not fit the scan.
    """
    found, grid = _read(path)
    if found.min() < 0:
        raise SeriesError(
            "its brain mask has negative values", hint="give a mask, which is 0 outside the brain"
        )
    found, kind = _as_mask(found, path.name)
    if not found.any():
        raise SeriesError("its brain mask is empty", hint="give another mask, or none")
    if found.shape == values.shape and np.allclose(grid, affine, atol=_SAME):
        inside = found
    else:
        inside = resample(found.view(np.uint8), grid, Grid(values.shape, affine), order=0) > 0
    _check(found, grid, inside, values, affine)
    return inside, kind


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (i, j, k) float32 and affine of an image on its own grid."""
    one_slice = SizeLimits(min_slices=1)
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            _refuse_volumes(open_nifti(path).n_volumes)
            return stored_values(read_nifti(NiftiImage(path), limits=one_slice))
        other = OtherImage(path, find_data_file(path))
        _refuse_volumes(open_other(other).n_volumes)
        with temporary_folder() as folder:
            return stored_values(read_nifti(to_nifti(other, folder), limits=one_slice))
    except OSError as error:
        reason = error.strerror or "its compressed data is damaged"
        raise SeriesError(f"its brain mask cannot be used: {reason}", hint=_AGAIN) from error
    except ValueError as error:
        hint = error.hint if isinstance(error, SeriesError) else "give an image, such as mask.nii.gz"
        raise SeriesError(f"its brain mask cannot be used: {error}", hint=hint) from error


def _refuse_volumes(n: int) -> None:
    if n > 1:
        raise SeriesError(f"it has {n} volumes, not one", hint="give a mask with three dimensions")


def _as_mask(values: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    if name.lower() == _FREESURFER:
        return values > 1, ""
    highest = values.max()
    levels = np.unique(values.ravel()[:: max(1, values.size // 100_000)])
    if len(levels) <= 2:
        return values > 0, ""
    if highest <= 1 + 1e-4:
        return values >= HALF, f"probabilities >= {HALF}"
    return values > 0, "labels > 0" if (levels == np.rint(levels)).all() else "values > 0"


def _check(
    mask: np.ndarray, grid: np.ndarray, inside: np.ndarray, values: np.ndarray, affine: np.ndarray
) -> None:
    if not inside.any():
        raise SeriesError("its brain mask does not overlap the scan", hint=_CHECK)
    share = _volume(inside, affine) / _volume(mask, grid)
    if share < _INSIDE:
        raise SeriesError(
            f"only {100 * share:.0f}% of its brain mask is within the field of view of the scan", hint=_CHECK
        )
    if inside.mean() > _WHOLE:
        raise SeriesError("its brain mask covers the entire image", hint="give a mask of the brain, or none")
    empty = 1 - np.count_nonzero(values[inside]) / np.count_nonzero(inside)
    if empty > _EMPTY:
        raise SeriesError(f"the scan is 0 in {100 * empty:.0f}% of its brain mask", hint=_CHECK)


def _volume(mask: np.ndarray, affine: np.ndarray) -> float:
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])))
