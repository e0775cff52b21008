"""The volume that tokens are cut from."""

from dataclasses import dataclass

import numpy as np

PLANES = ("axial", "coronal", "sagittal")
"""The plane of the acquired slices, by the axis of (z, y, x) that they are stacked along."""


@dataclass(frozen=True)
class Volume:
    """One series, resampled in plane and in LPS orientation: z to the head, y to the back, x to the left."""

    values: np.ndarray
    """(z, y, x), in the stored number type. Two axes are `Preprocessing.matrix` long."""
    spacing: tuple[float, float, float]
    """Distance between samples along (z, y, x), mm."""
    slice_axis: int
    """Which of (z, y, x) the acquired slices are stacked along."""

    @property
    def plane(self) -> str:
        """`axial`, `coronal` or `sagittal`."""
        return PLANES[self.slice_axis]
