"""Brain mask and position in MNI space of a scan, and its resampling onto the grid of an encoder.

Nothing is resampled twice: matrices are composed, and the stored voxels are read once.

    stored grid --affine--> scan, mm --to_mni--> MNI152NLin6Asym, mm --> world of the encoder's grid
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from prima_features.volumes.brain_check import measure
from prima_features.volumes.volume import Acquired, to_lps

STRIPPED = "zeros outside the brain"
"""`Anatomy.mask_from` of a scan that was already skull-stripped."""

_BLANK = 0.9
"""Least fraction of exact zeros outside the foreground of a stripped scan."""
_RING = 0.05
"""Largest `brain_check.Appearance.ring` of a stripped scan: a head has air, bone and fluid under the scalp."""
_LITRES = (0.4, 2.6)
"""Volume of a brain or of a brain with its fluid, from infants to large adults."""
_DIGITS = 10


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What is known of the brain in one scan."""

    mask: np.ndarray | None = None
    """Bool, True in the brain, on the grid of the scan as stored (`volume.StoredGrid`); None if unknown."""
    to_mni: np.ndarray | None = None
    """(4, 4) float64, from the scan's to MNI152NLin6Asym coordinates, both mm in RAS; None if unknown."""
    mask_from: str = ""
    """Source of the mask, for the embeddings file."""
    to_mni_from: str = ""
    """Source of the affine."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid that an encoder reads."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    """(4, 4), voxel indices to mm in RAS, in the space of a template."""

    @property
    def centre(self) -> np.ndarray:
        """(3,) mm, midway between the first and the last voxel."""
        return (self.affine @ [*((np.array(self.shape) - 1) / 2), 1.0])[:3]


def grid(shape: tuple[int, int, int], first: tuple[float, float, float], axes: str = "RAS") -> Grid:
    """A grid of 1 mm.

    Args:
        shape: its voxels.
        first: position of the first voxel, mm in RAS.
        axes: direction in which the indices of each of x, y and z grow, such as LAS.
    """
    signs = [1.0 if axis in "RAS" else -1.0 for axis in axes]
    affine = np.diag([*signs, 1.0])
    affine[:3, 3] = first
    return Grid(shape, affine)


def stored_values(acquired: Acquired) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a scan on its stored grid as float32, NaN replaced by 0, and the grid's affine (4, 4)."""
    on_image = sitk.GetArrayViewFromImage(acquired.image).transpose()
    values = acquired.grid.to_stored(on_image).astype(np.float32)
    return np.nan_to_num(values, copy=False), acquired.grid.affine


def resample(
    values: np.ndarray,
    affine: np.ndarray,
    to: Grid,
    to_world: np.ndarray | None = None,
    order: int = 1,
    outside: Literal["constant", "nearest"] = "constant",
) -> np.ndarray:
    """Read a stored volume on another grid, in one interpolation.

    Args:
        values: (i, j, k).
        affine: (4, 4), its voxel indices to mm.
        to: the grid to read it on.
        to_world: (4, 4), from the scan's mm to those of `to`; None if they are the same.
        order: 1 is trilinear, 0 the nearest voxel, for masks.
        outside: beyond the centres of the outermost voxels, 0 or the nearest voxel.

    Returns:
        Values of shape `to.shape` in the number type of `values`.

    Raises:
        numpy.linalg.LinAlgError: a matrix is singular.
    """
    forward = affine if to_world is None else to_world @ affine
    # Rounding keeps a voxel at the border of the volume inside of it.
    indices = np.round(np.linalg.inv(forward) @ to.affine, _DIGITS)
    return ndimage.affine_transform(
        values, indices[:3, :3], indices[:3, 3], output_shape=to.shape, order=order, mode=outside, cval=0
    )


def rigid(affine: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The rotation and translation (4, 4) in an affine (4, 4): sizes are kept.

    The rotation is the orthogonal factor of the polar decomposition. The point that the affine maps to `centre` is
    still mapped there.

    Args:
        affine: between two spaces in mm.
        centre: (3,) mm.
    """
    left, _, right = np.linalg.svd(affine[:3, :3])
    rotation = left @ right
    point = np.linalg.inv(affine) @ [*centre, 1.0]
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = centre - rotation @ point[:3]
    return result


def litres(mask: np.ndarray, affine: np.ndarray) -> float:
    """Volume of a mask (i, j, k) on a grid with an affine (4, 4)."""
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1e6)


def scale(affine: np.ndarray) -> float:
    """Mean linear scale of an affine (4, 4)."""
    return float(np.cbrt(abs(np.linalg.det(affine[:3, :3]))))


def stripped_mask(acquired: Acquired) -> np.ndarray | None:
    """The nonzero voxels of a scan that was already skull-stripped, on its stored grid; None if it was not.

    A scan is stripped if nearly all of its background is exactly 0, its foreground has the volume of a brain, and
    there is no dark layer (air, bone, fluid) under its outline. Zeros alone do not suffice: defaced and resampled
    heads are padded with them.
    """
    volume = to_lps(acquired.image)
    if volume.values.min() < 0 or (volume.values == 0).mean() < 0.2:
        return None
    found = measure(volume)
    mask = acquired.grid.to_stored(sitk.GetArrayViewFromImage(acquired.image).transpose() != 0)
    low, high = _LITRES
    if (
        found.background < _BLANK
        or found.ring >= _RING
        or not low <= litres(mask, acquired.grid.affine) <= high
    ):
        return None
    return mask


def find_anatomy(acquired: Acquired) -> Anatomy:
    """What is known of the brain in a scan without any further file: its mask, if it was skull-stripped."""
    mask = stripped_mask(acquired)
    return Anatomy() if mask is None else Anatomy(mask=mask, mask_from=STRIPPED)
