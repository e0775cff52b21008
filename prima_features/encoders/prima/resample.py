"""In-plane resampling, equal to the public Prima pipeline's to the bit, except for ties."""

import SimpleITK as sitk


def resample_in_plane(image: sitk.Image, matrix: int) -> sitk.Image:
    """Resample the first two axes linearly to `matrix` x `matrix`; the third, the slice axis, is untouched.

    The first sample's centre is the anchor: output sample i of an axis of n samples is read at i * n /
    matrix. Reads up to half a voxel beyond the last centre take the last sample. Reads beyond that take SimpleITK's
    number for the pixel type (int16: 2, uint16: 3, ...), which is what the public pipeline passes as its fill value.
    Integer images are truncated toward zero.

    The geometry is handed to SimpleITK as it is, since its rounding decides where a value that is whole
    up to 1e-13 is truncated to: with another geometry a few voxels in a thousand differ by one.
    """
    columns, rows, slices = image.GetSize()
    dx, dy, dz = image.GetSpacing()
    resampled = sitk.Resample(
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
    return _settle_borders(resampled, _border(columns, matrix), _border(rows, matrix))


def _border(samples: int, matrix: int) -> int | None:
    """The output sample that is read exactly half a voxel beyond the last centre, if there is one.

    There is if `samples` is 64 or 128 (for a matrix of 256). SimpleITK's rounding would decide whether it is image or
    fill, by geometry and by line.
    """
    twice = (2 * samples - 1) * matrix
    return twice // (2 * samples) if twice % (2 * samples) == 0 else None


def _settle_borders(image: sitk.Image, column: int | None, row: int | None) -> sitk.Image:
    """Give such a column and row the last sample, which the one before is already."""
    if column is None and row is None:
        return image
    values = sitk.GetArrayFromImage(image)
    if column is not None:
        values[:, :, column] = values[:, :, column - 1]
    if row is not None:
        values[:, row] = values[:, row - 1]
    settled = sitk.GetImageFromArray(values)
    settled.CopyInformation(image)
    return settled


def resample_slices(image: sitk.Image, n: int) -> sitk.Image:
    """Resample the third axis linearly to `n` samples, as `resample_in_plane` does with the others."""
    columns, rows, slices = image.GetSize()
    dx, dy, dz = image.GetSpacing()
    return sitk.Resample(
        image,
        (columns, rows, n),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (dx, dy, dz * slices / n),
        image.GetDirection(),
        float(image.GetPixelID()),
        image.GetPixelID(),
    )
