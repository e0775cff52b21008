"""Brain mask and position in MNI space of a scan, and its resampling onto the grid of an encoder.

Nothing is resampled twice: matrices are composed, and the stored voxels are read once.

    stored grid --affine--> scan, mm --to_mni--> MNI152NLin6Asym, mm --> world of the encoder's grid
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from prima_features.volumes.volume import Acquired

STRIPPED = "zeros outside the brain"
"""`Anatomy.mask_from` of a scan that was already skull-stripped."""

_ZEROS = 0.2
"""Least fraction of exact zeros in a stripped scan, even if it is cropped to the brain."""
_LITRES = (0.4, 2.7)
"""Volume of a brain with its fluid, from infants to a generous mask in MNI space (2.5). Whole heads have 3 or more."""
_ONE_PIECE = 0.95
"""Least fraction of the nonzero voxels in the largest piece."""
_STEP = 2.0
"""mm between the samples that are looked at."""
_LAYERS = ((6.0, 9.0), (9.0, 12.0), (12.0, 15.0))
"""mm below the outline: the skull of a head, the cortex of a stripped brain."""
_CORE = 20.0
_DARK, _MOST_DARK = 0.4, 0.35
"""Signal relative to the median of the core, and largest fraction of such samples in any layer. In synthetic heads of
five contrasts, whole or in part, 0.45 or more; in stripped ones up to 0.20. A real T2w head had only 0.24."""
_FEWEST_LINES = 50
_REACH, _CHORD = 26.0, 80.0
"""mm that is looked at inwards along each line, and shortest line through the head."""
_DIP, _MOST_DIPS = 0.25, 0.55
"""Signal between two brighter samples, relative to the darker of these, and largest fraction of lines with such a dip:
scalp, skull, brain. In that T2w head 0.65 or more; in stripped brains up to 0.20, and 0.44 in a template."""
_DIGITS = 10


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What is known of the brain in one scan."""

    mask: np.ndarray | None = None
    """Bool, True in the brain, on the grid of the scan as stored (`volume.StoredGrid`); None if unknown."""
    to_mni: np.ndarray | None = None
    """(4, 4) float64, from the scan's to MNI152NLin6Asym coordinates, both mm in RAS; None if unknown."""
    mask_from: str = ""
    """Source of the mask, for the embeddings file."""
    to_mni_from: str = ""
    """Source of the affine."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid that an encoder reads."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    """(4, 4), voxel indices to mm in RAS, in the space of a template."""

    @property
    def centre(self) -> np.ndarray:
        """(3,) mm, midway between the first and the last voxel."""
        return (self.affine @ [*((np.array(self.shape) - 1) / 2), 1.0])[:3]


def grid(shape: tuple[int, int, int], first: tuple[float, float, float], axes: str = "RAS") -> Grid:
    """A grid of 1 mm.

    Args:
        shape: its voxels.
        first: position of the first voxel, mm in RAS.
        axes: direction in which the indices of each of x, y and z grow, such as LAS.
    """
    signs = [1.0 if axis in "RAS" else -1.0 for axis in axes]
    affine = np.diag([*signs, 1.0])
    affine[:3, 3] = first
    return Grid(shape, affine)


def stored_values(acquired: Acquired) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a scan on its stored grid as float32, NaN replaced by 0, and the grid's affine (4, 4)."""
    on_image = sitk.GetArrayViewFromImage(acquired.image).transpose()
    values = acquired.grid.to_stored(on_image).astype(np.float32)
    return np.nan_to_num(values, copy=False), acquired.grid.affine


def resample(
    values: np.ndarray,
    affine: np.ndarray,
    to: Grid,
    to_world: np.ndarray | None = None,
    order: Literal[0, 1] = 1,
    outside: Literal["constant", "nearest"] = "constant",
) -> np.ndarray:
    """Read a stored volume on another grid, in one interpolation.

    Args:
        values: (i, j, k).
        affine: (4, 4), its voxel indices to mm.
        to: the grid to read it on.
        to_world: (4, 4), from the scan's mm to those of `to`; None if they are the same.
        order: 1 is trilinear, 0 the nearest voxel, for masks.
        outside: beyond the centres of the outermost voxels, 0 or the nearest voxel.

    Returns:
        Values of shape `to.shape` in the number type of `values`.

    Raises:
        numpy.linalg.LinAlgError: a matrix is singular.
    """
    forward = affine if to_world is None else to_world @ affine
    # Rounding keeps a voxel at the border of the volume inside of it.
    indices = np.round(np.linalg.inv(forward) @ to.affine, _DIGITS)
    return ndimage.affine_transform(
        values, indices[:3, :3], indices[:3, 3], output_shape=to.shape, order=order, mode=outside, cval=0
    )


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


def litres(mask: np.ndarray, affine: np.ndarray) -> float:
    """Volume of a mask (i, j, k) on a grid with an affine (4, 4)."""
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1e6)


def scale(affine: np.ndarray) -> float:
    """Mean linear scale of an affine (4, 4)."""
    return float(np.cbrt(abs(np.linalg.det(affine[:3, :3]))))


def stripped_mask(values: np.ndarray, affine: np.ndarray) -> np.ndarray | None:
    """The nonzero voxels of a scan that was already skull-stripped; None if it was not.

    Zeros alone do not suffice: defaced, masked and resampled heads are surrounded by them, too. A stripped scan is one
    piece with the volume of a brain, without a skull: no dark layer below its outline, and few lines inwards that go
    from bright to dark to bright.

    Args:
        values: (i, j, k).
        affine: (4, 4), voxel indices to mm.
    """
    mask = values != 0
    if mask.mean() > 1 - _ZEROS:
        return None
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(np.rint(_STEP / sides), 1).astype(int)
    sample = values[tuple(slice(step // 2, None, step) for step in steps)]
    whole = _filled(sample != 0)
    volume = whole.sum() * np.prod(sides * steps) / 1e6
    if not _LITRES[0] <= volume <= _LITRES[1] or whole[sample != 0].mean() < _ONE_PIECE:
        return None
    # Z-scores are below 0 where the signal was lowest.
    signal = np.where(sample != 0, sample - min(values.min(), 0), 0).astype(np.float32)
    return (
        None
        if _has_dark_layer(signal, whole, sides * steps) or _has_dips(signal, whole, sides * steps)
        else mask
    )


def _filled(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask without its holes."""
    margin = [(2, 2)] * 3
    closed = ndimage.binary_closing(np.pad(mask, margin), iterations=2)
    parts, n = ndimage.label(ndimage.binary_fill_holes(closed)[2:-2, 2:-2, 2:-2])
    return parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1 if n > 1 else parts > 0


def _has_dark_layer(values: np.ndarray, whole: np.ndarray, sides: np.ndarray) -> bool:
    """Whether most samples at some depth below the outline are dark (or there is no core to compare with).

    Args:
        values: (i, j, k), at least 0.
        whole: the filled outline.
        sides: of the voxels, mm.
    """
    depth = ndimage.distance_transform_edt(whole, sampling=sides)
    core = values[depth > _CORE]
    if not core.size:
        return True
    dark = values < _DARK * np.median(core)
    layers = [dark[(depth > low) & (depth <= high)] for low, high in _LAYERS]
    return max(layer.mean() for layer in layers if layer.size) > _MOST_DARK


def _has_dips(values: np.ndarray, whole: np.ndarray, sides: np.ndarray) -> bool:
    """Whether most lines from the outline inwards go from bright to dark to bright.

    Arguments as of `_has_dark_layer`.
    """
    shares = []
    for axis in np.flatnonzero(sides <= 1.5 * _STEP):
        n = round(_REACH / sides[axis])
        for turn in (slice(None), slice(None, None, -1)):
            lines, inside = (np.moveaxis(one, axis, 0)[turn] for one in (values, whole))
            start = inside.argmax(0)
            usable = (start > 0) & (start + n < len(lines)) & (inside.sum(0) * sides[axis] > _CHORD)
            where = np.nonzero(usable)
            if len(where[0]) < _FEWEST_LINES:
                continue
            read = lines[start[usable] + np.arange(n)[:, None], where[0], where[1]]  # (n, lines)
            before = np.maximum.accumulate(read)[:-2]
            after = np.maximum.accumulate(read[::-1])[::-1][2:]
            dip = (read[1:-1] / np.maximum(np.minimum(before, after), 1e-9)).min(0)
            shares.append((dip < _DIP).mean())
    return bool(shares) and float(np.median(shares)) > _MOST_DIPS


def find_anatomy(acquired: Acquired) -> Anatomy:
    """What is known of the brain in a scan without any further file: its mask, if it was skull-stripped."""
    mask = stripped_mask(*stored_values(acquired))
    return Anatomy() if mask is None else Anatomy(mask=mask, mask_from=STRIPPED)
