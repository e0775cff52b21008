"""In-plane resampling and reorientation to LPS (the public Prima pipeline's, to the bit)."""

import numpy as np
import SimpleITK as sitk

from prima_features.volumes.volume import Volume


def resample_in_plane(image: sitk.Image, matrix: int) -> sitk.Image:
    """Resample the first two axes linearly to `matrix` x `matrix`; the third, the slice axis, is untouched.

    The first sample's centre is the anchor: output sample i of an axis of n samples is read at i * n /
    matrix. What lies more than half a voxel beyond the last centre takes SimpleITK's number for the pixel
    type (int16: 2, uint16: 3, ...), which is what the public pipeline passes as its fill value. Integer
    images are truncated toward zero.

    The geometry is handed to SimpleITK as it is, since its rounding decides where a value that is whole
    up to 1e-13 is truncated to: with another geometry a few voxels in a thousand differ by one.
    """
    columns, rows, slices = image.GetSize()
    dx, dy, dz = image.GetSpacing()
    return sitk.Resample(
        image,
        (matrix, matrix, slices),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (dx * columns / matrix, dy * rows / matrix, dz),
        image.GetDirection(),
        float(image.GetPixelID()),
        image.GetPixelID(),
    )


def to_lps(image: sitk.Image) -> Volume:
    """Permute and flip axes, without resampling, so that they run to L, P and S most closely.

    Args:
        image: 3-D, slices stacked along its third axis.
    """
    orient = sitk.DICOMOrientImageFilter()
    orient.SetDesiredCoordinateOrientation("LPS")
    # How the axes lie is asked of SimpleITK with a corner of the image; numpy turns the voxels, which is quicker.
    orient.Execute(image[:1, :1, :1])
    x_y_z, flipped = orient.GetPermuteOrder(), orient.GetFlipAxes()
    values = sitk.GetArrayViewFromImage(image).transpose([2 - axis for axis in reversed(x_y_z)])
    values = np.flip(values, tuple(2 - axis for axis in range(3) if flipped[axis]))
    dx, dy, dz = (image.GetSpacing()[axis] for axis in x_y_z)
    return Volume(
        values=np.array(values, order="C"),  # a copy: the view's memory goes with the image
        spacing=(dz, dy, dx),
        slice_axis=2 - x_y_z.index(2),
    )
