"""The stored voxels of a scan, and their resampling onto another grid in one interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from prima_features.volumes.volume import Acquired

_DIGITS = 10


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
    order: Literal[0, 1] = 1,
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
