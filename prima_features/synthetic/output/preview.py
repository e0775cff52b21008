"""A contact sheet: middle slices of each study, one study per row."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prima_features.synthetic.acquisition import SEQUENCES, head_affine
from prima_features.synthetic.anatomy import Anatomy
from prima_features.synthetic.render import Rendered
from prima_features.synthetic.subject import Subject

_SIDE = 200
"""Pixels of a tile."""
_FIELD = 250.0
"""mm shown across a tile."""
_MOST_ROWS = 24


def tiles(subject: Subject, anatomy: Anatomy, series: Sequence[Rendered]) -> bytes:
    """One study's tiles and caption, packed: the slice through its largest lesion, or through the middle."""
    point = _point(anatomy)
    made: dict[str, np.ndarray] = {}
    for rendered in series:
        head = head_affine(rendered.scan, anatomy.scale, anatomy.spacing, anatomy.origin)
        made[rendered.scan.sequence] = _tile(rendered, (head @ [*point, 1])[:3])
    caption = f"{subject.id}  {subject.age:.0f} {subject.sex}  {subject.condition.replace('_', ' ')}"
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, caption=np.array(caption), **made)
    return stream.getvalue()


def _point(anatomy: Anatomy) -> np.ndarray:
    """Voxel of the anatomy that the slices go through."""
    bodies = [part for part in anatomy.painted if part.lesion >= 0 and part.core]
    if not bodies:
        middle = np.array([1.0, -14.0, 4.0])
        return (middle - anatomy.origin) / anatomy.spacing
    largest = max(bodies, key=lambda part: float(part.share.sum()))
    place = []
    for axis, part in enumerate(largest.box):
        along = largest.share.sum([i for i in range(3) if i != axis]).cpu().numpy()
        place.append(part.start + float(np.average(np.arange(len(along)), weights=along + 1e-6)))
    return np.array(place)


def _tile(rendered: Rendered, point: np.ndarray) -> np.ndarray:
    """(side, side) uint8: the slice at a place in the scanner, in mm, at one scale for all."""
    index = np.linalg.inv(rendered.affine) @ [*point, 1]
    number = int(np.clip(round(index[2]), 0, rendered.volume.shape[2] - 1))
    image = rendered.volume[:, :, number].T.astype(np.float32)
    white = np.percentile(rendered.volume[rendered.volume > 40], 99.2)
    rows, columns = (
        (np.arange(_SIDE) / _SIDE - 0.5) * _FIELD / spacing + (n - 1) / 2
        for n, spacing in zip(image.shape, rendered.scan.spacing[::-1], strict=True)
    )
    shown = _bilinear(image, rows, columns)
    return (np.clip(shown / white, 0, 1) ** 0.9 * 255).astype(np.uint8)


def _bilinear(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    return map_coordinates(image, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="constant")


def write_sheet(path: Path, packed: Sequence[bytes]) -> None:
    """A PNG of the first two dozen studies: one row per study, one column per sequence."""
    from matplotlib.figure import Figure

    shown = [np.load(io.BytesIO(one)) for one in packed[:_MOST_ROWS]]
    used = [name for name in SEQUENCES if any(name in study for study in shown)]
    figure = Figure(figsize=(2 * len(used) + 0.3, 2 * len(shown) + 0.3), facecolor="black")
    axes = figure.subplots(len(shown), len(used), squeeze=False)
    for row, study in zip(axes, shown, strict=True):
        for axis, name in zip(row, used, strict=True):
            axis.axis("off")
            if name in study:
                axis.imshow(study[name], cmap="gray", vmin=0, vmax=255)
            axis.text(4, 12, name, color="gold", fontsize=6)
        row[0].text(4, _SIDE - 5, str(study["caption"]), color="white", fontsize=6)
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)
    figure.savefig(path, dpi=100, facecolor="black")
