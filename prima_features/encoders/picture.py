"""A small picture of a series for the HTML report, with the outline of its brain mask if there is one."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import SimpleITK as sitk

from prima_features.encoders.base import Picture
from prima_features.volumes import Acquired, Volume
from prima_features.volumes.volume import to_lps

logger = logging.getLogger(__name__)

_SIDE = 88
"""Pixels of the longer side: a page contains thousands of pictures."""
_WINDOW = (1.0, 99.5)
"""Percentiles that become black and white."""


def draw_series(acquired: Acquired, lps: Volume, mask: np.ndarray | None) -> Picture | None:
    """Draw an axial slice: the middle one, or the one with the most of the mask.

    Args:
        acquired: the series.
        lps: the same in LPS orientation.
        mask: (i, j, k) on the stored grid, or None.
    """
    if mask is None:
        return draw_slice(lps.values[len(lps.values) // 2], lps.spacing[1:])
    on_image = np.ascontiguousarray(acquired.grid.from_stored(mask).transpose(), np.uint8)
    image = sitk.GetImageFromArray(on_image)
    image.CopyInformation(acquired.image)
    turned = to_lps(image).values > 0
    z = int(turned.sum(axis=(1, 2)).argmax())
    return draw_slice(lps.values[z], lps.spacing[1:], turned[z])


def draw_slice(
    values: np.ndarray, spacing: tuple[float, float], mask: np.ndarray | None = None
) -> Picture | None:
    """Draw an axial slice. A sagittal one would show a face.

    Args:
        values: (rows, columns), rows to the back and columns to the left.
        spacing: of rows and columns, mm.
        mask: (rows, columns), what to outline.

    Returns:
        None if drawing fails, which costs no series.
    """
    from PIL import Image

    try:
        low, high = np.percentile(values, _WINDOW)
        scaled = (values.astype(np.float32) - low) / max(float(high - low), 1e-6)
        mm = np.array(values.shape) * spacing
        height, width = np.maximum(1, np.rint(_SIDE * mm / mm.max())).astype(int).tolist()
        grey = Image.fromarray(np.clip(255 * scaled, 0, 255).astype(np.uint8))
        file = io.BytesIO()
        grey.resize((width, height), Image.Resampling.BILINEAR).save(file, "JPEG", quality=72, optimize=True)
        return Picture(file.getvalue(), width, height, "" if mask is None else _outline(mask, height, width))
    except Exception as error:
        logger.debug("A series could not be drawn", exc_info=error)
        return None


def _outline(mask: np.ndarray, height: int, width: int) -> str:
    """SVG path around a mask (rows, columns) in a picture of this size."""
    from contourpy import contour_generator
    from PIL import Image

    size = (2 * width, 2 * height)
    shown = Image.fromarray(255 * mask.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    lines: Any = contour_generator(z=np.pad(np.asarray(shown, np.float32), 1)).lines(127.5)
    # Sample j of the padded array is at (j - 0.5) / 2 pixels.
    paths = ("L".join(f"{(x - 0.5) / 2:.1f} {(y - 0.5) / 2:.1f}" for x, y in line[::2]) for line in lines)
    return "".join(f"M{path}Z" for path in paths)
