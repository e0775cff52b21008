"""A small picture of a series for the HTML report, with the outline of its brain mask if there is one."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from prima_features.encoders.base import Picture
from prima_features.volumes import Acquired, Volume
from prima_features.volumes.volume import to_lps

logger = logging.getLogger(__name__)

_SIDE = 88
"""Pixels of the longest side of a slice: a page contains thousands of pictures."""
_GAP = 4
"""Pixels between two slices."""
_WINDOW = (1.0, 99.5)
"""Percentiles that become black and white."""


@dataclass(frozen=True)
class _View:
    """One slice as it is shown."""

    values: np.ndarray
    """(rows, columns)."""
    spacing: tuple[float, float]
    """Of rows and columns, mm."""
    mask: np.ndarray | None
    """(rows, columns), what to outline."""


def draw_series(acquired: Acquired, lps: Volume, mask: np.ndarray | None) -> Picture | None:
    """Draw an axial and a coronal slice: the middle ones, or those with the most of the mask.

    A sagittal slice would show a face.

    Args:
        acquired: the series.
        lps: the same in LPS orientation.
        mask: (i, j, k) on the stored grid, or None.

    Returns:
        None if drawing fails, which costs no series.
    """
    turned = None
    z, y, _ = (size // 2 for size in lps.values.shape)
    if mask is not None:
        on_image = np.ascontiguousarray(acquired.grid.from_stored(mask).transpose(), np.uint8)
        image = sitk.GetImageFromArray(on_image)
        image.CopyInformation(acquired.image)
        turned = to_lps(image).values > 0
        z, y = (int(turned.sum(axis=axes).argmax()) for axes in ((1, 2), (0, 2)))
    dz, dy, dx = lps.spacing
    # In LPS, z runs to the head, and rows run down.
    return _draw(
        _View(lps.values[z], (dy, dx), None if turned is None else turned[z]),
        _View(lps.values[::-1, y], (dz, dx), None if turned is None else turned[::-1, y]),
    )


def draw_slice(values: np.ndarray, spacing: tuple[float, float]) -> Picture | None:
    """Draw an axial slice. A sagittal one would show a face.

    Args:
        values: (rows, columns), rows to the back and columns to the left.
        spacing: of rows and columns, mm.

    Returns:
        None if drawing fails, which costs no series.
    """
    return _draw(_View(values, spacing, None))


def _draw(*views: _View) -> Picture | None:
    """Draw slices next to each other, at one scale and with one grey scale."""
    from PIL import Image

    try:
        limits = [np.percentile(view.values, _WINDOW) for view in views]
        low, high = min(one[0] for one in limits), max(one[1] for one in limits)
        mm = [np.array(view.values.shape) * view.spacing for view in views]
        longest = max(float(one.max()) for one in mm)
        sizes = [np.maximum(1, np.rint(_SIDE * one / longest)).astype(int).tolist() for one in mm]
        height = max(rows for rows, _ in sizes)
        width = sum(columns for _, columns in sizes) + _GAP * (len(views) - 1)
        sheet, left, outline = np.zeros((height, width), np.uint8), 0, ""
        for view, (rows, columns) in zip(views, sizes, strict=True):
            scaled = (view.values.astype(np.float32) - low) / max(float(high - low), 1e-6)
            grey = Image.fromarray(np.clip(255 * scaled, 0, 255).astype(np.uint8))
            top = (height - rows) // 2
            shown = grey.resize((columns, rows), Image.Resampling.BILINEAR)
            sheet[top : top + rows, left : left + columns] = np.asarray(shown)
            if view.mask is not None:
                outline += _outline(view.mask, (rows, columns), (top, left))
            left += columns + _GAP
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "JPEG", quality=72, optimize=True)
        return Picture(file.getvalue(), width, height, outline)
    except Exception as error:
        logger.debug("A series could not be drawn", exc_info=error)
        return None


def _outline(mask: np.ndarray, size: tuple[int, int], corner: tuple[int, int]) -> str:
    """SVG path around a mask (rows, columns) that is shown with this size and upper left corner (row, column)."""
    from contourpy import contour_generator
    from PIL import Image

    (height, width), (top, left) = size, corner
    doubled = (2 * width, 2 * height)
    shown = Image.fromarray(255 * mask.astype(np.uint8)).resize(doubled, Image.Resampling.BILINEAR)
    lines: Any = contour_generator(z=np.pad(np.asarray(shown, np.float32), 1)).lines(127.5)
    # Sample j of the padded array is at (j - 0.5) / 2 pixels.
    paths = (
        "L".join(f"{left + (x - 0.5) / 2:.1f} {top + (y - 0.5) / 2:.1f}" for x, y in line[::2])
        for line in lines
    )
    return "".join(f"M{path}Z" for path in paths)
