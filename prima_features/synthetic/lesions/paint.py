"""Lesions of a warped anatomy: the share of each voxel that their layers take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from prima_features.synthetic import flow
from prima_features.synthetic.atlas import Atlas
from prima_features.synthetic.atlas.labels import INTRACRANIAL, Region, among
from prima_features.synthetic.atlas.load import COARSE
from prima_features.synthetic.lesions.field import distance, patches, presence
from prima_features.synthetic.lesions.records import Layer, Lesion

_EXTRACRANIAL = (Region.AIR, Region.HEAD)
HYPERINTENSITY, BESIDE = -1, -2
"""Numbers of what is not a lesion of the subject's condition."""


@dataclass(frozen=True)
class Painted:
    """A layer of a lesion in a box of the anatomy."""

    lesion: int
    """Which of the subject's lesions, or `HYPERINTENSITY` or `BESIDE`."""
    tissue: str
    box: tuple[slice, slice, slice]
    share: torch.Tensor
    """Of each voxel in the box, 0 to 1."""
    core: bool


def origins(atlas: Atlas, back: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Coarse: where each voxel comes from in the atlas's space, and how deep under the skull that is, mm."""
    depth = flow.sample(atlas.skull_depth[None], back / (atlas.spacing * COARSE))[0]
    return atlas.coarse_points() + back, depth


def paint(
    number: int,
    lesion: Lesion,
    atlas: Atlas,
    places: tuple[torch.Tensor, torch.Tensor],
    shift: torch.Tensor,
    tone: torch.Tensor,
    label: torch.Tensor,
) -> list[Painted]:
    """The layers of one lesion, in their order; none if the warp has left nothing of it.

    Args:
        number: as in `Painted`.
        places: `origins`.
        shift: (3, X, Y, Z), from each voxel back to where it comes from in the atlas, voxels.
        tone: (X, Y, Z), warped.
        label: (X, Y, Z), warped.
    """
    points, depth = places
    near = distance(lesion, points, depth) < lesion.reach + 0.3
    if not near.any():
        return []
    box = _box(near)
    spread = [torch.arange(part.start, part.stop, device=tone.device) for part in box]
    index = torch.stack(torch.meshgrid(*spread, indexing="ij")) + shift[(slice(None), *box)]
    origin = torch.tensor(atlas.origin, device=tone.device).view(3, 1, 1, 1)
    fine_depth = _fine_part(depth, box)
    points = index * atlas.spacing + origin
    away = distance(lesion, points, fine_depth)
    spaces = {regions: among(label[box], regions).float() for regions in set(map(_space, lesion.layers))}
    radius = lesion.thickness if lesion.shape == "crescent" else float(np.mean(lesion.radii))
    radius *= lesion.growth ** (1 if lesion.shape == "crescent" else 1 / 3)
    uneven = patches(lesion, points)
    return [
        Painted(
            number,
            layer.tissue,
            box,
            presence(layer, away, radius, tone[box], spaces[_space(layer)], uneven),
            layer.core,
        )
        for layer in lesion.layers
    ]


def _space(layer: Layer) -> tuple[Region, ...]:
    """Voxels that a layer can occupy."""
    return _EXTRACRANIAL if layer.where == "air" else INTRACRANIAL


def _fine_part(coarse: torch.Tensor, box: tuple[slice, slice, slice]) -> torch.Tensor:
    """A box of the fine grid, from coarse voxels with one more on each side."""
    parts = [(part.start // COARSE, part.stop // COARSE) for part in box]
    wide = [(max(a - 1, 0), min(b + 1, n)) for (a, b), n in zip(parts, coarse.shape, strict=True)]
    x, y, z = (slice(a, b) for a, b in wide)
    fine = flow.to_fine(coarse[None, x, y, z])[0]
    inner = [slice((a - w) * COARSE, (b - w) * COARSE) for (a, b), (w, _) in zip(parts, wide, strict=True)]
    return fine[inner[0], inner[1], inner[2]]


def _box(near: torch.Tensor) -> tuple[slice, slice, slice]:
    """The fine voxels of a box around coarse ones, one coarse voxel wider on each side."""
    found = near.nonzero()
    low = (found.amin(0) - 1).clamp(min=0).tolist()
    high = (found.amax(0) + 2).tolist()
    x, y, z = (slice(a * COARSE, min(b, n) * COARSE) for a, b, n in zip(low, high, near.shape, strict=True))
    return x, y, z
