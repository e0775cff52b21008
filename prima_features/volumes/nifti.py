"""Reading NIfTI. The public pipeline reads DICOM only; this module defines the slices of a NIfTI file."""

import io
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from isal import igzip, isal_zlib
from nibabel.volumeutils import apply_read_scaling

from prima_features.errors import SeriesError
from prima_features.studies.content import inflated, inflation_errors
from prima_features.studies.study import NiftiImage
from prima_features.studies.voxels import nifti_header
from prima_features.volumes.display import to_display
from prima_features.volumes.nifti_geometry import (
    Geometry,
    SliceAxis,
    describe_slices,
    find_slice_axis,
    in_plane_order,
    read_geometry,
)
from prima_features.volumes.volume import Acquired, SizeLimits, StoredGrid, format_shape

_PIECE = 1 << 18
_HEADER_ERRORS = (nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError, ValueError)
_ISAL_ERROR: Any = isal_zlib.error  # its stub declares an instance
_BAD_STREAM = inflation_errors()
_MOST_MEMBERS = 100_000
"""Most members of a gzip file; those of block-compressed files have 64 kB each."""
_MOST_EXTENSION = 1 << 26
"""Most bytes before the voxels. Header extensions of real files have a few thousand."""
_QUIET = logging.Logger("nifti headers")
_QUIET.disabled = True


def read_nifti(
    source: NiftiImage,
    slice_axis: SliceAxis | None = None,
    limits: SizeLimits = SizeLimits(),
    as_acquired: bool = False,
) -> Acquired:
    """One volume as a SimpleITK image: in-plane axes first, as displayed, then the slices, ascending in LPS.

    Bytes after the end of a gzip stream are ignored.

    Args:
        source: a .nii or .nii.gz file, NIfTI-1 or NIfTI-2, and which of its volumes to average.
        slice_axis: use the axis nearest to this direction as the slice axis (see `find_slice_axis`).
        limits: sizes to refuse before any voxel is read.
        as_acquired: the third axis is the slice axis, because dcm2niix has unpacked the file without reorienting it.

    Returns:
        A 3-D image. A single volume keeps its stored number type; a scaled or averaged one is floating point.

    Raises:
        SeriesError: the file is empty, truncated or not NIfTI; the image is not 3-D or 4-D, has complex or
            colour voxels, a singular affine, or a size out of limits.
    """
    if source.path.stat().st_size == 0:
        raise SeriesError(
            "the file is empty", hint="fetch it again: an empty file is often a failed download"
        )
    with ExitStack() as stack:
        try:
            image, axis, known_by, values = _read_from(
                stack.enter_context(inflated(source.path)), source, slice_axis, limits, as_acquired
            )
        except _BAD_STREAM as error:
            try:
                stream = _without_trailing_bytes(source.path)
                image, axis, known_by, values = _read_from(stream, source, slice_axis, limits, as_acquired)
            except _BAD_STREAM:
                raise SeriesError(
                    "its compressed data is damaged or truncated",
                    hint="the file is truncated: copy it again",
                ) from error
    order = in_plane_order(image.geometry, axis, known_by, source.orientation)
    values, flags = to_display(values, source.scale, image.slope, image.intercept)
    displayed = _displayed(values, image.geometry.affine, order)
    return Acquired(displayed, known_by, image.geometry.flags + flags, _stored_grid(image.geometry, order))


def read_nifti_slices(
    source: NiftiImage, wanted: SliceAxis | None = None
) -> tuple[int, str, tuple[str, ...]]:
    """The axis of (z, y, x) that the slices are stacked along, how it is known, and flags, from the header alone.

    Raises:
        SeriesError: the header cannot be read.
        OSError: the file cannot be read.
    """
    try:
        with ExitStack() as stack:
            geometry = _open(stack.enter_context(inflated(source.path))).geometry
    except _BAD_STREAM as error:
        raise SeriesError("its header cannot be read") from error
    return describe_slices(geometry, wanted, source.orientation)


@dataclass(frozen=True)
class _Opened:
    """A file whose header has been read and checked, with its voxels still on disk."""

    file: BinaryIO
    geometry: Geometry
    shape: tuple[int, ...]
    """Three lengths or more; a singleton axis past the fourth is kept."""
    dtype: np.dtype[Any]
    offset: int
    """Of the first voxel, bytes."""
    slope: float
    intercept: float


def _without_trailing_bytes(path: Path) -> BinaryIO:
    """The content of a .nii.gz file up to the end of its last complete gzip member, whose checksum is verified.

    Raises:
        EOFError, isal_zlib.error: the first member is incomplete or damaged.
    """
    content = path.read_bytes()
    end, rest = 0, memoryview(content)
    for _ in range(_MOST_MEMBERS):
        if bytes(rest[:2]) != b"\x1f\x8b":
            break
        member = isal_zlib.decompressobj(wbits=31)
        try:
            piece = rest
            while len(piece) and not member.eof:
                member.decompress(piece[:_PIECE])
                piece = piece[_PIECE:]
        except _ISAL_ERROR:
            if not end:
                raise
            break  # what follows only looks like another member
        if not member.eof:
            break
        rest = rest[len(rest) - len(piece) - len(member.unused_data) :]
        end = len(content) - len(rest)
    if not end:
        raise EOFError
    return igzip.open(io.BytesIO(content[:end]), "rb")


def _read_from(
    stream: BinaryIO,
    source: NiftiImage,
    slice_axis: SliceAxis | None,
    limits: SizeLimits,
    as_acquired: bool,
) -> tuple[_Opened, int, str, np.ndarray]:
    image = _open(stream)
    axis, known_by = 2, "acquisition"
    if not as_acquired:
        axis, known_by = find_slice_axis(image.geometry, slice_axis, source.orientation)
    limits.check(image.geometry.shape, axis)
    return image, axis, known_by, _load(image, _volumes_to_read(image, source))


def _open(file: BinaryIO) -> _Opened:
    """Read and check the header. Header extensions are not read."""
    try:
        header = nifti_header(file)
    except ValueError as error:
        raise SeriesError(str(error), hint="convert the file to NIfTI, or leave it out") from error
    pixdim = np.array(header["pixdim"][1:4])  # before it is fixed
    try:
        header.check_fix(_QUIET, error_level=40)
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        offset = int(header.get_data_offset()) or header.single_vox_offset  # some writers leave it 0
    except _HEADER_ERRORS as error:
        raise SeriesError(f"its NIfTI header cannot be read: {error}") from error
    shape = tuple(int(n) for n in shape[:3]) + tuple(max(int(n), 1) for n in shape[3:])
    _check_header(shape, dtype, offset)
    geometry = read_geometry(header, pixdim)
    return _Opened(file, geometry, shape, dtype, offset, 1.0 if slope is None else slope, intercept or 0.0)


def _check_header(shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise SeriesError(f"the image is 2-D or 1-D ({format_shape(shape)}), not a volume")
    if np.prod(shape[4:]) > 1:
        raise SeriesError(
            f"the image has {len(shape)} dimensions ({format_shape(shape)}); a volume has 3, a series of volumes 4"
        )
    if dtype.kind not in "iuf":
        kind = "complex" if dtype.kind == "c" else "colour (RGB)"
        raise SeriesError(f"its voxels are {kind}, not scalar values", hint="embed the magnitude image")
    if not 0 <= offset <= _MOST_EXTENSION:
        raise SeriesError(
            f"its header declares a voxel offset of {offset} bytes",
            hint="the header is damaged: copy it again",
        )


def _volumes_to_read(image: _Opened, source: NiftiImage) -> tuple[int, ...]:
    """`source.volumes`, or the volumes given by `source.time_series` for a file of several volumes."""
    n = int(np.prod(image.shape[3:]))
    if source.n_b_values not in (0, n):
        raise SeriesError(
            f"its .bval file has {source.n_b_values} b-values, but the image has {n} volumes",
            hint="correct the .bval file, or convert the scan again",
        )
    if n == 1 or source.time_series == "first":
        return source.volumes
    if source.time_series == "skip":
        raise SeriesError(
            f"it has {n} volumes, such as a time series", hint="embed it with --time-series first or mean"
        )
    return tuple(range(n))


def _load(image: _Opened, volumes: tuple[int, ...]) -> np.ndarray:
    if len(image.shape) == 3:
        values = _read(image, ())
    elif max(volumes) >= image.shape[3]:
        raise SeriesError(f"volume {max(volumes)} was requested, but the image has {image.shape[3]}")
    elif len(volumes) == 1:
        values = _read(image, volumes)
    else:
        # One at a time: a file can declare thousands, of a few compressed bytes each.
        total = _read(image, volumes[:1]).astype(np.float64)
        for number in volumes[1:]:
            total += _read(image, (number,))
        values = (total / len(volumes)).astype(np.float32)
    if values.dtype.itemsize > 8:  # extended precision, which SimpleITK does not have
        values = values.astype(np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _read(image: _Opened, volume: tuple[int, ...]) -> np.ndarray:
    """What nibabel gives for one volume, in two thirds of the time."""
    last = volume + (0,) * (len(image.shape) - 3 - len(volume))
    number = int(np.ravel_multi_index(last, image.shape[3:], order="F")) if last else 0
    values = np.empty(image.shape[:3], image.dtype, order="F")
    try:
        _fill(values, image.file, image.offset + number * values.nbytes)
    except OSError as error:
        if isinstance(error, igzip.BadGzipFile):
            raise
        raise _cut_short() from error
    return apply_read_scaling(values, np.float64(image.slope), np.float64(image.intercept))


def _fill(values: np.ndarray, file: BinaryIO, offset: int) -> None:
    """Read an array from a file, in pieces that stay in the cache between inflating and copying."""
    file.seek(offset)
    target = values.ravel("K").view(np.uint8).data
    for start in range(0, len(target), _PIECE):
        piece = target[start : start + _PIECE]
        if file.readinto(piece) < len(piece):  # type: ignore[attr-defined]
            raise _cut_short()


def _cut_short() -> SeriesError:
    return SeriesError(
        "the file contains fewer voxels than its header declares",
        hint="the file is truncated: copy it again",
    )


def _displayed(values: np.ndarray, affine: np.ndarray, order: np.ndarray) -> sitk.Image:
    """Permute and flip to `in_plane_order` and hand over to SimpleITK with the geometry."""
    turned = nib.apply_orientation(values, order)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine @ nib.orientations.inv_ornt_aff(order, values.shape)
    image = sitk.GetImageFromArray(_contiguous(turned.T))
    image.SetSpacing(np.linalg.norm(lps[:3, :3], axis=0).tolist())
    image.SetDirection(_nearest_rotation(lps[:3, :3]).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def _stored_grid(geometry: Geometry, order: np.ndarray) -> StoredGrid:
    first, second, third = np.argsort(order[:, 0])
    a, b, c = (bool(order[axis, 1] < 0) for axis in (first, second, third))
    return StoredGrid(geometry.shape, geometry.affine, (int(first), int(second), int(third)), (a, b, c))


def _contiguous(values: np.ndarray) -> np.ndarray:
    """The same values (slices, rows, columns), contiguous in memory.

    Copying one row of all slices at a time stays in the cache: for slices along the fastest axis of the file it takes a
    quarter of the time of numpy's own copy, and a tenth of SimpleITK's.
    """
    if values.flags.c_contiguous:
        return values
    copy = np.empty(values.shape, values.dtype)
    for row in range(values.shape[1]):
        copy[:, row] = values[:, row]
    return copy


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The orthonormal directions nearest to those of a possibly sheared affine (polar decomposition)."""
    left, _, right = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0))
    return left @ right
