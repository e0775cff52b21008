"""From stored voxels to the patches that NeuroVFM reads. Imports no torch.

Source: neurovfm/data of MLNeurosurg/neurovfm at 98e4bb3c (December 2025), with a repaired choice of the slice axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import SimpleITK as sitk

from prima_features.encoders.base import Prepared
from prima_features.encoders.patches import Patches
from prima_features.encoders.picture import draw_slice
from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import PLANES, Acquired, ReadOptions, read_series
from prima_features.volumes.volume import StoredGrid

AxisRule = Literal["repaired", "public"]

PATCH = (4, 16, 16)
"""Voxels of a patch along the slice axis and the two others, and so mm: the grid has 4 x 1 x 1 mm."""
_ACROSS, _ALONG = 4.0, 1.0
_MEAN, _SD = 0.3141, 0.2623
_FOREGROUND = 10.0
"""Percentile of the volume's voxels above which a voxel is foreground."""
_CLIP = (0.5, 99.5)
_SAME_SPACING = 1e-3
_SAME_PLACE = 1e-2
"""How far apart, in mm, the corners of a volume may be by two readings of one header."""
_ORDER = {2: (0, 1, 2), 1: (1, 0, 2), 0: (2, 1, 0)}
"""Axes of an array (z, y, x) in the order (D, H, W), by the slice axis of (x, y, z). Sagittal slices come as (y, z), as
the public code has them."""
_WEIGHT = 64
"""Patches in one unit of `Prepared.weight`."""
WEIGHT_UNIT = f"groups of {_WEIGHT} patches"


@dataclass(frozen=True)
class NeuroVFMPreparer:
    """Reads a series and cuts it into patches; an `encoders.base.Preparer`."""

    slice_axis: AxisRule = "repaired"

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read, is too small, or has no patch without background.
        """
        acquired = read_series(series, options)
        image = sitk.DICOMOrient(as_published(acquired, series), "RPI")
        axis = choose_axis(image.GetSize(), image.GetSpacing(), self.slice_axis)
        resampled = crop(resample(image, axis), axis)
        volume = sitk.GetArrayFromImage(resampled)  # (z, y, x)
        kept = cut(volume.transpose(_ORDER[axis]))
        z, y, x = volume.shape
        dx, dy, dz = resampled.GetSpacing()
        return Prepared(
            arrays=Patches(
                kept.values, kept.place.astype(np.float32), lps_corner(kept.place, axis, volume.shape)
            ),
            weight=-(-len(kept.values) // _WEIGHT),
            n_tokens=len(kept.values),
            plane=PLANES[2 - axis],
            shape=(z, y, x),
            spacing=(dz, dy, dx),
            slice_axis_known_by=f"NeuroVFM's rule ({self.slice_axis})",
            flags=(*acquired.flags, f"cut-{PLANES[2 - axis]}"),
            picture=draw_slice(volume[z // 2, :, ::-1], (dy, dx)) if picture else None,
        )


def as_published(acquired: Acquired, series: Series) -> sitk.Image:
    """The image as SimpleITK reads it, which the public code does.

    At spacings of 1 mm most samples of the new grid are old ones, and whether 7 stays 7 or becomes 6.9999 and then 6 is
    decided by the last digits of origin and direction. Those of a NIfTI file are therefore SimpleITK's own.
    """
    if acquired.stored is None or not isinstance(series.image, NiftiImage):
        return acquired.image
    image = acquired.image
    if (geometry := _sitk_geometry(series.image.path, acquired.stored)) is not None:
        values = acquired.stored.to_stored(sitk.GetArrayViewFromImage(image).T)
        image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
        image.SetOrigin(geometry.origin)
        image.SetSpacing(geometry.spacing)
        image.SetDirection(geometry.direction)
    if image.GetPixelID() == sitk.sitkFloat64:  # scaled voxels
        image = sitk.Cast(image, sitk.sitkFloat32)
    return image


class _Geometry(NamedTuple):
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]


def _sitk_geometry(path: Path, stored: StoredGrid) -> _Geometry | None:
    """What SimpleITK reads in a NIfTI header; None if it does not read it, or uses another of its two affines."""
    reader = sitk.ImageFileReader()
    if path.name.endswith((".nii", ".nii.gz")):
        reader.SetImageIO("NiftiImageIO")  # others would open the file too, to see whether it is theirs
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    n = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (n, n))[:3, :3]
    spacing, origin = reader.GetSpacing()[:3], reader.GetOrigin()[:3]
    ras = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([direction * spacing, origin])
    corners = np.array([[0, 0, 0, 1], [*stored.shape, 1]]).T
    same = np.abs(ras @ corners - stored.affine[:3] @ corners).max() < _SAME_PLACE
    return _Geometry(origin, spacing, tuple(direction.ravel())) if same else None


def choose_axis(size: Sequence[int], spacing: Sequence[float], rule: AxisRule) -> int:
    """The axis of (x, y, z) that is cut into 4 mm slices.

    The public rule takes z if all spacings are equal, and else, of the axes whose number of samples no other axis has,
    the shortest. The repaired rule counts spacings within a thousandth as equal, and takes the axis of the largest
    spacing if all numbers of samples are equal.

    Raises:
        SeriesError: the public rule finds no axis.
    """
    if rule == "public":
        equal = spacing[0] == spacing[1] == spacing[2]
    else:
        equal = max(spacing) - min(spacing) <= _SAME_SPACING * max(spacing)
    if equal:
        return 2
    once = [n for n in size if list(size).count(n) == 1]
    if once:
        return list(size).index(min(once))
    if rule == "public":
        raise SeriesError(
            f"NeuroVFM's public rule finds no slice axis in {size[0]} x {size[1]} x {size[2]} voxels of unequal size",
            hint="embed with --encoder-option slice_axis=repaired, which is the default",
        )
    return max(range(3), key=lambda axis: (spacing[axis], axis))


def resample(image: sitk.Image, axis: int) -> sitk.Image:
    """The image with 4 mm along an axis and 1 mm along the others, by cubic B-splines, 0 outside.

    The number type is kept: SimpleITK truncates towards zero and limits values to the type's range, and the model was
    trained with that. In float32 other voxels would be foreground.
    """
    return sitk.Resample(
        image,
        resampled_size(image.GetSize(), image.GetSpacing(), axis),
        sitk.Transform(),
        sitk.sitkBSpline,
        image.GetOrigin(),
        _new_spacing(axis),
        image.GetDirection(),
        0.0,
        image.GetPixelID(),
    )


def resampled_size(size: Sequence[int], spacing: Sequence[float], axis: int) -> list[int]:
    """Samples along (x, y, z) of the image that `resample` makes."""
    return [int(n * s / new) for n, s, new in zip(size, spacing, _new_spacing(axis), strict=True)]


def _new_spacing(axis: int) -> list[float]:
    return [_ACROSS if i == axis else _ALONG for i in range(3)]


def crop(image: sitk.Image, axis: int) -> sitk.Image:
    """The middle of the image, a whole number of patches along each axis.

    Raises:
        SeriesError: an axis is shorter than a patch.
    """
    patch = [PATCH[0] if i == axis else PATCH[1] for i in range(3)]
    size = [n // m * m for n, m in zip(image.GetSize(), patch, strict=True)]
    if min(size) == 0:
        x, y, z = image.GetSize()
        raise SeriesError(
            f"at 4 mm along its slice axis and 1 mm along the others it has {x} x {y} x {z} voxels, fewer than one of "
            "NeuroVFM's patches",
            hint="leave it out: it does not cover a head",
        )
    start = [n % m // 2 for n, m in zip(image.GetSize(), patch, strict=True)]
    return sitk.RegionOfInterest(image, size, start)


@dataclass(frozen=True)
class Kept:
    """The patches of a volume that are foreground throughout."""

    values: np.ndarray
    """(n, 1024) float32, normalised; each 4 x 16 x 16 in C order."""
    place: np.ndarray
    """(n, 3) where each is in the grid of patches (D, H, W)."""


def cut(volume: np.ndarray) -> Kept:
    """Scale a volume (D, H, W) by its percentiles, and keep the patches without background.

    Raises:
        SeriesError: none is.
    """
    values = volume.astype(np.float64)
    low, background, high = np.percentile(values, (_CLIP[0], _FOREGROUND, _CLIP[1]))
    kept = _patches(values > background).all(1)
    if not kept.any():
        raise SeriesError(
            "each of its patches contains background, so NeuroVFM reads nothing of it",
            hint="leave it out; if it is skull-stripped, embed the scan with its skull",
        )
    values = np.clip(values, low, high)
    values = (values - values.min()) / (values.max() - values.min() + 1e-8)
    grid = [n // m for n, m in zip(volume.shape, PATCH, strict=True)]
    place = np.argwhere(np.ones(grid, bool))[kept]
    return Kept(((_patches(values)[kept].astype(np.float32) - np.float32(_MEAN)) / np.float32(_SD)), place)


def _patches(values: np.ndarray) -> np.ndarray:
    """(D, H, W) to (patches, voxels)."""
    d, h, w = PATCH
    blocks = values.reshape(len(values) // d, d, values.shape[1] // h, h, -1, w)
    return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(-1, d * h * w)


def lps_corner(place: np.ndarray, axis: int, shape: Sequence[int]) -> np.ndarray:
    """(n, 3) int16: (z, y, x) of the first voxel of each patch in the resampled volume, turned to LPS.

    Args:
        place: (n, 3) in the grid of patches, the slice axis first.
        axis: the slice axis of (x, y, z).
        shape: (z, y, x) of the volume, whose z runs to the feet and whose x runs to the right.
    """
    corner, size = np.empty_like(place), np.empty(3, int)
    corner[:, _ORDER[axis]], size[list(_ORDER[axis])] = place * PATCH, PATCH
    for reversed_axis in (0, 2):
        corner[:, reversed_axis] = shape[reversed_axis] - size[reversed_axis] - corner[:, reversed_axis]
    return corner.astype(np.int16)
