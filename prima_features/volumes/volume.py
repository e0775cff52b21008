"""One series as a volume."""

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

PLANES = ("axial", "coronal", "sagittal")
"""The plane of the acquired slices, by the axis of (z, y, x) that they are stacked along."""

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


SHEARED = "sheared"
"""Flag: slices are shifted in-plane, as under a tilted gantry. They are read as if they were not."""
SHEAR = 0.05
"""Sine of the angle between the slices' normal and the direction they are stacked in, above which they are sheared."""


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """The voxel grid of a scan as it is stored, and how the acquired image was turned from it."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    """(4, 4), voxel indices to mm in RAS."""
    axes: tuple[int, int, int] = (0, 1, 2)
    """The stored axis that became each axis (columns, rows, slices) of the acquired image."""
    flipped: tuple[bool, bool, bool] = (False, False, False)
    """Whether the direction of that axis was reversed."""

    def to_stored(self, values: np.ndarray) -> np.ndarray:
        """An array (columns, rows, slices) on the acquired image's grid, on the stored grid."""
        turned = np.flip(values, [axis for axis in range(3) if self.flipped[axis]])
        return turned.transpose(np.argsort(self.axes))


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
    """The file's grid, if the image was turned from a file's voxel order; None for DICOM slices. See `grid`."""

    @property
    def grid(self) -> StoredGrid:
        """The grid of the scan as it is stored; for DICOM slices that of the columns, rows and slices."""
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
    """Which of (z, y, x) the acquired slices are stacked along."""
    slice_axis_known_by: str = "acquisition"
    """How the slice axis was determined, one of `KNOWN_BY`."""
    flags: tuple[str, ...] = ()
    """Doubts about the volume, one short word each, e.g. `orientation-unknown`. Not errors."""

    @property
    def plane(self) -> str:
        """`axial`, `coronal` or `sagittal`."""
        return PLANES[self.slice_axis]
