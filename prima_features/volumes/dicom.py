"""Reading DICOM: slices and frames by the arithmetic in their headers, mosaics with dcm2niix.

A few slices of every volume are compared with a second decoder before it is used.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.files.paths import utf8_name
from prima_features.files.safe import UnsafeFileError
from prima_features.studies.dicom.bounds import check_nesting
from prima_features.studies.dicom.frames import frame_place, pixel_spacing
from prima_features.studies.dicom.header import Vector, grouped, is_orientation
from prima_features.studies.dicom.read import quiet_pydicom
from prima_features.studies.study import DicomFrames, DicomSlices
from prima_features.volumes.stored import (
    Layout,
    Scale,
    StoredPixels,
    bare_data_set,
    common_type,
    decode_by_gdcm,
    decode_by_pydicom,
    read_stored,
    rescale,
    unpack,
)
from prima_features.volumes.volume import SHEAR, SHEARED, Acquired

if TYPE_CHECKING:
    from pydicom import Dataset

# ITK's warnings quote file paths, which can contain names in DICOM trees. The finder has already measured what they
# are about (uneven slices).
sitk.ProcessObject.SetGlobalWarningDisplay(False)

MIXED_SCALING = "mixed-scaling"
"""Flag: slices differ in slope, intercept, bits or signedness. The values are correct; the number type is wider."""
UNUSED_BITS = "unused-bits-set"
"""Flag: bits outside BitsStored are set and no overlay explains them. They are dropped, as in the standard."""

PIXEL_SIZE_UNKNOWN = "pixel-size-unknown"
"""Flag: PixelSpacing is missing or implausible. Vectors do not depend on it; the spacing is stored as 1 mm."""
_LARGEST_PIXEL = 100.0
"""mm. Larger values are damaged."""

_DIFFERENT = "its voxel values differ from those of a second decoder"


def acquire_slices(image: DicomSlices) -> Acquired:
    """The volume of one or more stacks of slices, averaged if there are several.

    Returns:
        A 3-D image with each slice's own rescale slope and intercept applied. Its number type is given by
        `stored.common_type`; for slices with equal layout it is SimpleITK's.

    Raises:
        SeriesError: pixel data that is incomplete, cannot be decoded, or differs between two decoders; or stacks
            that do not match.
    """
    frames = image.frames or [()] * len(image.stacks)
    return _mean([_read_stack(files, numbers) for files, numbers in zip(image.stacks, frames, strict=True)])


def read_slices(image: DicomSlices) -> sitk.Image:
    """The image of `acquire_slices`, without its flags."""
    return acquire_slices(image).image


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


def _read_stack(files: tuple[Path, ...], frames: tuple[int, ...]) -> Acquired:
    """One volume.

    Args:
        files: of each slice.
        frames: number of each slice in its file; empty if each file has one slice.
    """
    read: dict[int, StoredPixels] = {}
    places: dict[int, _Place] = {}
    last = len(files) - 1
    for where in grouped(range(len(files)), files.__getitem__):  # the slices of each file
        file = files[where[0]]
        try:
            pixels, data = read_stored(file, [frames[i] for i in where] if frames else None)
            if len(pixels.frames) != len(where):
                raise SeriesError(f"one of its files contains {len(pixels.frames)} frames, not one slice")
        except SeriesError as error:
            number = f" (slice {where[0] + 1} of {len(files)})" if len(where) == 1 else ""
            raise SeriesError(f"{error}{number}", hint=error.hint) from error
        for i, scale, frame in zip(where, pixels.scales, pixels.frames, strict=True):
            read[i] = replace(pixels, scales=(scale,), frames=(frame,))
            if i in (0, last):
                places[i] = _place(data, frames[i] if frames else 0)
    slices = [read.pop(i) for i in range(len(files))]
    voxels, flags = _combine(slices)
    if frames:
        _check_raw_by_gdcm(slices, voxels)
    else:
        _check_by_gdcm(files, slices, voxels)
    slices.clear()  # the bytes as stored are as large as the image
    volume = sitk.GetImageFromArray(voxels)
    doubts = _set_geometry(volume, places[0], places[last], None if frames else files[0])
    return Acquired(volume, flags=flags + doubts)


def _combine(slices: Sequence[StoredPixels]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values (slices, rows, columns) of one-frame files, and flags."""
    layouts = [one.layout for one in slices]
    if len({(layout.rows, layout.columns) for layout in layouts}) > 1:
        raise SeriesError("its slices differ in size", hint="export the series again")
    scales = [one.scales[0] for one in slices]
    dtype = common_type(layouts, scales)
    voxels = np.empty((len(slices), layouts[0].rows, layouts[0].columns), dtype)
    unused = False
    # Slices with the same layout are decoded together.
    for numbers in grouped(range(len(slices)), lambda number: (slices[number].syntax, slices[number].layout)):
        first = slices[numbers[0]]
        if first.is_native:
            for number in numbers:
                stored, bits = unpack(slices[number].frames[0], first.layout)
                unused |= bits and not slices[number].overlays
                voxels[number] = rescale(stored, first.layout, scales[number], dtype)
            continue
        streams = replace(first, frames=tuple(slices[number].frames[0] for number in numbers))
        decoded = _decode(streams)
        for number, stored in zip(numbers, decoded, strict=True):
            voxels[number] = rescale(stored, first.layout, scales[number], dtype)
    mixed = len(set(zip(layouts, scales, strict=True))) > 1
    return voxels, (MIXED_SCALING,) * mixed + (UNUSED_BITS,) * unused


def _few(count: int) -> list[int]:
    """The slices that are decoded twice: the first, the middle and the last."""
    return sorted({0, count // 2, count - 1})


def _check_by_gdcm(files: Sequence[Path], slices: Sequence[StoredPixels], voxels: np.ndarray) -> None:
    """Compare a few slices with the result of SimpleITK for the whole file, including rescaling."""
    for number in _few(len(files)):
        one = slices[number]
        # Compressed slices were compared after decoding. GDCM's rules for enhanced files deviate from the standard.
        if not one.is_native or one.described or _is_beyond_gdcm(one.layout):
            continue
        _check_nesting(files[number])
        try:
            with utf8_name(files[number]) as name:
                other = sitk.GetArrayFromImage(sitk.ReadImage(name, imageIO="GDCMImageIO"))
        except RuntimeError:  # it refuses some combinations of bits; the file's length has been checked
            continue
        _compare(voxels[number], other.reshape(voxels[number].shape), number, len(files))


def _check_nesting(file: Path) -> None:
    try:
        check_nesting(file)
    except UnsafeFileError as error:
        raise SeriesError(f"one of its files {error}", hint="export the series again") from error


def _is_beyond_gdcm(layout: Layout) -> bool:
    """Whether GDCM is known to deviate from the header: it ignores HighBit, inverts neither signed nor 32-bit samples,
    and truncates 32-bit samples with fewer stored bits. (Measured with SimpleITK 2.5.7.)"""
    partial = layout.allocated == 32 and layout.stored < 32
    return not layout.is_plain or partial or (layout.inverted and (layout.signed or layout.allocated == 32))


def _check_raw_by_gdcm(slices: Sequence[StoredPixels], voxels: np.ndarray) -> None:
    """Compare a few frames with those that GDCM decodes, before rescaling and inverting."""
    first = slices[0]
    if not first.is_native or _is_beyond_gdcm(first.layout):
        return
    numbers = [number for number in _few(len(slices)) if slices[number].layout == first.layout]
    try:
        decoded = decode_by_gdcm(replace(first, frames=tuple(slices[number].frames[0] for number in numbers)))
    except RuntimeError:  # as above
        return
    for number, stored in zip(numbers, decoded, strict=True):
        own = rescale(stored, first.layout, slices[number].scales[0], voxels.dtype)
        _compare(voxels[number], own, number, len(slices))


def _decode(streams: StoredPixels) -> np.ndarray:
    """Values of compressed frames by GDCM, a few of them compared with pydicom's; pydicom's if GDCM fails."""
    try:
        decoded = decode_by_gdcm(streams)
    except RuntimeError as error:
        if (other := decode_by_pydicom(streams)) is None:
            raise SeriesError(
                "its pixel data cannot be decoded",
                hint="a file may be damaged or use an unsupported compression; export the series again",
            ) from error
        return other
    numbers = _few(len(decoded))
    few = decode_by_pydicom(replace(streams, frames=tuple(streams.frames[number] for number in numbers)))
    if few is not None:
        for number, other in zip(numbers, few, strict=True):
            _compare(decoded[number], other, number, len(decoded), loose=0 if streams.is_lossless else 2)
    return decoded


def _compare(own: np.ndarray, other: np.ndarray, number: int, count: int, loose: float = 0) -> None:
    if own.dtype == other.dtype and np.array_equal(own, other):
        return
    a, b = own.astype(np.float64), other.astype(np.float64)
    if not np.allclose(a, b, rtol=1e-6, atol=loose + 1e-6 * np.abs(a).max()):
        raise SeriesError(
            f"{_DIFFERENT} in slice {number + 1} of {count} (by up to {np.abs(a - b).max():.6g})",
            hint="convert the series to NIfTI and embed that, or export it again without compression",
        )


@dataclass(frozen=True)
class _Place:
    """Position of one slice as in DICOM, in mm and LPS."""

    position: Vector
    orientation: Vector
    spacing: Vector


def _place(data: "Dataset", number: int) -> _Place:
    """The place of a frame, or of the only slice of a file without described frames."""
    with quiet_pydicom():
        return _Place(*frame_place(data, number), pixel_spacing(data, number))


def _set_geometry(
    volume: sitk.Image, first: _Place, last: _Place, file: Path | None = None
) -> tuple[str, ...]:
    """Set the geometry of a series from its first and last slice. It equals SimpleITK's to the bit.

    Args:
        volume: the image.
        first: place of the first slice.
        last: place of the last slice.
        file: of the first slice, unless it is one of several frames.

    Returns:
        Flags.
    """
    unknown = len(first.spacing) != 2 or not all(0 < size <= _LARGEST_PIXEL for size in first.spacing)
    if unknown:  # SimpleITK would take 1 mm, or refuse the file
        first, file = replace(first, spacing=(1.0, 1.0)), None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with tempfile.TemporaryDirectory(prefix="prima-") as folder:
        try:
            if file is None:
                raise RuntimeError("a frame of many")
            _check_nesting(file)
            with utf8_name(file) as name:
                reader.SetFileName(name)
                reader.ReadImageInformation()
        except RuntimeError:  # some codecs decode the image to get its size
            reader.SetFileName(str(_empty_slice(first, Path(folder) / "slice.dcm")))
            reader.ReadImageInformation()
    spacing, direction = reader.GetSpacing(), _stated_direction(reader, first)
    flags = (PIXEL_SIZE_UNKNOWN,) * unknown
    count = volume.GetSize()[2]
    if count > 1 and len(first.position) == len(last.position) == 3:
        shift = np.subtract(last.position, first.position)
        if distance := float(np.sqrt(shift[0] * shift[0] + shift[1] * shift[1] + shift[2] * shift[2])):
            spacing = (*spacing[:2], distance / (count - 1))
            if shift @ direction[:, 2] < 0:
                direction[:, 2] *= -1
            if np.linalg.norm(shift @ direction[:, :2]) > SHEAR * distance:
                flags += (SHEARED,)
    volume.SetSpacing(spacing)
    volume.SetOrigin(reader.GetOrigin())
    volume.SetDirection(direction.ravel().tolist())
    return flags


def _stated_direction(reader: sitk.ImageFileReader, place: _Place) -> np.ndarray:
    """(3, 3) direction cosines, in columns: SimpleITK's, if they are the header's.

    GDCM replaces cosines that are not of unit length, such as those rounded to two digits, by an axial orientation.
    """
    direction = np.reshape(reader.GetDirection(), (3, 3))
    if not is_orientation(place.orientation):
        return direction
    row, column = np.reshape(place.orientation, (2, 3))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column /= np.linalg.norm(column)
    stated = np.column_stack([row, column, np.cross(row, column)])
    return direction if np.abs(direction[:, :2] - stated[:, :2]).max() < 0.01 else stated


def _empty_slice(place: _Place, file: Path) -> Path:
    """A file with the geometry of a slice and nothing else."""
    if not (place.position and place.orientation):
        raise SeriesError("it has no slice positions or orientations", hint="export the series again")
    from pydicom.uid import MRImageStorage
    from pydicom.valuerep import format_number_as_ds

    layout = Layout(2, 2, 16, 16, 15, signed=False, inverted=False)
    data = bare_data_set(
        StoredPixels(layout, (Scale(),), "", overlays=False, described=False, frames=(bytes(8),))
    )
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    for keyword, numbers in (
        ("ImagePositionPatient", place.position),
        ("ImageOrientationPatient", place.orientation),
        ("PixelSpacing", place.spacing),
    ):
        setattr(data, keyword, [format_number_as_ds(number) for number in numbers])
    del data.NumberOfFrames
    data.save_as(file, enforce_file_format=True)
    return file


def unpack_frames(image: DicomFrames, folder: Path) -> Path:
    """Convert multi-frame files or mosaics to one uncompressed NIfTI file in `folder`.

    Raises:
        SeriesError: dcm2niix fails, writes no image or several, or changes values.
    """
    stored = _total(image.files)
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
            f"dcm2niix converts it to {len(made)} images, not one",
            hint="convert the series to BIDS yourself and embed that",
        )
    voxels = np.asarray(nib.Nifti1Image.from_filename(made[0]).dataobj)
    _check_unpacked(voxels, stored)
    return made[0]


@dataclass(frozen=True)
class _Totals:
    """Statistics of all voxels of some files, by their headers."""

    voxels: int
    total: float
    top: float
    blank: float
    """Value of a voxel that is stored as 0."""


def _total(files: Sequence[Path]) -> _Totals:
    count, total, top, blank = 0, 0.0, -np.inf, 0.0
    for file in files:
        pixels, _ = read_stored(file)
        slices = [
            replace(pixels, scales=(scale,), frames=(frame,))
            for scale, frame in zip(pixels.scales, pixels.frames, strict=True)
        ]
        values, _ = _combine(slices)
        count += values.size
        total += float(values.sum(dtype=np.float64))
        top = max(top, float(values.max()))
        blank = pixels.scales[0].intercept
    return _Totals(count, total, top, blank)


def _check_unpacked(voxels: np.ndarray, stored: _Totals) -> None:
    """Compare the sum and the maximum of the voxels from dcm2niix with those of the files.

    Tiles of a mosaic that belong to no slice are stored as 0.
    """
    expected = stored.total - (stored.voxels - voxels.size) * stored.blank
    differs = abs(float(voxels.sum(dtype=np.float64)) - expected) > 1e-5 * max(abs(expected), 1.0)
    if differs or abs(float(voxels.max()) - stored.top) > 1e-5 * max(abs(stored.top), 1.0):
        raise SeriesError(
            "dcm2niix changes the values of its voxels",
            hint="convert the series to BIDS yourself, check the values, and embed that",
        )


def _run_dcm2niix(arguments: list[str]) -> None:
    from dcm2niix import bin as program

    # Its output names the patient; only the exit code is used.
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
