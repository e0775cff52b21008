"""Reading DICOM: slices and described frames by their headers' own arithmetic, mosaics through dcm2niix.

Every volume is checked against a second decoder on a few slices before it is used.
"""

import logging
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.studies.dicom.frames import describe_frames, pixel_spacing
from prima_features.studies.dicom.read import quiet_pydicom
from prima_features.studies.study import DicomFrames, DicomSlices
from prima_features.volumes.stored import (
    Layout,
    StoredPixels,
    bare_data_set,
    common_type,
    decode_streams,
    read_stored,
    rescale,
    unpack,
)
from prima_features.volumes.volume import Acquired

if TYPE_CHECKING:
    from pydicom import Dataset

# ITK's warnings quote file paths, and in DICOM trees those carry names. What they warn of (uneven
# slices) the finder has measured already.
sitk.ProcessObject.SetGlobalWarningDisplay(False)

MIXED_SCALING = "mixed-scaling"
"""Flag: slices differ in slope, intercept, bits or signedness. Their values are right; the number type is wider."""
UNUSED_BITS = "unused-bits-set"
"""Flag: bits outside BitsStored are set and no overlay explains them. They are dropped, as the standard has it."""

_DIFFERENT = "its voxel values differ from those of a second decoder"


def read_slices(image: DicomSlices) -> Acquired:
    """The volume of one or more stacks of single-slice files, averaged where there are several.

    Returns:
        A 3-D image with each slice's own rescale slope and intercept applied. Its number type is that of
        `stored.common_type`: for slices that are all alike SimpleITK's.

    Raises:
        SeriesError: pixel data that is incomplete, cannot be decoded, or differs between two decoders; or stacks
            that do not match.
    """
    return _mean([_read_stack(stack) for stack in image.stacks])


def read_frames(image: DicomFrames) -> Acquired:
    """The volume of frames whose places in the file are known (`DicomFrames.frames`), averaged like `read_slices`.

    Raises:
        SeriesError: as `read_slices`.
    """
    files = image.files if len(image.files) > 1 else image.files * len(image.frames)
    return _mean([_read_volume(file, frames) for file, frames in zip(files, image.frames, strict=True)])


def _mean(volumes: Sequence[Acquired]) -> Acquired:
    if len(volumes) == 1:
        return volumes[0]
    mean = sitk.Cast(volumes[0].image, sitk.sitkFloat64)
    for volume in volumes[1:]:
        if volume.image.GetSize() != mean.GetSize():
            raise SeriesError(f"its volumes differ in size: {mean.GetSize()} and {volume.image.GetSize()}")
        other = sitk.Cast(volume.image, sitk.sitkFloat64)
        other.CopyInformation(mean)
        mean = mean + other
    flags = tuple(dict.fromkeys(flag for volume in volumes for flag in volume.flags))
    return replace(volumes[0], image=sitk.Cast(mean / len(volumes), sitk.sitkFloat32), flags=flags)


def _read_stack(files: tuple[Path, ...]) -> Acquired:
    slices: list[StoredPixels] = []
    for number, file in enumerate(files, start=1):
        try:
            pixels, _ = read_stored(file)
            if len(pixels.frames) != 1:
                raise SeriesError(f"a file of it contains {len(pixels.frames)} frames, not one slice")
        except SeriesError as error:
            raise SeriesError(f"{error} (slice {number} of {len(files)})", hint=error.hint) from error
        slices.append(pixels)
    values, flags = _combine(slices)
    _check_by_gdcm(files, slices, values)
    volume = sitk.GetImageFromArray(values)
    _set_stack_geometry(volume, files)
    return Acquired(volume, flags=flags)


def _read_volume(file: Path, frames: tuple[int, ...]) -> Acquired:
    pixels, data = read_stored(file, frames)
    slices = [
        replace(pixels, scales=(scale,), frames=(frame,))
        for scale, frame in zip(pixels.scales, pixels.frames, strict=True)
    ]
    values, flags = _combine(slices)
    _check_raw_by_gdcm(slices, values)
    volume = sitk.GetImageFromArray(values)
    with quiet_pydicom():
        _set_frame_geometry(volume, data, frames)
    return Acquired(volume, flags=flags)


def _combine(slices: Sequence[StoredPixels]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values (slices, rows, columns) of one-frame files, and flags."""
    layouts = [one.layout for one in slices]
    if len({(layout.rows, layout.columns) for layout in layouts}) > 1:
        raise SeriesError("its slices differ in size", hint="export the series again")
    scales = [one.scales[0] for one in slices]
    dtype = common_type(layouts, scales)
    values = np.empty((len(slices), layouts[0].rows, layouts[0].columns), dtype)
    unused = False
    for numbers in _alike(slices):
        first = slices[numbers[0]]
        if first.is_native:
            for number in numbers:
                stored, bits = unpack(slices[number].frames[0], first.layout)
                unused |= bits and not slices[number].overlays
                values[number] = rescale(stored, first.layout, scales[number], dtype)
            continue
        streams = replace(first, frames=tuple(slices[number].frames[0] for number in numbers))
        decoded = decode_streams(streams)
        _check_by_pydicom(streams, decoded)
        for number, stored in zip(numbers, decoded, strict=True):
            values[number] = rescale(stored, first.layout, scales[number], dtype)
    mixed = len(set(zip(layouts, scales, strict=True))) > 1
    return values, (MIXED_SCALING,) * mixed + (UNUSED_BITS,) * unused


def _alike(slices: Sequence[StoredPixels]) -> list[list[int]]:
    """Numbers of the slices that can be decoded together."""
    groups: dict[tuple[str, Layout], list[int]] = {}
    for number, one in enumerate(slices):
        groups.setdefault((one.syntax, one.layout), []).append(number)
    return list(groups.values())


def _few(count: int) -> list[int]:
    """The slices that are decoded twice: the first, the middle and the last."""
    return sorted({0, count // 2, count - 1})


def _check_by_gdcm(files: Sequence[Path], slices: Sequence[StoredPixels], values: np.ndarray) -> None:
    """Compare a few slices with what SimpleITK makes of the whole file, rescaling included."""
    for number in _few(len(files)):
        one = slices[number]
        # GDCM ignores HighBit, cannot invert signed and 32-bit samples, and has decoded compressed ones already.
        odd = one.layout.inverted and (one.layout.signed or one.layout.allocated == 32)
        if not one.is_native or not one.layout.is_plain or odd:
            continue
        try:
            other = sitk.GetArrayFromImage(sitk.ReadImage(str(files[number]), imageIO="GDCMImageIO"))
        except RuntimeError as error:
            raise SeriesError(
                "its pixel data cannot be decoded",
                hint="a file may be damaged; export the series again",
            ) from error
        _compare(values[number], other.reshape(values[number].shape), number, len(files))


def _check_raw_by_gdcm(slices: Sequence[StoredPixels], values: np.ndarray) -> None:
    """Compare a few frames with what GDCM decodes of them, before rescaling and inverting."""
    first = slices[0]
    if not first.is_native or not first.layout.is_plain:
        return
    numbers = _few(len(slices))
    decoded = decode_streams(replace(first, frames=tuple(slices[number].frames[0] for number in numbers)))
    for number, stored in zip(numbers, decoded, strict=True):
        own = rescale(stored, first.layout, slices[number].scales[0], values.dtype)
        _compare(values[number], own, number, len(slices))


def _check_by_pydicom(streams: StoredPixels, decoded: np.ndarray) -> None:
    """Compare a few compressed frames with what another decoder than GDCM makes of them, if there is one."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    uid = UID(streams.syntax)
    numbers = _few(len(decoded))
    with quiet_pydicom():
        try:
            decoder = get_decoder(uid)
            if not decoder.is_available:
                return
            data = bare_data_set(replace(streams, frames=tuple(streams.frames[number] for number in numbers)))
            other, _ = decoder.as_array(data, raw=True)
        except Exception:  # a decoder that does without this kind says nothing about the other one's answer
            logging.getLogger(__name__).debug("no second decoder for this kind of pixel data", exc_info=True)
            return
    other = other.reshape(-1, *decoded.shape[1:])
    # Lossy codecs may round differently.
    loose = 0 if "Lossless" in uid.name or streams.syntax == "1.2.840.10008.1.2.5" else 2
    for number, own in zip(numbers, other, strict=True):
        _compare(decoded[number], own, number, len(decoded), loose)


def _compare(own: np.ndarray, other: np.ndarray, number: int, count: int, loose: float = 0) -> None:
    if own.dtype == other.dtype and np.array_equal(own, other):
        return
    a, b = own.astype(np.float64), other.astype(np.float64)
    if not np.allclose(a, b, rtol=1e-6, atol=loose + 1e-6 * np.abs(a).max()):
        raise SeriesError(
            f"{_DIFFERENT} in slice {number + 1} of {count} (by up to {np.abs(a - b).max():.6g})",
            hint="convert the series to NIfTI and embed that, or export it again without compression",
        )


def _set_stack_geometry(volume: sitk.Image, files: Sequence[Path]) -> None:
    """SimpleITK's geometry for a series of these files, to the bit, from the headers of the first and the last."""
    first, last = _information(files[0]), _information(files[-1])
    spacing, direction = first.GetSpacing(), np.reshape(first.GetDirection(), (3, 3))
    shift = np.subtract(last.GetOrigin(), first.GetOrigin())
    if len(files) > 1 and (distance := _norm(shift)):
        spacing = (*spacing[:2], distance / (len(files) - 1))
        if shift @ direction[:, 2] < 0:
            direction[:, 2] *= -1
    volume.SetSpacing(spacing)
    volume.SetOrigin(first.GetOrigin())
    volume.SetDirection(direction.ravel().tolist())


def _information(file: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise SeriesError("the header of a file cannot be read", hint="export the series again") from error
    return reader


def _norm(vector: np.ndarray) -> float:
    return float(np.sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]))


def _set_frame_geometry(volume: sitk.Image, data: "Dataset", numbers: Sequence[int]) -> None:
    """Geometry of frames in the order given, as that of the same slices in files of their own."""
    described = describe_frames(data)
    frames = [described[number] for number in numbers]
    between_rows, between_columns = pixel_spacing(data, numbers[0]) or (0.0, 0.0)
    if (
        not all(frame.position and frame.orientation for frame in frames)
        or between_rows * between_columns <= 0
    ):
        raise SeriesError(
            "it does not say where its frames lie in the patient", hint="export the series again"
        )
    row, column = np.reshape(frames[0].orientation, (2, 3))
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    row = row / np.linalg.norm(row)
    shift = np.subtract(frames[-1].position, frames[0].position)
    distance = _norm(shift) / max(len(frames) - 1, 1)
    direction = np.stack([row, np.cross(normal, row), normal if shift @ normal >= 0 else -normal], axis=1)
    volume.SetSpacing((between_columns, between_rows, distance or 1.0))
    volume.SetOrigin(frames[0].position)
    volume.SetDirection(direction.ravel().tolist())


def unpack_frames(image: DicomFrames, folder: Path) -> Path:
    """Convert multi-frame files or mosaics to one uncompressed NIfTI file in `folder`.

    Raises:
        SeriesError: dcm2niix fails, or makes no image or several.
    """
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir()
    outputs.mkdir()
    for i, file in enumerate(image.files):
        (inputs / f"{i:06d}.dcm").symlink_to(file.resolve())
    # -x i keeps the acquired slice axis third instead of turning 3-D acquisitions; -p n applies the rescale
    # slope, as for classic slices, in place of Philips' private scaling.
    options = ["-b", "n", "-z", "n", "-x", "i", "-p", "n", "-f", "image"]
    _run_dcm2niix([*options, "-o", str(outputs), str(inputs)])
    made = [path for path in sorted(outputs.glob("*.nii")) if not path.stem.endswith(("_Eq_1", "_ph"))]
    if len(made) != 1:
        raise SeriesError(
            f"dcm2niix made {len(made)} images of it, not one",
            hint="convert the series to BIDS yourself and embed that",
        )
    return made[0]


def _run_dcm2niix(arguments: list[str]) -> None:
    from dcm2niix import bin as program

    # Its output names the patient; only the verdict is kept.
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    if done.returncode not in (0, 8):  # 8: converted, with warnings
        raise SeriesError(
            f"dcm2niix cannot unpack it (exit code {done.returncode})",
            hint="convert the series to BIDS yourself and embed that",
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder for unpacked images, removed when the context ends."""
    with tempfile.TemporaryDirectory(prefix="prima-") as folder:
        yield Path(folder)
