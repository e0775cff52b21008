"""Geometry in a NIfTI header: the affine, the slice axis, and the directions within a slice.

Source: the NIfTI-1 header (nifti1.h, methods 1 to 3) and the output of dcm2niix, which writes most NIfTI files.
"""

from dataclasses import dataclass
from typing import Any, Literal

import nibabel as nib
import numpy as np

from prima_features.errors import SeriesError
from prima_features.volumes.volume import GUESS, GUESS_MATRIX, ORIENTATION_UNKNOWN, SHEAR, SHEARED

SliceAxis = Literal["L", "P", "S"]

DISPLAYED = ("PIL", "LIP", "LPS")
"""Directions of (columns, rows, slices) for slices stacked along L, P and S. In-plane they are those of a displayed
DICOM slice, so that NIfTI and DICOM scans are resampled from the same corner."""

_ANISOTROPY = 1.2
_SAME_SIZE, _OTHER_SIZE = 0.001, 0.01
"""Relative differences below which voxel sizes are equal, and above which they are different."""
_SLAB = 0.8
"""A slice axis guessed by the matrix has at most this many times the samples of either other axis."""
_ALIGNED = 0.9
"""Cosine between the acquired slices' normal and a voxel axis, below which the image has been resampled."""
_SAME_COSINE = 0.01
"""Direction cosines of sform and qform that differ by less are equal."""
_OBLIQUE = 0.85
"""Cosine between the direction down a slice and the nearest anatomical one, below which that one is ambiguous."""
_MILLIMETRES = {1: 1000.0, 3: 0.001}
"""Millimetres per unit, by NIfTI code; other codes mean millimetres."""
_PLAUSIBLE = (0.05, 50.0)
"""Voxel sizes of a head scan, mm."""
_HINT = "convert the scan from DICOM again"


@dataclass(frozen=True)
class Geometry:
    """Positions of the voxels of a NIfTI file in the patient."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    """(4, 4), voxel indices to mm in RAS."""
    slice_dim: int | None
    """The axis that dim_info names as the slice axis."""
    by_dcm2niix: bool = False
    """Whether dcm2niix wrote the header's description, such as `TE=30;Time=103012.000`."""
    flags: tuple[str, ...] = ()
    """`orientation-unknown`: both codes are 0, so left and right are a convention. `sform-qform-differ`: the two name
    other axes or voxel sizes; the sform is used. `sform-unusable`: it is singular; the qform is used. `sheared`."""

    @property
    def sizes(self) -> np.ndarray:
        """(3,) voxel sizes, mm."""
        return nib.affines.voxel_sizes(self.affine)

    @property
    def codes(self) -> tuple[str, ...]:
        """Direction of each voxel axis, such as R, A, S."""
        return nib.aff2axcodes(self.affine)


def read_geometry(header: Any, pixdim: np.ndarray) -> Geometry:
    """The geometry in a header.

    The sform is used if its code is above 0 and it is not singular, otherwise the qform under the same conditions; if
    both codes are 0, only the voxel sizes (method 1 of the standard).

    Args:
        header: nibabel's NIfTI-1 or NIfTI-2 header.
        pixdim: (3,) voxel sizes as stored; nibabel replaces zeros by ones.

    Raises:
        SeriesError: no usable affine.
    """
    codes = int(header["sform_code"]), int(header["qform_code"])
    sform = _checked(header.get_sform()) if codes[0] > 0 else None
    sized = bool(np.isfinite(pixdim).all() and (pixdim != 0).all())
    qform = _checked(_qform(header)) if codes[1] > 0 and sized else None
    flags: tuple[str, ...] = ()
    if sform is not None:
        affine = sform
        if qform is not None and _differ(sform, qform):
            flags = ("sform-qform-differ",)
    elif qform is not None:
        affine = qform
        flags = ("sform-unusable",) if codes[0] > 0 else ()
    elif codes[0] > 0 and sized:
        raise SeriesError("its affine is singular, so the orientation of the voxels is unknown", _HINT)
    elif not sized:
        raise SeriesError("its header states a voxel size of 0, NaN or infinity", _HINT)
    elif codes[1] > 0:
        raise SeriesError("its qform is damaged, so the orientation of the voxels is unknown", _HINT)
    else:
        affine, flags = header.get_base_affine(), (ORIENTATION_UNKNOWN,)
    if _is_sheared(affine):
        flags += (SHEARED,)
    slice_dim = header.get_dim_info()[2]
    shape = tuple(int(n) for n in header.get_data_shape()[:3])
    description = bytes(header["descrip"].tobytes())
    by_dcm2niix = description.startswith(b"TE=") and b";Time=" in description
    return Geometry((shape[0], shape[1], shape[2]), _in_mm(affine, header), slice_dim, by_dcm2niix, flags)


def find_slice_axis(
    geometry: Geometry, wanted: SliceAxis | None = None, orientation: tuple[float, ...] = ()
) -> tuple[int, str]:
    """Index (0, 1, 2) of the slice axis among the voxel axes, and how it is known (`volume.KNOWN_BY`).

    The first of these that applies:

    1. the axis nearest to the direction `wanted` (`option`);
    2. the axis nearest to the normal of the acquired slices, if a sidecar has their `orientation` (`sidecar`);
    3. dim_info, if it names the first or second axis; the third axis, if dim_info names it or dcm2niix wrote the file,
       and it is not stored in the order R, A, S (`header`). dcm2niix reorients 3-D acquisitions to R, A, S without
       changing dim_info;
    4. the axis with voxels at least 1.2 times as long as both others, or with a different size, if the two others are
       equal (`voxel-size`);
    5. for nearly isotropic voxels with axes in the order x, y, z, the one axis clearly shorter than both others:
       a slab is thinner than its slices are wide. If dim_info names the same axis, it is known (`header`), otherwise
       guessed (`guess-matrix`);
    6. the third axis (`guess`).
    """
    nearest = nib.io_orientation(geometry.affine)[:, 0].astype(int)
    if wanted is not None:
        return int(np.flatnonzero(nearest == "LPS".index(wanted))[0]), "option"
    sizes, named = geometry.sizes, geometry.slice_dim
    if (normal := _normal(orientation)) is not None:
        cosines = np.abs(normal @ (geometry.affine[:3, :3] / sizes))
        axis = int(np.argmax(cosines))
        return axis, "sidecar" if cosines[axis] >= _ALIGNED else GUESS
    if named in (0, 1):
        return int(named), "header"
    if (named == 2 or geometry.by_dcm2niix) and geometry.codes != ("R", "A", "S"):
        return 2, "header"
    if (axis_by_size := _axis_by_size(sizes)) is not None:
        return axis_by_size, "voxel-size"
    if nearest.tolist() == [0, 1, 2] and sizes.max() < _ANISOTROPY * sizes.min():
        axis = int(np.argmin(geometry.shape))
        others = np.delete(geometry.shape, axis)
        if geometry.shape[axis] < others.min() and (
            others[0] == others[1] or geometry.shape[axis] <= _SLAB * others.min()
        ):
            return axis, "header" if named == axis else GUESS_MATRIX
    return 2, GUESS


def describe_slices(
    geometry: Geometry, wanted: SliceAxis | None, orientation: tuple[float, ...]
) -> tuple[int, str, tuple[str, ...]]:
    """The axis of (z, y, x) in LPS that the slices are stacked along, how it is known, and the flags of the header.

    Arguments as of `find_slice_axis`.
    """
    axis, known_by = find_slice_axis(geometry, wanted, orientation)
    return 2 - int(nib.io_orientation(geometry.affine)[axis, 0]), known_by, geometry.flags


def in_plane_order(
    geometry: Geometry, axis: int, known_by: str, orientation: tuple[float, ...]
) -> np.ndarray:
    """How to reorient the voxel axes to (columns, rows, slices) as in DICOM: nibabel's (3, 2) array of axis and flip.

    Resampling starts at a corner of the slice, so the directions must be those of the DICOM slices. They are taken from
    the sidecar if it has them; from the file (in which dcm2niix reverses the rows) if dim_info or the description of
    dcm2niix shows that it is stored as acquired, or if the rows are so oblique that their display is ambiguous;
    otherwise from a slice as displayed (`DISPLAYED`). The three differ only for unusual directions, such as those of
    slices tilted by more than 45 degrees.
    """
    lps = np.diag([-1.0, -1.0, 1.0]) @ geometry.affine[:3, :3] / geometry.sizes
    change = np.empty((3, 2))
    slices = lps[:, axis]
    change[axis] = 2, np.sign(slices[np.argmax(np.abs(slices))])
    first, second = (other for other in range(3) if other != axis)
    if known_by == "sidecar":
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        if abs(row @ lps[:, first]) < abs(row @ lps[:, second]):
            first, second = second, first
        change[first] = 0, np.sign(row @ lps[:, first]) or 1
        change[second] = 1, np.sign(column @ lps[:, second]) or 1
        return change
    stated = (
        known_by == "acquisition" or geometry.by_dcm2niix or (known_by, geometry.slice_dim) == ("header", 2)
    )
    if axis == 2 and np.linalg.det(lps) < 0 and (stated or np.abs(lps[:, 1]).max() < _OBLIQUE):
        change[0], change[1] = (0, 1), (1, -1)
        return change
    now = nib.io_orientation(geometry.affine)
    target = nib.orientations.axcodes2ornt(DISPLAYED[int(now[axis, 0])])
    return nib.orientations.ornt_transform(now, target)


def _qform(header: Any) -> np.ndarray | None:
    try:
        return header.get_qform()
    except (nib.spatialimages.HeaderDataError, ValueError):
        return None


def _checked(affine: np.ndarray | None) -> np.ndarray | None:
    """The affine, or None if it is not finite or singular."""
    if affine is None or not np.isfinite(affine).all():
        return None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() < 1e-6 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        return None
    return affine


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two affines have different axis directions or voxel sizes.

    Axes tilted by 45 degrees have two nearest directions, and rounding decides between them: cosines that agree are
    equal even if the names of the directions differ.
    """
    sizes, others = nib.affines.voxel_sizes(one), nib.affines.voxel_sizes(other)
    if not np.allclose(sizes, others, rtol=0.05):
        return True
    turned = np.abs(one[:3, :3] / sizes - other[:3, :3] / others).max() > _SAME_COSINE
    return turned and nib.aff2axcodes(one) != nib.aff2axcodes(other)


def _is_sheared(affine: np.ndarray) -> bool:
    """Whether two axes are not perpendicular."""
    directions = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > SHEAR)


def _in_mm(affine: np.ndarray, header: Any) -> np.ndarray:
    """The affine converted to mm by its units, unless the resulting voxel sizes are implausible for a head scan."""
    factor = _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    low, high = _PLAUSIBLE
    sizes = factor * nib.affines.voxel_sizes(affine)
    return np.diag([factor] * 3 + [1.0]) @ affine if low < sizes.min() and sizes.max() < high else affine


def _normal(orientation: tuple[float, ...]) -> np.ndarray | None:
    """Normal of the slices in RAS; None without an orientation, or if an anonymiser wrote zeros."""
    if len(orientation) != 6:
        return None
    normal = np.diag([-1.0, -1.0, 1.0]) @ np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0.5 else None


def _axis_by_size(sizes: np.ndarray) -> int | None:
    longest = int(np.argmax(sizes))
    if sizes[longest] >= _ANISOTROPY * np.delete(sizes, longest).max():
        return longest
    for axis in range(3):
        one, other = np.delete(sizes, axis)
        if abs(one - other) <= _SAME_SIZE * one and abs(sizes[axis] - one) > _OTHER_SIZE * one:
            return axis
    return None
