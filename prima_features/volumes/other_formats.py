"""Reading images in formats other than NIfTI and DICOM: they are converted to NIfTI first, so the same rules apply."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, OtherImage
from prima_features.studies.voxels import Opened, open_other
from prima_features.volumes.nifti_geometry import SliceAxis, describe_slices, read_geometry

_GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "pixdim", "dim_info", "xyzt_units",
)  # fmt: skip
"""Fields of a NIfTI header."""


def to_nifti(image: OtherImage, folder: Path) -> NiftiImage:
    """Write an image to an uncompressed NIfTI file in `folder`, without changing its values or geometry.

    .mgz, .mgh and pairs of .hdr and .img are read by nibabel; .nrrd, .nhdr, .mha and .mhd by SimpleITK. An Analyze 7.5
    header does not state which side is left: its first axis is assumed to run from right to left, as in nibabel and
    SPM, and both codes of the written file are 0 (unknown orientation).

    Raises:
        SeriesError: the file is damaged, or not one image of plain numbers.
    """
    try:
        opened = open_other(image)
        values = np.asanyarray(opened.other.dataobj)
    except OSError:
        raise
    except Exception as error:  # the readers have no common base class for errors of damaged files
        reason = str(error) if isinstance(error, ValueError) else "its voxels cannot be read"
        raise SeriesError(reason, hint="the file is damaged or truncated: copy it again") from error
    if values.dtype.kind not in "iuf":
        raise SeriesError("its voxels are not scalar values", hint="embed the magnitude image")
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    made = _with_geometry(values, opened)
    path = folder / "image.nii"
    nib.save(made, path)
    return NiftiImage(path, image.volumes, image.orientation, image.scale)


def read_other_slices(image: OtherImage, wanted: SliceAxis | None = None) -> tuple[int, str, tuple[str, ...]]:
    """As `volumes.nifti.read_nifti_slices`.

    Raises:
        SeriesError: the header cannot be read.
        OSError: the file cannot be read.
    """
    try:
        opened = open_other(image)
    except ValueError as error:
        raise SeriesError(str(error)) from error
    header = _with_geometry(np.broadcast_to(np.uint8(0), opened.shape), opened).header
    geometry = read_geometry(header, np.array(header["pixdim"][1:4], np.float64))
    return describe_slices(geometry, wanted, image.orientation)


def _with_geometry(values: np.ndarray, opened: Opened) -> nib.Nifti1Image:
    """A NIfTI image of these values with the geometry of the file."""
    made = nib.Nifti1Image(values, opened.affine, dtype=values.dtype)
    made.header.set_xyzt_units("mm")
    if isinstance(opened.other, nib.Nifti1Pair) and opened.path.suffix.lower() == ".hdr":
        for name in _GEOMETRY:
            made.header[name] = opened.other.header[name]
    elif isinstance(opened.other, nib.AnalyzeImage) and not isinstance(opened.other, nib.Nifti1Pair):
        made.set_sform(opened.affine, 0)
        made.set_qform(opened.affine, 0)
    return made
