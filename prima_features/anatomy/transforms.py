"""Affine transforms from a scan to MNI152: their files, and their rigid part."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from prima_features.anatomy.quality import scale
from prima_features.errors import SeriesError
from prima_features.files.safe import UnsafeFileError, read_text
from prima_features.files.text import bounded

MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""As published on FreeSurfer's page "Coordinate Systems"."""
AFFINE_PART = "affine part"
"""What is used of a transform that also has a nonlinear part."""
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MOST_BYTES = 1 << 20
_MOST_PARTS, _LONGEST_NAME = 16, 60
_SMALLEST, _LARGEST = 0.2, 5.0
"""Mean linear scale of a transform between heads, and bounds of its scale in any direction."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_XFM = re.compile(r"Linear_Transform\s*=\s*((?:" + _NUMBER + r"\s+){11}" + _NUMBER + r")\s*;")
_LTA = re.compile(r"^1 4 4\s+((?:" + _NUMBER + r"\s+){15}" + _NUMBER + r")\s", re.MULTILINE)
_FLIRT = (
    "a matrix of FSL FLIRT relates voxels of two images, and these are not known here: convert it with "
    "c3d_affine_tool -ref MNI.nii.gz -src SCAN.nii.gz flirt.mat -fsl2ras -o affine.txt"
)
_KINDS = (
    "give a text file with 4 rows of 4 numbers (scan to MNI152, mm in RAS), a transform of ITK or ANTs, "
    "talairach.xfm, or an .lta file"
)
_DIRECTION = re.compile(r"(?:^|_)from-([A-Za-z0-9+]+)_(?:.*_)?to-([A-Za-z0-9+]+)")
_DESTINATION = re.compile(r"(?:mni|icbm|average).*?(152|305)|(talairach)", re.IGNORECASE)
"""Names of images in MNI space. A number alone may be that of a subject."""
_NONLINEAR = re.compile(r"DisplacementField|VelocityField|BSpline|Diffeomorphic")
_ITK_LINEAR: dict[str, Any] = {
    "AffineTransform": lambda: sitk.AffineTransform(3),
    "MatrixOffsetTransformBase": lambda: sitk.AffineTransform(3),
    "Euler3DTransform": sitk.Euler3DTransform,
    "VersorRigid3DTransform": sitk.VersorRigid3DTransform,
    "Similarity3DTransform": sitk.Similarity3DTransform,
    "ScaleVersor3DTransform": sitk.ScaleVersor3DTransform,
    "ScaleSkewVersor3DTransform": sitk.ScaleSkewVersor3DTransform,
    "VersorTransform": sitk.VersorTransform,
    "ScaleTransform": lambda: sitk.ScaleTransform(3),
    "TranslationTransform": lambda: sitk.TranslationTransform(3),
    "IdentityTransform": lambda: sitk.TranslationTransform(3),
}


def read_transform(path: Path) -> tuple[np.ndarray, str]:
    """The affine transform from a scan to MNI152 in a file.

    | file | content |
    |---|---|
    | text | 4 rows of 4 numbers: scan to MNI152, mm in RAS |
    | ITK and ANTs (.txt, .tfm, .mat, .h5) | what resamples the scan onto MNI152: from points in MNI152 to points in the
      scan, mm in LPS; it is inverted. If a name of BIDS states `from-MNI...`, the other direction. Of a composite, the
      affine part |
    | talairach.xfm | scan to MNI305; composed with the published matrix to MNI152 |
    | .lta | RAS to RAS; the destination must be named MNI305 or MNI152 |

    A name of BIDS that states another destination than MNI152, such as `from-T1w_to-fsnative`, is refused.

    Returns:
        (4, 4) float64, mm in RAS, and `AFFINE_PART` if the file also has a nonlinear part.

    Raises:
        SeriesError: it cannot be read, or is no such transform.
    """
    note = ""
    try:
        _check_name(path.name)
        match path.suffix.lower():
            case ".h5" | ".hdf5":
                matrix, note = _oriented(*_itk_hdf5(path), path.name)
            case ".xfm":
                matrix = MNI305_TO_MNI152 @ _rows(_XFM, _text(path), "talairach.xfm")
            case ".lta":
                matrix = _lta(_text(path))
            case _:
                matrix, note = _text_or_itk(path)
        return _checked(matrix), note
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise SeriesError(
            f"its transform to MNI152 cannot be read: {reason}", hint="check that the file is there"
        ) from error
    except UnsafeFileError as error:
        raise SeriesError(f"its transform to MNI152 {error}", hint=_KINDS) from error
    except ValueError as error:
        raise SeriesError(f"its transform to MNI152 cannot be used: {error}", hint=_KINDS) from error


def _text_or_itk(path: Path) -> tuple[np.ndarray, str]:
    try:
        text = _text(path)
    except UnicodeDecodeError:  # .mat of ITK
        return _oriented(*_itk(path), path.name)
    if text.lstrip().startswith("#Insight Transform File"):
        return _oriented(*_itk(path), path.name)
    try:
        numbers = [float(word) for line in text.splitlines() for word in line.partition("#")[0].split()]
    except ValueError:
        raise ValueError("it is neither 16 numbers nor a transform of ITK") from None
    if len(numbers) != 16:
        raise ValueError(f"it has {len(numbers)} numbers, not 16")
    if path.suffix.lower() == ".mat":
        raise ValueError(_FLIRT)
    if _is_from_mni(path.name):
        raise ValueError("its name states that it is from MNI152: give the inverse matrix")
    return np.reshape(numbers, (4, 4)), ""


def _text(path: Path) -> str:
    return read_text(path, _MOST_BYTES)


def _rows(pattern: re.Pattern[str], text: str, kind: str) -> np.ndarray:
    """Three or four rows of four numbers, as (4, 4)."""
    found = pattern.search(text)
    if found is None:
        raise ValueError(f"it is not {kind}")
    rows = np.reshape([float(word) for word in found[1].split()], (-1, 4))
    return rows if len(rows) == 4 else np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])


def _lta(text: str) -> np.ndarray:
    kind = re.search(r"^type\s*=\s*(\d+)", text, re.MULTILINE)
    if kind is None or kind[1] != "1":
        raise ValueError("it is not from RAS to RAS: convert it with lta_convert --inlta IN --outlta OUT.lta")
    _, _, target = text.partition("dst volume info")
    name = (re.search(r"^filename\s*=\s*(.*)$", target, re.MULTILINE) or [""] * 2)[1].rpartition("/")[2]
    matrix = _rows(_LTA, text, "an .lta file with one 4 x 4 matrix")
    if (space := _DESTINATION.search(name)) is None:
        raise ValueError("its destination is not called MNI152 or MNI305, so its space is unknown")
    return matrix if space[1] == "152" else MNI305_TO_MNI152 @ matrix


def _itk(path: Path) -> tuple[np.ndarray, bool]:
    """The linear part of a transform that SimpleITK reads, mm in LPS, and whether there is another part."""
    try:
        read = sitk.ReadTransform(str(path))
        if (dimensions := read.GetDimension()) != 3:
            raise ValueError(f"it transforms {dimensions} dimensions, not 3")
        parts = [read]
        if read.GetTransformEnum() == sitk.sitkComposite:
            members = sitk.CompositeTransform(read)
            parts = [members.GetNthTransform(number) for number in range(members.GetNumberOfTransforms())]
        return _composed([_matrix(part) if part.IsLinear() else None for part in parts])
    except (RuntimeError, KeyError) as error:  # KeyError: a kind that SimpleITK does not know
        raise ValueError("it is neither 16 numbers nor a transform of ITK that can be read") from error


def _itk_hdf5(path: Path) -> tuple[np.ndarray, bool]:
    """As `_itk`. The displacements, hundreds of megabytes, are not read."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            group = file["TransformGroup"]
            names = sorted((name for name in group if name.isdigit()), key=int)
            if len(names) > _MOST_PARTS:
                raise ValueError(f"it has {len(names)} parts, and at most {_MOST_PARTS} are read")
            parts = [_hdf5_part(group[name]) for name in names]
    except (KeyError, RuntimeError, TypeError) as error:
        raise ValueError("it is not a transform of ITK") from error
    except OSError as error:
        if error.errno:
            raise
        raise ValueError("it is not a transform of ITK") from error
    # The group of a composite itself has no parameters.
    return _composed([part for part in parts if not isinstance(part, str)])


def _hdf5_part(group: Any) -> np.ndarray | str | None:
    """Matrix of a linear part; None of a nonlinear one; its name if it is the composite."""
    kind = group["TransformType"][()]
    name = np.atleast_1d(kind)[0]
    name = (name.decode() if isinstance(name, bytes) else str(name)).partition("_")[0]
    if name == "CompositeTransform":
        return name
    if _NONLINEAR.search(name):
        return None
    if name not in _ITK_LINEAR:
        raise ValueError(f"it contains a {bounded(name, _LONGEST_NAME)}, which is not supported")
    part = _ITK_LINEAR[name]()
    parameters, fixed = (_hdf5_numbers(group, which) for which in ("Parameters", "FixedParameters"))
    if fixed:
        part.SetFixedParameters(fixed)
    if parameters:
        part.SetParameters(parameters)
    return _matrix(part)


def _hdf5_numbers(group: Any, which: str) -> list[float]:
    for prefix in ("Transform", "Tranform"):  # as ITK before 5 spelled it
        if prefix + which in group:
            return np.ravel(group[prefix + which][:64]).tolist()
    return []


def _matrix(part: Any) -> np.ndarray:
    """(4, 4) of a linear transform of SimpleITK, from where it maps four points."""
    origin = np.array(part.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis in range(3):
        matrix[:3, axis] = np.array(part.TransformPoint(tuple(np.eye(3)[axis]))) - origin
    return matrix


def _composed(parts: Sequence[np.ndarray | None]) -> tuple[np.ndarray, bool]:
    """The product of the linear parts (ITK applies the last one first), and whether there is another part."""
    linear = [part for part in parts if part is not None]
    if not linear:
        raise ValueError("it has no affine part")
    matrix = np.eye(4)
    for part in linear:
        matrix = matrix @ part
    return matrix, len(linear) < len(parts)


def _oriented(matrix: np.ndarray, has_more: bool, name: str) -> tuple[np.ndarray, str]:
    """From points of MNI152 to points of the scan in LPS, as ITK resamples, to scan to MNI152 in RAS."""
    if not _is_from_mni(name):
        matrix = np.linalg.inv(_finite(matrix))
    return _LPS @ matrix @ _LPS, AFFINE_PART if has_more else ""


def _check_name(name: str) -> None:
    """Raise ValueError if a name of BIDS states another destination than MNI152."""
    found = _DIRECTION.search(name)
    if found is None:
        return
    space = found[1] if _is_from_mni(name) else found[2]
    if not re.match(r"mni(152|$)", space, re.IGNORECASE):
        raise ValueError(f"its name states the space {bounded(space, _LONGEST_NAME)}, not MNI152")


def _is_from_mni(name: str) -> bool:
    found = _DIRECTION.search(name)
    return found is not None and found[1].upper().startswith("MNI")


def _finite(matrix: np.ndarray) -> np.ndarray:
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise ValueError("its matrix is singular or not finite")
    return matrix


def _checked(matrix: np.ndarray) -> np.ndarray:
    matrix = _finite(np.asarray(matrix, np.float64))
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise ValueError("the last row of its matrix is not 0 0 0 1")
    if np.linalg.det(matrix[:3, :3]) < 0:
        raise ValueError("its matrix exchanges left and right")
    scales = (*np.linalg.svd(matrix[:3, :3], compute_uv=False), scale(matrix))
    if wrong := [one for one in scales if not _SMALLEST <= one <= _LARGEST]:
        raise ValueError(f"its matrix scales by {wrong[-1]:.3g}: the unit must be mm")
    if not math.isfinite(np.abs(matrix).max()) or np.abs(matrix[:3, 3]).max() > 10_000:
        raise ValueError("its matrix shifts by more than 10 m")
    return matrix


def rigid(affine: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The rotation and translation (4, 4) in an affine (4, 4): sizes are kept.

    The rotation is the orthogonal factor of the polar decomposition. The point that the affine maps to `centre` is
    still mapped there.

    Args:
        affine: between two spaces in mm.
        centre: (3,) mm.
    """
    left, _, right = np.linalg.svd(affine[:3, :3])
    rotation = left @ right
    point = np.linalg.inv(affine) @ [*centre, 1.0]
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = centre - rotation @ point[:3]
    return result
