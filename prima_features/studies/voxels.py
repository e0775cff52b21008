"""Inspecting image files other than DICOM while finding: grids, and whether the voxels are an image or a mask.

NIfTI headers are read from their first bytes only. Header extensions and implausibly large images are never read.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from prima_features.files.paths import utf8_name
from prima_features.studies.content import inflated, inflation_errors
from prima_features.studies.text_headers import read_data_file

if TYPE_CHECKING:
    import numpy as np

    from prima_features.studies.study import OtherImage

VoxelKind = Literal["image", "mask", "labels", "fractions"]
"""Content of an image: an image; two or three values; integer labels of regions; or fractions from 0 to 1."""

MAX_VOXELS = 2**30
"""Most voxels of one volume. The largest whole-head scans have about a tenth; a damaged header declares more."""

MOST_VOLUMES = 1 << 17
"""Volumes of one file. NIfTI-1 has 32,767 in its fourth dimension."""

_NIFTI = {348: "Nifti1Header", 540: "Nifti2Header"}
_MAX_OFFSET = 1 << 20
"""Most bytes of header extensions before the voxels that are skipped here."""
_SITK = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}

# How label maps differ from images, measured on public scans, on copies with 4 to 256 grey levels, and on an atlas:
# outside the background, 87 to 97 percent of neighbouring voxels have the same label, but 2 to 33 percent the same grey
# value (8 bits; with 8 grey levels at most 67 percent). Images of heads have at least 8 values.
_FEW_VALUES, _SAME_OF_FEW = 7, 0.5
_MANY_VALUES, _SAME_OF_MANY = 2000, 0.75
_SCAN_BYTES_PER_VOXEL = 1.5
"""A .nii.gz file with more bytes per voxel is a scan with noise; label maps have 0.02 to 0.2, fractions up to 1."""
_SAMPLE = 200_000
_FEWEST_VOXELS = 4096
"""Smaller volumes are not scans of heads, and too small to judge."""


@dataclass(frozen=True)
class Opened:
    """An image file whose header was read."""

    shape: tuple[int, ...]
    affine: np.ndarray = field(repr=False)
    """(4, 4), voxel indices to mm in RAS."""
    dtype: np.dtype[Any]
    path: Path = field(repr=False)
    offset: int = 0
    """Of the voxels in a NIfTI file."""
    scaling: tuple[float, float] = (1.0, 0.0)
    """Slope and intercept."""
    other: Any = field(default=None, repr=False)
    """The image of a format other than NIfTI: nibabel's, whose `dataobj` is read on demand."""

    @property
    def n_volumes(self) -> int:
        """Volumes of a file with more than three dimensions; 1 otherwise."""
        n = 1
        for length in self.shape[3:]:
            n *= max(length, 1)
        return n

    def same_grid(self, other: Opened) -> bool:
        """Whether two images have the same voxels in space."""
        import numpy as np

        return self.shape[:3] == other.shape[:3] and bool(np.allclose(self.affine, other.affine, atol=1e-3))

    def first_volume(self) -> np.ndarray | None:
        """The stored numbers of the first volume, or None if they are too many, damaged, or not scalar values."""
        import numpy as np

        n = int(np.prod(self.shape[:3], dtype=object))
        if len(self.shape) < 3 or not 0 < n <= MAX_VOXELS or self.dtype.kind not in "iuf":
            return None
        if self.other is not None:
            # Only part of a file that is not compressed is read.
            return np.asanyarray(self.other.dataobj[(..., *[0] * (len(self.shape) - 3))])
        if not 0 <= self.offset <= _MAX_OFFSET:
            return None
        with inflated(self.path) as file:
            file.read(self.offset)
            content = file.read(n * self.dtype.itemsize)
        if len(content) < n * self.dtype.itemsize:
            return None
        return np.frombuffer(content, self.dtype).reshape(self.shape[:3], order="F")


def nifti_header(file: BinaryIO) -> Any:
    """The NIfTI-1 or NIfTI-2 header at the start of a file as nibabel's, unchecked; what follows it is not read.

    Raises:
        ValueError: it is not NIfTI, or ends within the header.
    """
    import nibabel as nib

    start = file.read(4)
    for order in ("little", "big"):
        size = int.from_bytes(start, order)
        block = start + file.read(size - 4) if size in _NIFTI else b""
        if block:
            if len(block) < size:
                raise ValueError("the file ends within its NIfTI header")
            return getattr(nib, _NIFTI[size])(block, order, check=False)
    raise ValueError("its content is not NIfTI")


def open_nifti(path: Path) -> Opened:
    """Read the header of a NIfTI file, compressed or not.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not NIfTI, or its header is damaged.
    """
    import numpy as np

    try:
        with inflated(path) as file:
            header = nifti_header(file)
    except inflation_errors() as error:
        raise ValueError("its compressed data is damaged") from error
    try:
        shape = tuple(int(length) for length in header.get_data_shape())
        dtype, offset = header.get_data_dtype(), int(header["vox_offset"]) or header.single_vox_offset
        n_dimensions = int(header["dim"][0])
    except Exception as error:  # nibabel has no common base for what a header of random bytes raises
        raise ValueError("its NIfTI header is damaged") from error
    if not 1 <= n_dimensions <= 7:
        raise ValueError(f"its NIfTI header is damaged: it states {n_dimensions} dimensions")
    _check_volumes(shape)
    slope, intercept, affine = 1.0, 0.0, np.eye(4)
    # Damaged fields are judged when the image is read; here only less is known.
    with suppress(Exception):
        slope, intercept = header.get_slope_inter()
    with suppress(Exception):
        affine = header.get_best_affine()
    return Opened(shape, affine, dtype, path, offset, (slope or 1.0, intercept or 0.0))


def open_other(image: OtherImage) -> Opened:
    """Read the header of an image in another format: .mgz, .mgh, .hdr with .img, .nrrd, .nhdr, .mha, .mhd.

    Raises:
        OSError: a file cannot be read.
        ValueError: its content does not match its file extension, or it is not one image of plain numbers.
    """
    import numpy as np

    suffix = image.path.suffix.lower()
    try:
        with np.errstate(all="ignore"):
            opened = _open_itk(image.path, _SITK[suffix]) if suffix in _SITK else _open_nibabel(image.path)
        shape = tuple(int(length) for length in opened.shape)
        if min(shape, default=0) < 1 or not _is_invertible(opened.affine):
            raise ValueError("its header declares implausible sizes or positions")
        if len(shape) >= 3 and np.prod(shape[:3], dtype=object) > MAX_VOXELS:
            raise ValueError("its header declares more voxels than any head scan has")
        _check_volumes(shape)
        dtype = opened.dataobj.dtype if suffix in _SITK else opened.get_data_dtype()
        return Opened(shape, opened.affine, np.dtype(dtype), image.path, other=opened)
    except (OSError, ValueError):
        raise
    except Exception as error:  # as above
        raise ValueError("its header cannot be read") from error


def _check_volumes(shape: tuple[int, ...]) -> None:
    # Otherwise a damaged header would count as a long time series, which is left out without an error.
    if (n := math.prod(max(length, 1) for length in shape[3:])) > MOST_VOLUMES:
        raise ValueError(f"its header declares {n} volumes, which is implausible")


def find_data_file(path: Path) -> Path | None:
    """The file with the voxels that a detached header (.nhdr, .mhd) names; None if they are in the file itself.

    Raises:
        OSError: the header cannot be read.
        ValueError: it is damaged (see `text_headers`), or names no file, several, or one in another folder.
    """
    name = read_data_file(path)
    if path.suffix.lower() not in (".nhdr", ".mhd"):
        if name:
            raise ValueError("its voxels are in another file, as in an .nhdr or .mhd file")
        return None
    if not name or "/" in name or "\\" in name or "%" in name or name.upper().startswith("LIST"):
        raise ValueError("its header does not name one file with voxels in its own folder")
    return path.with_name(name)


def classify_file(opened: Opened) -> VoxelKind:
    """What the voxels of the first volume show; "image" if they cannot be read, which is reported when reading.

    A compressed NIfTI file with the size of a scan is not read.
    """
    import numpy as np

    if opened.path.name.lower().endswith(".gz") and opened.other is None:
        n = max(1, int(np.prod(opened.shape, dtype=object)))
        if opened.path.stat().st_size / n > _SCAN_BYTES_PER_VOXEL:
            return "image"
    try:
        values = opened.first_volume()
    except Exception:  # damaged: reported when the image is read
        return "image"
    return "image" if values is None or values.ndim != 3 else classify(values, opened.scaling)


def classify(values: np.ndarray, scaling: tuple[float, float] = (1.0, 0.0)) -> VoxelKind:
    """What a volume of stored numbers shows.

    Args:
        values: (x, y, z).
        scaling: slope and intercept; numbers from 0 to 1 are looked for after scaling, labels before.
    """
    import numpy as np

    flat = values.ravel("K")
    if flat.size < _FEWEST_VOXELS:
        return "image"
    sample = np.unique(flat[:: max(1, flat.size // _SAMPLE)])
    if not np.isfinite(sample).all():
        return "image"
    # Most scans return here, before every voxel is read.
    labels = sample.size <= _MANY_VALUES and (sample == np.rint(sample)).all()
    slope, intercept = scaling
    low, high = sorted((float(sample[0]) * slope + intercept, float(sample[-1]) * slope + intercept))
    fractions = low >= 0 and high <= 1.0001 and slope != 0
    if sample.size > 3 and not labels and not fractions:
        return "image"
    unique, counts = np.unique(flat, return_counts=True)
    if unique.size < 2 or not np.isfinite(unique).all():  # a constant image is an error of its own
        return "image"
    if unique.size <= 3:
        return "mask"
    if (
        fractions
        and slope * float(unique[-1]) + intercept <= 1.0001
        and _are_fractions(unique, counts, scaling)
    ):
        return "fractions"
    if (unique != np.rint(unique)).any() or unique.size > _MANY_VALUES:
        return "image"
    same = _share_of_equal_neighbours(values, unique[counts.argmax()])
    return "labels" if same >= (_SAME_OF_FEW if unique.size <= _FEW_VALUES else _SAME_OF_MANY) else "image"


def _are_fractions(unique: np.ndarray, counts: np.ndarray, scaling: tuple[float, float]) -> bool:
    """Whether most voxels of a map from 0 to 1 are 0 and many others are near 1, unlike in a normalised image."""
    scaled = unique * scaling[0] + scaling[1]
    zero = counts[scaled <= 1e-6].sum() / counts.sum()
    full = counts[scaled >= 0.95].sum() / max(1, counts[scaled > 1e-6].sum())
    return bool(zero >= 0.97 or (zero >= 0.2 and full >= 0.12))


def _share_of_equal_neighbours(values: np.ndarray, background: Any) -> float:
    """Fraction of voxels outside the background that equal their neighbour, along the axis with the lowest value."""
    import numpy as np

    shares = []
    for axis in range(3):
        if values.shape[axis] > 1:
            one = np.take(values, range(1, values.shape[axis]), axis)
            foreground = one != background
            equal = (one == np.take(values, range(values.shape[axis] - 1), axis)) & foreground
            shares.append(equal.sum() / max(1, foreground.sum()))
    return float(min(shares, default=0.0))


def _is_invertible(affine: np.ndarray) -> bool:
    import numpy as np

    return bool(np.isfinite(affine).all() and np.linalg.matrix_rank(affine) == len(affine))


def _open_nibabel(path: Path) -> Any:
    import nibabel as nib

    try:
        image: Any = nib.load(path)
    except nib.filebasedimages.ImageFileError as error:
        raise ValueError("its content does not match its file extension") from error
    if not isinstance(image, nib.MGHImage | nib.AnalyzeImage):
        raise ValueError("its content does not match its file extension")
    return image


def _open_itk(path: Path, library: str) -> Any:
    """An image read by SimpleITK as nibabel's: axes (x, y, z), affine in RAS."""
    import nibabel as nib
    import numpy as np
    import SimpleITK as sitk

    find_data_file(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(library)
    try:
        with utf8_name(path) as name:
            reader.SetFileName(name)
            reader.ReadImageInformation()
            if (n := reader.GetNumberOfComponents()) != 1:
                raise ValueError(f"it has {n} numbers per voxel, not one")
            if np.prod(reader.GetSize(), dtype=object) > MAX_VOXELS:  # all volumes are read
                raise ValueError("its header declares more voxels than any head scan has")
            image = reader.Execute()
    except (RuntimeError, UnicodeError) as error:
        raise ValueError("its content cannot be read by SimpleITK") from error
    if image.GetDimension() == 4:
        origin, spacing = np.array(image.GetOrigin()[:3]), np.array(image.GetSpacing()[:3])
        direction = np.array(image.GetDirection()).reshape(4, 4)[:3, :3]
    elif image.GetDimension() == 3:
        origin, spacing = np.array(image.GetOrigin()), np.array(image.GetSpacing())
        direction = np.array(image.GetDirection()).reshape(3, 3)
    else:
        raise ValueError(f"it has {image.GetDimension()} dimensions, not 3")
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    values = sitk.GetArrayFromImage(image).T
    return nib.Nifti1Image(values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, dtype=values.dtype)
