"""Brain masks from files, brought onto the stored grid of a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prima_features.errors import SeriesError
from prima_features.studies.nifti import lacks_orientation
from prima_features.studies.study import NiftiImage, OtherImage
from prima_features.studies.voxels import find_data_file, open_nifti, open_other
from prima_features.volumes.dicom import temporary_folder
from prima_features.volumes.nifti import read_nifti
from prima_features.volumes.other_formats import to_nifti
from prima_features.volumes.resampling import Grid, resample, stored_values
from prima_features.volumes.volume import ORIENTATION_UNKNOWN, SizeLimits

HALF = 0.5
"""Least probability of a voxel of the brain."""
_FREESURFER = "brainmask.mgz"
"""End of the name of a skull-stripped image; voxels that a user deleted have the value 1."""
_INSIDE = 0.5
"""Least fraction of the mask within the field of view of the scan."""
_WHOLE = 0.98
"""Fraction of the scan from which the mask is the whole image."""
_EMPTY = 0.5
"""Largest fraction of the mask in which the scan is exactly 0."""
_MOST_LITRES = 3.0
"""Whole heads have this and more."""
_UNITS = ((0.0, 1.1, 1.0), (90.0, 110.0, 100.0), (250.0, 255.0, 255.0))
"""Bounds of the largest value in maps of probabilities (interpolation may overshoot), and what stands for 1."""
_SURE, _LEAST_SURE = 0.9, 0.3
"""In maps of probabilities, at least this fraction of the voxels above one half is close to 1 or the largest value,
unlike in skull-stripped images that were scaled to 1, 100 or 255."""
_FAINT, _LEAST_LIKELY = 0.05, 0.5
"""And in those up to 100 or 255, at least this fraction of what is not faint is above one half, unlike in labels."""
_SAME = 1e-4
_AGAIN = "check that the file is there and complete"
_BRAIN = "give a mask of the brain, which is 0 outside of it, or none"
_CHECK = "check that the mask was made from this scan"


def read_mask(path: Path, values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, str]:
    """A mask on the grid of a scan: the nearest voxel in the world coordinates that both state.

    Voxels above 0 are the brain in masks, label images and skull-stripped images, and voxels of at least one half in
    maps of probabilities (from 0 to 1, 100 or 255).

    Args:
        path: an image of any format that can be embedded, on any grid.
        values: (i, j, k), the scan.
        affine: (4, 4), its voxel indices to mm in RAS.

    Returns:
        Bool (i, j, k), and what the file contains unless it is a plain mask.

    Raises:
        SeriesError: the file cannot be read, has several volumes or complex voxels, does not state where its voxels
            are, or does not fit the scan.
    """
    found, grid, is_placed = _read(path)
    if found.min() < 0:
        raise SeriesError(
            "its brain mask has negative values", hint="give a mask, which is 0 outside the brain"
        )
    found, kind = _as_mask(found, path.name)
    if not found.any():
        raise SeriesError("its brain mask is empty", hint="give another mask, or none")
    if found.shape == values.shape and np.allclose(grid, affine, atol=_SAME):
        inside = found
    elif not is_placed or (found.shape == values.shape and _is_default(grid)):
        raise SeriesError(
            "the header of its brain mask does not state the position of the voxels",
            hint="copy the geometry of the scan to the mask, for example with fslcpgeom",
        )
    else:
        inside = resample(found.view(np.uint8), grid, Grid(values.shape, affine), order=0) > 0
    _check(found, grid, inside, values, affine)
    return inside, kind


def _is_default(affine: np.ndarray) -> bool:
    """Whether an affine is what programs write if they are not told another: the first voxel at 0, axes not turned."""
    return bool(
        (affine[:3, 3] == 0).all() and np.count_nonzero(affine[:3, :3]) == 3 and (np.diag(affine) != 0).all()
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """Values (i, j, k) float32 and affine of an image on its own grid, and whether its header states it."""
    one_slice = SizeLimits(min_slices=1)
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            _refuse_volumes(open_nifti(path).n_volumes)
            acquired = read_nifti(NiftiImage(path), limits=one_slice)
            return *stored_values(acquired), ORIENTATION_UNKNOWN not in acquired.flags
        other = OtherImage(path, find_data_file(path))
        opened = open_other(other)
        _refuse_volumes(opened.n_volumes)
        with temporary_folder() as folder:
            acquired = read_nifti(to_nifti(other, folder), limits=one_slice)
            is_placed = ORIENTATION_UNKNOWN not in acquired.flags and not lacks_orientation(opened)
            return *stored_values(acquired), is_placed
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
    if name.lower().endswith(_FREESURFER):
        return values > 1, ""
    levels = np.unique(values.ravel()[:: max(1, values.size // 100_000)])
    if len(levels) <= 2:
        return values > 0, ""
    if (one := _one(values)) is not None:
        return values >= HALF * one, f"probabilities >= {HALF}"
    return values > 0, "labels > 0" if (levels == np.rint(levels)).all() else "values > 0"


def _one(values: np.ndarray) -> float | None:
    """The value that stands for 1 in a map of probabilities; None for other images."""
    highest = float(values.max())
    one = next((one for low, high, one in _UNITS if low <= highest <= high), None)
    if one is None:
        return None
    likely = values >= HALF * one
    n_likely = np.count_nonzero(likely)
    if np.count_nonzero(values[likely] >= _SURE * min(highest, one)) < _LEAST_SURE * n_likely:
        return None
    if one > 1 and n_likely < _LEAST_LIKELY * np.count_nonzero(values > _FAINT * one):
        return None
    return one


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
        raise SeriesError("its brain mask covers the entire image", hint=_BRAIN)
    if (litres := _volume(inside, affine) / 1e6) > _MOST_LITRES:
        raise SeriesError(f"its brain mask has {litres:.1f} litres, more than any brain", hint=_BRAIN)
    empty = 1 - np.count_nonzero(values[inside]) / np.count_nonzero(inside)
    if empty > _EMPTY:
        raise SeriesError(f"the scan is 0 in {100 * empty:.0f}% of its brain mask", hint=_CHECK)


def _volume(mask: np.ndarray, affine: np.ndarray) -> float:
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])))
