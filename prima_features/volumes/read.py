"""Reading one series of any format: verified voxels with their geometry. No preprocessing of a model is applied."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.studies.dicom.header import slice_axis as dicom_slice_axis
from prima_features.studies.dicom.read import read_headers
from prima_features.studies.study import DicomFrames, DicomSlices, NiftiImage, OtherImage, Series
from prima_features.studies.voxels import classify
from prima_features.volumes.dicom import acquire_slices, temporary_folder, unpack_frames
from prima_features.volumes.nifti import read_nifti, read_nifti_slices
from prima_features.volumes.nifti_geometry import SliceAxis
from prima_features.volumes.other_formats import read_other_slices, to_nifti
from prima_features.volumes.sharing import is_shared, shared
from prima_features.volumes.volume import PLANES, Acquired, SizeLimits, any_number

READER_VERSION = 2
"""Part of each study's settings hash. Increase it if a change of reading changes the values of any scan: studies that
were embedded by an earlier release are then embedded again instead of being kept."""

_LARGEST = 1e30
"""Largest absolute value of a voxel. Sums of single-precision numbers overflow beyond about 1e36."""

_UNEVEN = 1e6
"""Largest ratio of the lowest to the highest value. Padding with -32768 next to low values gives some thousands."""


MASK_LIKE = "mask-like"
"""Flag: two or three values, integer labels of regions, or fractions from 0 to 1. In loose folders the finder leaves
out such files; elsewhere their names or headers declare them as images."""

NEGATIVE_BACKGROUND = "negative-background"
"""Flag: much of the image is far below 0, as in CT, or with padding values of some scanners."""
_FAR_BELOW, _MUCH = 0.1, 0.2
"""Lowest value relative to the highest, and fraction of voxels closer to the lowest value than to 0. Signed images (the
real part, phase) have a background around 0."""
_SAMPLE = 50_000


@dataclass(frozen=True)
class ReadOptions:
    """The user's options for reading."""

    slice_axis: SliceAxis | None = None
    """Direction of the slice axis of NIfTI images; None: find it (see `nifti_geometry.find_slice_axis`)."""
    min_slices: int = 5
    nan: Literal["refuse", "zero"] = "refuse"
    """NaN voxels: refuse the series, or replace them by 0."""
    max_subvolumes_action: Literal["fail", "resample"] = "fail"
    """A series with more slices than the encoder accepts: fail, or resample it to as many as it accepts."""


def read_series(
    series: Series, options: ReadOptions = ReadOptions(), check_slices: Callable[[int], None] = any_number
) -> Acquired:
    """Read a series: verified voxels in the stored number type, with their geometry.

    Within `sharing.reading_once` the files are read once for all encoders. Each caller gets an image of its own, which
    SimpleITK copies when it is changed.

    Args:
        series: the series to read.
        options: how to read it.
        check_slices: an encoder's own limit, called with the number of slices before any voxel is read; raises
            `SeriesError`.

    Raises:
        SeriesError: it cannot be read, is constant or not finite, or has a size out of limits.
    """
    if not is_shared():
        return _read_series(series, options, check_slices)
    outcome = shared(("series", series, options), lambda: _outcome(series, options, check_slices))
    if outcome.n_slices is not None:
        check_slices(outcome.n_slices)
    if isinstance(outcome.result, SeriesError):
        # A new error each time: one that is raised again would collect the tracebacks of all callers.
        raise copy(outcome.result) from outcome.result.__cause__
    return outcome.result.copy()


@dataclass(frozen=True)
class _Outcome:
    """The result of reading a series, as far as it is the same for all encoders."""

    result: Acquired | SeriesError
    n_slices: int | None
    """None if reading failed before the slices were counted."""


def _outcome(series: Series, options: ReadOptions, check_slices: Callable[[int], None]) -> _Outcome:
    """Read a series for the first encoder that asks for it.

    Raises:
        SeriesError: `check_slices` refuses it; another encoder may accept it.
    """
    n_slices, refused = None, False

    def check(n: int) -> None:
        nonlocal n_slices, refused
        n_slices, refused = n, True
        check_slices(n)
        refused = False

    try:
        return _Outcome(_read_series(series, options, check), n_slices)
    except SeriesError as error:
        if refused:
            raise
        return _Outcome(error, n_slices)


def _read_series(series: Series, options: ReadOptions, check_slices: Callable[[int], None]) -> Acquired:
    acquired = _read_image(series, SizeLimits(options.min_slices, check_slices), options)
    image, flags = acquired.image, series.flags + acquired.flags
    if options.nan == "zero" and has_nan(image):
        image, flags = _without_nan(image), (*flags, "nan-replaced")
    values = sitk.GetArrayViewFromImage(image)
    check_values(values)
    if _is_mask(values):
        flags = (*flags, MASK_LIKE)
    if _has_negative_background(values):
        flags = (*flags, NEGATIVE_BACKGROUND)
    return replace(acquired, image=image, flags=flags)


def read_slice_axis(series: Series, wanted: SliceAxis | None = None) -> tuple[str, str, tuple[str, ...]]:
    """The plane of a series' slices, how the slice axis is known (`volume.KNOWN_BY`), and flags, from headers only.

    The plane is empty if the header cannot be read; such a series fails with a reason when it is embedded.
    """
    if isinstance(series.image, NiftiImage | OtherImage):
        find = read_nifti_slices if isinstance(series.image, NiftiImage) else read_other_slices
        try:
            axis, known_by, flags = find(series.image, wanted)  # type: ignore[arg-type]
        except (SeriesError, OSError):
            return "", "", series.flags
        return PLANES[axis], known_by, series.flags + flags
    headers = read_headers(series.files[0])
    frames = series.image.frames if isinstance(series.image, DicomSlices) else ()
    number = frames[0][0] if frames else None
    found = [header for header in headers if header.frame == number] if isinstance(headers, list) else []
    orientation = found[0].orientation if found else ()
    return PLANES[2 - dicom_slice_axis(orientation)] if orientation else "", "acquisition", series.flags


def check_values(values: np.ndarray) -> None:
    """Raise `SeriesError` if the voxels are not finite, too large, or all equal."""
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN, too, since it propagates
        share = 100 * (1 - np.isfinite(values).mean())
        n_nan = np.isnan(values).sum()
        if n_nan:
            hint = "embed with --nan zero if they are background, or replace them in the file"
        else:
            hint = "replace them in the file"
        raise SeriesError(f"{share:.2g}% of its voxels are NaN or infinite", hint=hint)
    if max(abs(float(low)), abs(float(high))) > _LARGEST:
        raise SeriesError(
            f"its voxel values reach {max(low, high, key=abs):.3g}, too large to compute with",
            hint="divide the values by a constant",
        )
    if high > 0 and -float(low) > _UNEVEN * float(high):
        raise SeriesError(
            f"its voxel values range from {low:.3g} to {high:.3g}, too uneven to divide by the maximum",
            hint="replace the extreme values",
        )
    if low == high:
        raise SeriesError(f"the image is constant: all its voxels have the value {values.flat[0]}")


def _is_mask(values: np.ndarray) -> bool:
    """Whether voxels (z, y, x) are a mask, labels of regions, or fractions, in a few slices and in all."""
    middle = len(values) // 2
    few = values[max(0, middle - 2) : middle + 2]
    if few.min() < few.max() and classify(few) == "image":  # most scans return here
        return False
    return classify(values) != "image"


def _has_negative_background(values: np.ndarray) -> bool:
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    low, high = float(sample.min()), float(sample.max())
    return low < 0 and -low > _FAR_BELOW * high and float((sample < low / 2).mean()) > _MUCH


def has_nan(image: sitk.Image) -> bool:
    """Whether any voxel is NaN."""
    values = sitk.GetArrayViewFromImage(image)
    return bool(values.dtype.kind == "f" and np.isnan(values.min()))


def _without_nan(image: sitk.Image) -> sitk.Image:
    values = sitk.GetArrayFromImage(image)
    values[np.isnan(values)] = 0
    filled = sitk.GetImageFromArray(values)
    filled.CopyInformation(image)
    return filled


def _read_image(series: Series, limits: SizeLimits, options: ReadOptions) -> Acquired:
    try:
        match series.image:
            case NiftiImage():
                return read_nifti(series.image, options.slice_axis, limits)
            case OtherImage():
                with temporary_folder() as folder:
                    return read_nifti(to_nifti(series.image, folder), options.slice_axis, limits)
            case DicomSlices(stacks):
                limits.check((len(stacks[0]), 1, 1), slice_axis=0)
                return acquire_slices(series.image)
            case DicomFrames(volumes=volumes):
                with temporary_folder() as folder:
                    unpacked = NiftiImage(unpack_frames(series.image, folder), volumes)
                    return read_nifti(unpacked, limits=limits, as_acquired=True)
    except OSError as error:
        raise SeriesError(f"the file cannot be read: {error.strerror or 'input/output error'}") from error
