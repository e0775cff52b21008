"""Reading NIfTI. The public pipeline reads DICOM only, so this defines what a NIfTI file's slices are."""

import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from isal import igzip
from nibabel.volumeutils import apply_read_scaling

from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage
from prima_features.volumes.limits import SizeLimits
from prima_features.volumes.volume import GUESS, Acquired

SliceAxis = Literal["L", "P", "S"]

DISPLAYED = ("PIL", "LIP", "LPS")
"""Directions of (columns, rows, slices) for slices stacked along L, P and S: in plane those of a DICOM slice
as displayed, so that a scan read as NIfTI is resampled from the same corner as read as DICOM."""

_ANISOTROPY = 1.2
_PIECE = 1 << 18
_HEADER_SIZES = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
_HEADER_ERRORS = (
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
    nib.filebasedimages.ImageFileError,
    ValueError,
)


def read_nifti(
    source: NiftiImage, slice_axis: SliceAxis | None = None, limits: SizeLimits = SizeLimits()
) -> Acquired:
    """One volume in SimpleITK's terms: in-plane axes first, as displayed, then the slices, ascending in LPS.

    Args:
        source: a .nii or .nii.gz file, NIfTI-1 or NIfTI-2, and which of its volumes to average.
        slice_axis: take the axis nearest to this direction for the slice axis (see `find_slice_axis`).
        limits: sizes to refuse before any voxel is read.

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
    try:
        with ExitStack() as stack:
            image = _open(source.path, stack)
            _check_header(image)
            axis, known_by = find_slice_axis(image, slice_axis, source.orientation)
            limits.check(image.shape[:3], axis)
            values = _load(image, source.volumes)
    except (EOFError, zlib.error, igzip.BadGzipFile) as error:
        raise SeriesError(
            "its compressed data is damaged or ends too early", hint="the file is truncated: copy it again"
        ) from error
    return Acquired(_displayed(values, image.affine, axis), known_by)


def nifti_slice_axis(source: NiftiImage, wanted: SliceAxis | None = None) -> tuple[int, str]:
    """The axis of (z, y, x) that the slices are stacked along, and how it is known, from the header alone.

    Raises:
        SeriesError: the header cannot be read.
        OSError: the file cannot be read.
    """
    try:
        with ExitStack() as stack:
            image = _open(source.path, stack)
            _check_header(image)
            axis, known_by = find_slice_axis(image, wanted, source.orientation)
    except (EOFError, zlib.error, igzip.BadGzipFile) as error:
        raise SeriesError("its header cannot be read") from error
    return 2 - int(nib.io_orientation(image.affine)[axis, 0]), known_by


def find_slice_axis(
    image: nib.Nifti1Image, wanted: SliceAxis | None = None, orientation: tuple[float, ...] = ()
) -> tuple[int, str]:
    """Index (0, 1, 2) of the voxel axis that the slices are stacked along, and how it is known (`KNOWN_BY`).

    The first of these that is known: the axis nearest to the direction `wanted`; the axis nearest to the
    normal of the acquired slices, where a sidecar tells their `orientation` (`NiftiImage.orientation`); the
    header's `slice` dim_info; the axis whose voxels are at least 1.2 times as long as those of both others;
    the third.

    dcm2niix turns 3-D acquisitions to RAS and leaves dim_info as it was before, naming the third axis. So a
    dim_info that names the third axis yields to voxel sizes that speak for another.
    """
    if wanted is not None:
        return int(np.flatnonzero(nib.io_orientation(image.affine)[:, 0] == "LPS".index(wanted))[0]), "option"
    sizes = nib.affines.voxel_sizes(image.affine)
    if len(orientation) == 6:
        normal = np.diag([-1, -1, 1]) @ np.cross(orientation[:3], orientation[3:])
        return int(np.argmax(np.abs(normal @ image.affine[:3, :3] / sizes))), "sidecar"
    named = image.header.get_dim_info()[2]
    if named in (0, 1):
        return int(named), "header"
    longest = int(np.argmax(sizes))
    if sizes[longest] >= _ANISOTROPY * np.delete(sizes, longest).max():
        return longest, "voxel-size"
    return 2, GUESS


def _open(path: Path, stack: ExitStack) -> nib.Nifti1Image:
    """The image with its header read and its voxels still on disk."""
    file: Any = stack.enter_context(path.open("rb"))
    gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if gzipped:
        file = stack.enter_context(igzip.open(file, "rb"))
    start = file.read(4)
    file.seek(0)
    sizes = (int.from_bytes(start, "little"), int.from_bytes(start, "big"))
    kind = next((_HEADER_SIZES[size] for size in sizes if size in _HEADER_SIZES), None)
    if kind is None:
        raise SeriesError("its content is not NIfTI", hint="convert the file to NIfTI, or leave it out")
    holder = nib.FileHolder(fileobj=file)
    try:
        return kind.from_file_map({"header": holder, "image": holder})
    except _HEADER_ERRORS as error:
        raise SeriesError(f"its NIfTI header cannot be read: {error}") from error


def _check_header(image: nib.Nifti1Image) -> None:
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise SeriesError(f"the image is 2-D or 1-D ({_times(shape)}), not a volume")
    if np.prod(shape[4:]) > 1:
        raise SeriesError(
            f"the image has {len(shape)} dimensions ({_times(shape)}); a volume has 3, a series of volumes 4"
        )
    if dtype.kind not in "iuf":
        kind = "complex" if dtype.kind == "c" else "colour (RGB)"
        raise SeriesError(f"its voxels are {kind}, not plain numbers", hint="embed the magnitude image")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        raise SeriesError(
            "its affine is singular: the header does not say how the voxels lie in the head",
            hint="convert the scan from DICOM again",
        )


def _load(image: nib.Nifti1Image, volumes: tuple[int, ...]) -> np.ndarray:
    if len(image.shape) == 3:
        values = _read(image, ())
    elif max(volumes) >= image.shape[3]:
        raise SeriesError(f"volume {max(volumes)} is asked for, and the image has {image.shape[3]}")
    elif len(volumes) == 1:
        values = _read(image, volumes)
    else:
        values = np.stack([_read(image, (i,)) for i in volumes]).mean(axis=0, dtype=np.float64)
        values = values.astype(np.float32)
    if values.dtype.itemsize > 8:  # extended precision, which SimpleITK does not have
        values = values.astype(np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _read(image: nib.Nifti1Image, volume: tuple[int, ...]) -> np.ndarray:
    """What `image.dataobj` gives for one volume, in two thirds of the time."""
    last = volume + (0,) * (len(image.shape) - 3 - len(volume))
    number = int(np.ravel_multi_index(last, image.shape[3:], order="F")) if last else 0
    stored: Any = image.dataobj
    file: Any = image.file_map["image"].fileobj
    values = np.empty(image.shape[:3], stored.dtype, order="F")
    try:
        _fill(values, file, stored.offset + number * values.nbytes)
    except OSError as error:
        if isinstance(error, igzip.BadGzipFile):
            raise
        raise _cut_short() from error
    return apply_read_scaling(values, np.float64(stored.slope), np.float64(stored.inter))


def _fill(values: np.ndarray, file: BinaryIO, offset: int) -> None:
    """Read an array from a file, in pieces that stay in the cache between inflating and copying."""
    file.seek(offset)
    target = values.ravel("K").view(np.uint8).data
    for start in range(0, len(target), _PIECE):
        piece = target[start : start + _PIECE]
        if file.readinto(piece) < len(piece):  # type: ignore[attr-defined]
            raise _cut_short()


def _cut_short() -> SeriesError:
    return SeriesError("its voxels end before the header says", hint="the file is truncated: copy it again")


def _displayed(values: np.ndarray, affine: np.ndarray, slice_axis: int) -> sitk.Image:
    """Permute and flip to `DISPLAYED` and hand over to SimpleITK with the geometry."""
    now = nib.io_orientation(affine)
    target = nib.orientations.axcodes2ornt(DISPLAYED[int(now[slice_axis, 0])])
    change = nib.orientations.ornt_transform(now, target)
    turned = nib.apply_orientation(values, change)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine @ nib.orientations.inv_ornt_aff(change, values.shape)
    image = sitk.GetImageFromArray(_contiguous(turned.T))
    image.SetSpacing(np.linalg.norm(lps[:3, :3], axis=0).tolist())
    image.SetDirection(_nearest_rotation(lps[:3, :3]).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def _contiguous(values: np.ndarray) -> np.ndarray:
    """The same (slices, rows, columns), each row after the other in memory.

    Copied a row of all slices at a time, which stays in the cache: for slices along the fastest axis of the file a
    quarter of the time that numpy's own copy takes, and a tenth of SimpleITK's.
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


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
