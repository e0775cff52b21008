"""A small picture of a series: what was read, and which of it became tokens.

Two slices through the middle of the kept tokens, one axial and one coronal, whichever plane the series was acquired in.
Never a sagittal one, which would show the profile of a face. They are small: a page holds thousands.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.encoders.base import Picture
from prima_features.encoders.prima.preprocessing import Preprocessing

if TYPE_CHECKING:  # a merge, which draws nothing, does without the libraries that read scans
    from prima_features.encoders.prima.subvolumes import Subvolumes
    from prima_features.volumes import Volume

SIDE = 88
"""Pixels of the longest side that a slice may have."""
_GAP = 4
"""Pixels between the two slices."""
_QUALITY = 72
_WINDOW = (1.0, 99.5)
"""Percentiles of a slice's intensities that become black and white."""
_AXIAL, _CORONAL = 0, 1


@dataclass(frozen=True)
class _View:
    """One slice as it is shown."""

    values: np.ndarray
    """(rows, columns) of the volume."""
    kept: np.ndarray
    """(grid rows, grid columns) bool, the subvolumes that the slice runs through."""
    lines: tuple[np.ndarray, np.ndarray]
    """Where the grid's rows and columns begin and end, in voxels."""
    pixels: tuple[int, int]
    """Height and width in pixels, as the voxels' sizes in mm ask for."""


def draw(volume: Volume, kept: Subvolumes, preprocessing: Preprocessing) -> Picture:
    """Draw a series.

    Args:
        volume: what was cut.
        kept: its subvolumes; at least one.
    """
    views = [_view(volume, kept, preprocessing, axis) for axis in (_AXIAL, _CORONAL)]
    low, high = _window(views)
    height, width = max(view.pixels[0] for view in views), sum(view.pixels[1] for view in views) + _GAP
    sheet, left, outline = np.zeros((height, width), np.uint8), 0, ""
    for view in views:
        (rows, columns), top = view.pixels, (height - view.pixels[0]) // 2
        sheet[top : top + rows, left : left + columns] = _grey(view, low, high)
        outline += _outline(view, top, left)
        left += columns + _GAP
    return Picture(_jpeg(sheet), width, height, outline)


def _view(volume: Volume, kept: Subvolumes, preprocessing: Preprocessing, axis: int) -> _View:
    """The slice across one axis through the middle of the kept tokens."""
    size = np.full(3, preprocessing.long_side)
    size[volume.slice_axis] = preprocessing.short_side
    shape = np.array(volume.values.shape)
    before = (-shape % size) // 2  # of the padding, see tokens.subvolumes
    cells = np.unique(kept.coord.astype(np.int64), axis=0) // size
    middle = np.median(cells[:, axis] * size[axis] + size[axis] / 2)
    index = int(np.clip(middle - before[axis], 0, shape[axis] - 1))
    layer = (index + before[axis]) // size[axis]
    row, column = (other for other in range(3) if other != axis)
    grid = np.zeros(-(-shape // size)[[row, column]], bool)
    here = cells[cells[:, axis] == layer]
    grid[here[:, row], here[:, column]] = True
    lines = [
        np.clip(np.arange(count + 1) * size[other] - before[other], 0, shape[other])
        for other, count in zip((row, column), grid.shape, strict=True)
    ]
    values = volume.values.take(index, axis)
    if axis == _CORONAL:  # z runs to the head, and rows run down
        values, grid, lines[0] = values[::-1], grid[::-1], shape[row] - lines[0][::-1]
    length = shape * np.array(volume.spacing)
    height, width = np.maximum(1, np.rint(SIDE * length[[row, column]] / length.max())).astype(int)
    return _View(values, grid, (lines[0], lines[1]), (int(height), int(width)))


def _window(views: Sequence[_View]) -> tuple[float, float]:
    """What is black and what white, in both views alike; all there is where the percentiles agree."""
    low = min(float(np.percentile(view.values, _WINDOW[0])) for view in views)
    high = max(float(np.percentile(view.values, _WINDOW[1])) for view in views)
    return low, high if high > low else max(float(view.values.max()) for view in views)


def _grey(view: _View, low: float, high: float) -> np.ndarray:
    from PIL import Image

    scaled = (view.values.astype(np.float32) - low) / max(high - low, 1e-6)
    image = Image.fromarray(np.clip(255 * scaled, 0, 255).astype(np.float32))
    height, width = view.pixels
    return np.rint(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))).astype(np.uint8)


def _outline(view: _View, top: int, left: int) -> str:
    """Path around the kept cells of a view that stands at a place in the picture."""
    down, across = (
        line * (pixels / voxels) + start
        for line, pixels, voxels, start in zip(
            view.lines, view.pixels, view.values.shape, (top, left), strict=True
        )
    )
    flat = (
        f"M{_short(across[a])} {_short(down[at])}H{_short(across[b])}" for at, a, b in _borders(view.kept)
    )
    steep = (
        f"M{_short(across[at])} {_short(down[a])}V{_short(down[b])}" for at, a, b in _borders(view.kept.T)
    )
    return "".join((*flat, *steep))


def _borders(kept: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Lines between rows across which cells differ: which one, and from which column to which."""
    framed = np.pad(kept, 1)
    differs = framed[1:] != framed[:-1]
    for at, row in enumerate(differs):
        ends = np.flatnonzero(np.diff(row.astype(np.int8)))
        for a, b in zip(ends[::2], ends[1::2], strict=True):
            yield at, int(a), int(b)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _jpeg(sheet: np.ndarray) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(sheet).save(written, "JPEG", quality=_QUALITY, optimize=True)
    return written.getvalue()
