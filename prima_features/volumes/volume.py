"""One series as a volume: as acquired, within size limits, and reoriented to LPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.studies.voxels import MAX_VOXELS
from prima_features.wording import count

PLANES = ("axial", "coronal", "sagittal")
"""The plane of the acquired slices, by the axis of (z, y, x) along which they are stacked."""

GUESS, GUESS_MATRIX = "guess", "guess-matrix"
KNOWN_BY = {
    "acquisition": "DICOM: the slices, as acquired",
    "option": "--slice-axis",
    "sidecar": "ImageOrientationPatientDICOM in the JSON sidecar",
    "header": "the NIfTI header",
    "voxel-size": "the axis with the longest voxels",
    GUESS_MATRIX: "guessed: the axis with the fewest samples of an isotropic image",
    GUESS: "guessed: the third axis, since nothing in the file identifies it",
}
"""How a slice axis can be determined."""


ORIENTATION_UNKNOWN = "orientation-unknown"
"""Flag: the header does not state the orientation, so left and right are a convention."""
SHEARED = "sheared"
"""Flag: slices are shifted in-plane, as under a tilted gantry. They are read as if they were not shifted."""
SHEAR = 0.05
"""Sine of the angle between the slices' normal and their stacking direction, above which they are sheared."""


def any_number(n_slices: int) -> None:
    """Accept any number of slices."""


@dataclass(frozen=True)
class SizeLimits:
    """Limits on a series' number of slices and voxels."""

    min_slices: int = 5
    """Fewer are a localizer or a fragment, not a volume."""
    check_slices: Callable[[int], None] = any_number
    """An encoder's own check of the number of slices; raises `SeriesError`."""

    def check(self, shape: Sequence[int], slice_axis: int) -> None:
        """Raise `SeriesError` unless a volume of `shape`, with its slices along `slice_axis`, can be used."""
        slices = shape[slice_axis]
        if slices < self.min_slices:
            raise SeriesError(
                f"it has {count(slices, 'slice')}, fewer than {self.min_slices}",
                hint="if it is a whole volume, lower the limit with --min-slices",
            )
        self.check_slices(slices)
        if (voxels := shape[0] * shape[1] * shape[2]) > MAX_VOXELS:
            raise SeriesError(f"its header declares {voxels} voxels, more than any head scan has")


def format_shape(shape: Sequence[int]) -> str:
    """For example `256 x 256 x 128`."""
    return " x ".join(map(str, shape))


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """The voxel grid of a scan as stored, and how the acquired image was reoriented from it."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    """(4, 4), voxel indices to mm in RAS."""
    axes: tuple[int, int, int] = (0, 1, 2)
    """The stored axis that became each axis (columns, rows, slices) of the acquired image."""
    flipped: tuple[bool, bool, bool] = (False, False, False)
    """Whether the direction of that axis was reversed."""

    def to_stored(self, values: np.ndarray) -> np.ndarray:
        """An array (columns, rows, slices) on the acquired image's grid, on the stored grid."""
        turned = np.flip(values, tuple(axis for axis in range(3) if self.flipped[axis]))
        return turned.transpose(np.argsort(self.axes))

    def from_stored(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `to_stored`."""
        return np.flip(values.transpose(self.axes), tuple(axis for axis in range(3) if self.flipped[axis]))


@dataclass(frozen=True)
class Acquired:
    """One volume as acquired, before resampling."""

    image: sitk.Image
    """3-D, with the slices stacked along its third axis."""
    slice_axis_known_by: str = "acquisition"
    """See `Volume.slice_axis_known_by`."""
    flags: tuple[str, ...] = ()
    """See `Volume.flags`."""
    stored: StoredGrid | None = field(default=None, compare=False)
    """The file's grid, if the image was reoriented from a file's voxel order; None for DICOM slices. See `grid`."""

    def copy(self) -> Acquired:
        """An equal volume that can be changed: SimpleITK copies the voxels of `image` only when they are changed."""
        stored = self.stored and replace(self.stored, affine=self.stored.affine.copy())
        return replace(self, image=sitk.Image(self.image), stored=stored)

    @property
    def grid(self) -> StoredGrid:
        """The grid of the scan as stored; for DICOM slices that of columns, rows and slices."""
        if self.stored is not None:
            return self.stored
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(self.image.GetDirection(), (3, 3)) * self.image.GetSpacing()
        affine[:3, 3] = self.image.GetOrigin()
        columns, rows, slices = self.image.GetSize()
        return StoredGrid((columns, rows, slices), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


@dataclass(frozen=True)
class Volume:
    """One series in LPS orientation: z to the head, y to the back, x to the left."""

    values: np.ndarray
    """(z, y, x), in the stored number type."""
    spacing: tuple[float, float, float]
    """Distance between samples along (z, y, x), mm."""
    slice_axis: int
    """The axis of (z, y, x) along which the acquired slices are stacked."""
    slice_axis_known_by: str = "acquisition"
    """How the slice axis was determined, one of `KNOWN_BY`."""
    flags: tuple[str, ...] = ()
    """Doubts about the volume, one short word each, e.g. `orientation-unknown`. Not errors."""

    @property
    def plane(self) -> str:
        """`axial`, `coronal` or `sagittal`."""
        return PLANES[self.slice_axis]


_TIE = 1e-4
"""Direction cosines that differ by less are equal: files round differently."""


def to_lps(image: sitk.Image) -> Volume:
    """Permute and flip axes, without resampling, so that they run to L, P and S most closely.

    Args:
        image: 3-D, slices stacked along its third axis.
    """
    x_y_z, flipped = lps_axes(image)
    values = sitk.GetArrayViewFromImage(image).transpose([2 - axis for axis in reversed(x_y_z)])
    values = np.flip(values, tuple(2 - axis for axis in range(3) if flipped[axis]))
    dx, dy, dz = (image.GetSpacing()[axis] for axis in x_y_z)
    return Volume(
        values=np.array(values, order="C"),  # a copy: the view is invalid once the image is freed
        spacing=(dz, dy, dx),
        slice_axis=2 - x_y_z.index(2),
    )


def lps_axes(image: sitk.Image) -> tuple[list[int], list[bool]]:
    """The image axis along each of x, y and z, and whether it runs in the opposite direction."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    x_y_z = _nearest_axes(direction)
    return x_y_z, [bool(direction[world, axis] < 0) for world, axis in enumerate(x_y_z)]


def _nearest_axes(direction: np.ndarray) -> list[int]:
    """The image axis along each of x, y and z: the largest cosine first, as in SimpleITK.

    Of cosines within `_TIE` the one in the last row and column is used, so that the orientation of a volume tilted by
    exactly 45 degrees does not depend on rounding. SimpleITK breaks exact ties in this way.
    """
    cosines = np.abs(direction)
    order = [0, 0, 0]
    for _ in range(3):
        world, axis = np.argwhere(cosines >= cosines.max() - _TIE)[-1]
        order[world] = int(axis)
        cosines[world, :] = cosines[:, axis] = -1
    return order
