"""One series to one volume, whatever it is stored as."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.preprocessing import Preprocessing
from prima_features.studies.study import DicomFrames, DicomSlices, NiftiImage, Series
from prima_features.volumes.dicom import read_slices, temporary_folder, unpack_frames
from prima_features.volumes.limits import SizeLimits
from prima_features.volumes.nifti import SliceAxis, read_nifti
from prima_features.volumes.resample import resample_in_plane, to_lps
from prima_features.volumes.volume import Volume


@dataclass(frozen=True)
class ReadOptions:
    """What a user may choose about reading."""

    slice_axis: SliceAxis | None = None
    """Direction of the slice axis of NIfTI images; None finds it (see `volumes.nifti.find_slice_axis`)."""
    min_slices: int = 5


def read_volume(
    series: Series, preprocessing: Preprocessing = Preprocessing(), options: ReadOptions = ReadOptions()
) -> Volume:
    """Read a series, resample it in plane and turn it to LPS (prima_features.volumes.resample).

    Raises:
        SeriesError: it cannot be read, is constant or not finite, or has a size out of limits.
    """
    image = _read_image(series, SizeLimits(preprocessing, options.min_slices), options)
    check_values(sitk.GetArrayViewFromImage(image))
    return to_lps(resample_in_plane(image, preprocessing.matrix))


def check_values(values: np.ndarray) -> None:
    """Raise `SeriesError` where the voxels hold no picture: not finite, or all the same."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        share = 100 * (1 - np.isfinite(values).mean())
        raise SeriesError(
            f"{share:.2g}% of its voxels are NaN or infinite", hint="replace them, for instance with 0"
        )
    if values.min() == values.max():
        raise SeriesError(f"all its voxels have the value {values.flat[0]}: there is no picture in it")


def _read_image(series: Series, limits: SizeLimits, options: ReadOptions) -> sitk.Image:
    try:
        match series.image:
            case NiftiImage():
                return read_nifti(series.image, options.slice_axis, limits)
            case DicomSlices(stacks):
                limits.check((len(stacks[0]), 1, 1), slice_axis=0)
                return read_slices(series.image)
            case DicomFrames(volumes=volumes):
                with temporary_folder() as folder:
                    unpacked = NiftiImage(unpack_frames(series.image, folder), volumes)
                    return read_nifti(unpacked, slice_axis=None, limits=limits)
    except OSError as error:
        raise SeriesError(f"the file cannot be read: {error.strerror or 'input/output error'}") from error
