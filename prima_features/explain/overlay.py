"""Pictures of a map over the scan: an axial and a coronal slice. Never a sagittal one, which shows a face's profile."""

from __future__ import annotations

import base64
import io

import numpy as np

from prima_features.explain.run import ExplainedSeries

_SIDE = 300
"""Pixels of the longest side."""
_GAP = 8
_WINDOW = (1.0, 99.5)
"""Percentiles of the slices' intensities that become black and white."""
_STRENGTH = 0.65
"""Opacity of the largest coefficient."""
POSITIVE, NEGATIVE = (204, 102, 119), (68, 119, 170)
"""Rose for tokens that raise the target, blue for tokens that lower it."""


def certain(one: ExplainedSeries) -> np.ndarray:
    """(N,) tokens whose interval does not contain 0; all of them if the method has no spread."""
    spread = one.attribution.spread
    inside: np.ndarray = ~(np.abs(one.attribution.coefficient) <= spread)
    return inside


def overlay(one: ExplainedSeries) -> str:
    """An axial and a coronal slice through the token with the largest certain coefficient, as a `data:` address.

    Tokens whose interval contains 0 are not coloured.
    """
    coefficient = np.where(certain(one), one.attribution.coefficient, 0)
    grid = one.placement.on_tokens(one.tokens.coord, coefficient)
    largest = float(np.abs(grid).max()) or 1.0
    peak = np.unravel_index(np.argmax(np.abs(grid)), grid.shape)
    if not grid.any():  # nothing is certain: the middle of what was read
        peak = tuple(np.median(one.tokens.coord // one.placement.size, axis=0).astype(int))
    sheets = [_slice(one, grid / largest, axis, int(peak[axis])) for axis in (0, 1)]
    height = max(sheet.shape[0] for sheet in sheets)
    width = sum(sheet.shape[1] for sheet in sheets) + _GAP
    page, left = np.zeros((height, width, 3), np.uint8), 0
    for sheet in sheets:
        top = (height - sheet.shape[0]) // 2
        page[top : top + sheet.shape[0], left : left + sheet.shape[1]] = sheet
        left += sheet.shape[1] + _GAP
    return "data:image/png;base64," + base64.b64encode(_png(page)).decode()


def _slice(one: ExplainedSeries, grid: np.ndarray, axis: int, cell: int) -> np.ndarray:
    """One slice (rows, columns, 3) through the middle of a layer of tokens; `grid` from -1 to 1."""
    volume, size = one.volume, np.array(one.placement.size)
    shape = np.array(volume.values.shape)
    before = (-shape % size) // 2
    index = int(np.clip(cell * size[axis] + size[axis] // 2 - before[axis], 0, shape[axis] - 1))
    row, column = (other for other in range(3) if other != axis)
    values = volume.values.take(index, axis).astype(np.float32)
    low, high = np.percentile(values, _WINDOW)
    grey = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
    rows, columns = ((np.arange(shape[other]) + before[other]) // size[other] for other in (row, column))
    shown = grid.take(cell, axis)[np.ix_(rows, columns)]
    if axis == 1:  # z runs to the head, and rows run down
        grey, shown = grey[::-1], shown[::-1]
    length = shape * np.array(volume.spacing)
    height, width = np.maximum(1, np.rint(_SIDE * length[[row, column]] / length.max())).astype(int)
    grey, shown = _resized(grey, height, width, smooth=True), _resized(shown, height, width, smooth=False)
    alpha = _STRENGTH * np.abs(shown)[..., None]
    colour = np.where(shown[..., None] > 0, POSITIVE, NEGATIVE)
    return np.rint((1 - alpha) * 255 * grey[..., None] + alpha * colour).astype(np.uint8)


def _resized(values: np.ndarray, height: int, width: int, smooth: bool) -> np.ndarray:
    from PIL import Image

    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((int(width), int(height)), how))


def _png(page: np.ndarray) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(page).save(written, "PNG", optimize=True)
    return written.getvalue()
