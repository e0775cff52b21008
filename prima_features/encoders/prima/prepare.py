"""From a series on disk to the subvolumes that the tokenizer reads."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import SimpleITK as sitk

from prima_features.encoders.base import Picture, Prepared
from prima_features.encoders.prima.picture import draw
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes, cut
from prima_features.studies.study import Series
from prima_features.volumes import ReadOptions, Volume, read_series
from prima_features.volumes.brain_check import check_brain
from prima_features.volumes.volume import Acquired, any_number, to_lps


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


logger = logging.getLogger(__name__)


def read_volume(
    series: Series, preprocessing: Preprocessing = Preprocessing(), options: ReadOptions = ReadOptions()
) -> Volume:
    """Read a series, resample it in plane and turn it to LPS.

    Raises:
        SeriesError: it cannot be read, is constant or not finite, or has a size out of limits.
    """
    return to_volume(acquire(series, preprocessing, options), preprocessing)


def acquire(
    series: Series, preprocessing: Preprocessing = Preprocessing(), options: ReadOptions = ReadOptions()
) -> Acquired:
    """Read a series as acquired, and refuse it if it has more slices than the model takes.

    Raises:
        SeriesError: see `read_volume`.
    """
    resample = options.max_subvolumes_action == "resample"
    return read_series(series, options, any_number if resample else preprocessing.check_slices)


def to_volume(acquired: Acquired, preprocessing: Preprocessing = Preprocessing()) -> Volume:
    """Resample an acquired image in plane, and along the slices if it has too many, and turn it to LPS."""
    flags = acquired.flags
    image = resample_in_plane(acquired.image, preprocessing.matrix)
    if image.GetSize()[2] > preprocessing.most_slices:
        image, flags = resample_slices(image, preprocessing.most_slices), (*flags, "slices-resampled")
    return replace(
        to_lps(image),
        slice_axis_known_by=acquired.slice_axis_known_by,
        flags=tuple(dict.fromkeys(flags)),
    )


@dataclass(frozen=True)
class PrimaPreparer:
    """Reads a series and cuts it into subvolumes; an `encoders.base.Preparer`."""

    preprocessing: Preprocessing

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read or cannot be used.
        """
        volume = read_volume(series, self.preprocessing, options)
        z, y, x = volume.values.shape
        kept = cut(volume, self.preprocessing)
        return Prepared(
            arrays=kept,
            weight=len(kept.values),
            n_tokens=len(kept),
            plane=volume.plane,
            shape=(z, y, x),
            spacing=volume.spacing,
            slice_axis_known_by=volume.slice_axis_known_by,
            flags=(*volume.flags, *self._doubts(volume, kept, series.name)),
            picture=self._draw(volume, kept) if picture else None,
        )

    def _doubts(self, volume: Volume, kept: Subvolumes, name: str) -> tuple[str, ...]:
        """Flags of a series that does not look like a whole head. A check that fails costs no series."""
        few = ("little-foreground",) if kept.threshold < self.preprocessing.start_percent else ()
        try:
            return few + check_brain(volume, name)
        except Exception as error:
            logger.debug("A series could not be checked", exc_info=error)
            return few

    def _draw(self, volume: Volume, kept: Subvolumes) -> Picture | None:
        """The picture of a series; None if drawing fails, which costs no series."""
        try:
            return draw(volume, kept, self.preprocessing)
        except Exception as error:
            logger.debug("A series could not be drawn", exc_info=error)
            return None
