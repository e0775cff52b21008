"""Scans that were already skull-stripped: their nonzero voxels are the brain mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

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
