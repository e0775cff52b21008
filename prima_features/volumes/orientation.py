"""Reorientation to LPS, equal to SimpleITK's except for ties."""

import numpy as np
import SimpleITK as sitk

from prima_features.volumes.volume import Volume

_TIE = 1e-4
"""Direction cosines that differ by less are equal: files round them differently."""


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
        values=np.array(values, order="C"),  # a copy: the view's memory goes with the image
        spacing=(dz, dy, dx),
        slice_axis=2 - x_y_z.index(2),
    )


def lps_axes(image: sitk.Image) -> tuple[list[int], list[bool]]:
    """The image axis that runs along each of x, y and z, and whether it runs the other way."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    x_y_z = _nearest_axes(direction)
    return x_y_z, [bool(direction[world, axis] < 0) for world, axis in enumerate(x_y_z)]


def _nearest_axes(direction: np.ndarray) -> list[int]:
    """The image axis that runs along each of x, y and z: the largest cosine first, as SimpleITK does.

    Of cosines within `_TIE` the one of the last row and column is taken, so that a volume tilted by exactly 45 degrees
    is turned alike however its cosines were rounded. SimpleITK breaks exact ties like this.
    """
    cosines = np.abs(direction)
    order = [0, 0, 0]
    for _ in range(3):
        world, axis = np.argwhere(cosines >= cosines.max() - _TIE)[-1]
        order[world] = int(axis)
        cosines[world, :] = cosines[:, axis] = -1
    return order
