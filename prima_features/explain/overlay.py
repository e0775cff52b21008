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
_EDGES = ("SI", "AP", "RL")
"""Directions at the low and high end of the shown axes z, y, x: z is turned so that the head is up."""
_LEAST_HEIGHT = 70
"""Pixels of a slice that has letters at its upper and lower edge too."""
_LETTERS = (
    "font: bold 17px sans-serif; fill: #fff; stroke: #000; stroke-width: 3px; paint-order: stroke; "
    "text-anchor: middle"
)


def certain(one: ExplainedSeries) -> np.ndarray:
    """(N,) tokens whose interval does not contain 0; all of them if the method has no spread."""
    spread = one.attribution.spread
    inside: np.ndarray = ~(np.abs(one.attribution.coefficient) <= spread)
    return inside


def overlay(one: ExplainedSeries) -> str:
    """An axial and a coronal slice through the group with the largest certain coefficient, as SVG.

    Left the scan, right the map over it. Tokens whose interval contains 0 are not coloured. The patient's right is at
    the left of both.
    """
    coefficient = np.where(certain(one), one.attribution.coefficient, 0)
    grid = one.placement.on_tokens(one.tokens.coord, coefficient)
    largest = float(np.abs(grid).max()) or 1.0
    middle = _middle(one, coefficient)
    rows = [_slices(one, grid / largest, axis, int(middle[axis])) for axis in (0, 1)]
    height, width, _ = rows[0][0].shape
    page = np.zeros((sum(len(plain) for plain, _ in rows) + _GAP, 2 * width + _GAP, 3), np.uint8)
    page[height : height + _GAP] = page[:, width : width + _GAP] = 255
    texts, top = [], 0
    for axis, pair in enumerate(rows):
        for left, sheet in zip((0, width + _GAP), pair, strict=True):
            page[top : top + len(sheet), left : left + width] = sheet
            texts += _directions(axis, left, top, width, len(sheet))
        top += height + _GAP
    address = "data:image/png;base64," + base64.b64encode(_png(page)).decode()
    full_height, full_width, _ = page.shape
    return (
        f'<svg class="overlay" viewBox="0 0 {full_width} {full_height}" role="img" '
        'aria-label="The scan and the map over it, axial and coronal">'
        f'<image href="{address}" width="{full_width}" height="{full_height}"/>{"".join(texts)}</svg>'
    )


def _middle(one: ExplainedSeries, coefficient: np.ndarray) -> np.ndarray:
    """Place (z, y, x) on the grid of the middle token of the group with the largest sum, or of all if all are 0."""
    cells, group = one.tokens.coord // one.placement.size, one.attribution.group
    if coefficient.any():
        cells = cells[group == np.abs(np.bincount(group, coefficient)).argmax()]
    nearest: np.ndarray = cells[np.abs(cells - cells.mean(axis=0)).sum(axis=1).argmin()]
    return nearest


def _directions(axis: int, left: int, top: int, width: int, height: int) -> list[str]:
    """Letters at the four edges of a slice across an axis."""
    vertical, horizontal = (_EDGES[other] for other in range(3) if other != axis)
    x, y = left + width / 2, top + height / 2 + 6
    places = (
        (horizontal[0], left + 12, y),
        (horizontal[1], left + width - 12, y),
        (vertical[0], x, top + 19),
        (vertical[1], x, top + height - 7),
    )
    shown = places if height >= _LEAST_HEIGHT else places[:2]
    return [f'<text x="{x:.0f}" y="{y:.0f}" style="{_LETTERS}">{letter}</text>' for letter, x, y in shown]


def _slices(one: ExplainedSeries, grid: np.ndarray, axis: int, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """A slice through the middle of a layer of tokens without and with the map, (rows, columns, 3) each.

    Args:
        grid: (gz, gy, gx) from -1 to 1.
        axis: across the slice: 0 axial, 1 coronal.
        cell: number of the layer.
    """
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
    plain = np.repeat(np.rint(255 * grey)[..., None], 3, axis=2).astype(np.uint8)
    return plain, np.rint((1 - alpha) * 255 * grey[..., None] + alpha * colour).astype(np.uint8)


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
