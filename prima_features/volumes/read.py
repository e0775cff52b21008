"""One series to one volume, whatever it is stored as."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.preprocessing import PLANES, Preprocessing
from prima_features.studies.dicom.geometry import slice_axis as dicom_slice_axis
from prima_features.studies.dicom.read import read_headers
from prima_features.studies.study import DicomFrames, DicomSlices, NiftiImage, Series
from prima_features.volumes.dicom import read_frames, read_slices, temporary_folder, unpack_frames
from prima_features.volumes.limits import SizeLimits
from prima_features.volumes.nifti import read_nifti, read_nifti_slices
from prima_features.volumes.nifti_geometry import SliceAxis
from prima_features.volumes.resample import resample_in_plane, to_lps
from prima_features.volumes.volume import Acquired, Volume

READER_VERSION = 2
"""Part of each study's settings hash. Raise it if a change to reading changes the numbers of any scan: studies that an
earlier release embedded are then embedded again instead of being kept."""


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
    acquired = _read_image(series, SizeLimits(preprocessing, options.min_slices), options)
    check_values(sitk.GetArrayViewFromImage(acquired.image))
    volume = to_lps(resample_in_plane(acquired.image, preprocessing.matrix))
    return replace(
        volume,
        slice_axis_known_by=acquired.slice_axis_known_by,
        flags=tuple(dict.fromkeys(series.flags + acquired.flags)),
    )


def read_slice_axis(series: Series, wanted: SliceAxis | None = None) -> tuple[str, str, tuple[str, ...]]:
    """The plane of a series' slices, how the slice axis is known (`volume.KNOWN_BY`), and flags, from headers alone.

    The plane is empty if the header cannot be read; such a series fails with its reason when it is embedded.
    """
    if isinstance(series.image, NiftiImage):
        try:
            axis, known_by, flags = read_nifti_slices(series.image, wanted)
        except (SeriesError, OSError):
            return "", "", series.flags
        return PLANES[axis], known_by, series.flags + flags
    headers = read_headers(series.files[0])
    orientation = headers[0].orientation if isinstance(headers, list) else ()
    return PLANES[2 - dicom_slice_axis(orientation)] if orientation else "", "acquisition", series.flags


def check_values(values: np.ndarray) -> None:
    """Raise `SeriesError` where the voxels hold no picture: not finite, or all the same."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        share = 100 * (1 - np.isfinite(values).mean())
        raise SeriesError(
            f"{share:.2g}% of its voxels are NaN or infinite", hint="replace them, for instance with 0"
        )
    if values.min() == values.max():
        raise SeriesError(f"all its voxels have the value {values.flat[0]}: there is no picture in it")


def _read_image(series: Series, limits: SizeLimits, options: ReadOptions) -> Acquired:
    try:
        match series.image:
            case NiftiImage():
                return read_nifti(series.image, options.slice_axis, limits)
            case DicomSlices(stacks):
                limits.check((len(stacks[0]), 1, 1), slice_axis=0)
                return read_slices(series.image)
            case DicomFrames(frames=frames) if frames:
                limits.check((len(frames[0]), 1, 1), slice_axis=0)
                return read_frames(series.image)
            case DicomFrames(volumes=volumes):
                with temporary_folder() as folder:
                    unpacked = NiftiImage(unpack_frames(series.image, folder), volumes)
                    return Acquired(read_nifti(unpacked, slice_axis=None, limits=limits).image)
    except OSError as error:
        raise SeriesError(f"the file cannot be read: {error.strerror or 'input/output error'}") from error
