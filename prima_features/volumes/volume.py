"""One series as a volume."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Acquired:
    """One volume as acquired, before resampling."""

    image: sitk.Image
    """3-D, with the slices stacked along its third axis."""
    slice_axis_known_by: str = "acquisition"
    """See `Volume.slice_axis_known_by`."""
    flags: tuple[str, ...] = ()
    """See `Volume.flags`."""


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
