"""A subject's own anatomy: the atlas warped to the subject's factors, with its lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from prima_features.synthetic import flow
from prima_features.synthetic.ageing import hyperintensities, with_wider_horns, with_wider_sulci
from prima_features.synthetic.atlas import Atlas, Region, load_atlas
from prima_features.synthetic.atlas.labels import INTRACRANIAL, PARENCHYMA
from prima_features.synthetic.atlas.load import COARSE
from prima_features.synthetic.lesions.field import distance, patches, presence
from prima_features.synthetic.lesions.records import Lesion
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

ATLAS_BRAIN_ML = 1589.0
"""Brain tissue of the atlas, as `measure` finds it."""
_WANDER = ((6, 7, 7), 2.6), ((13, 15, 14), 1.3)
"""Cells and standard deviations (mm) of the random warps."""


_MIDLINE, _SAME_SIDE = 8.0, 0.03
"""mm from the midline from which a mass is one-sided, and how readily its own side gives way over the other."""


@dataclass(frozen=True)
class Painted:
    """A layer of a lesion in a box of the anatomy."""

    lesion: int
    """Which of the subject's lesions; -1 for white-matter hyperintensities."""
    tissue: str
    box: tuple[slice, slice, slice]
    share: torch.Tensor
    """Of each voxel in the box, 0 to 1."""
    core: bool


@dataclass(frozen=True)
class Anatomy:
    """A head on the atlas's grid, its axes running to R, A, S, its voxels scaled to the head's size."""

    tone: torch.Tensor
    """(X, Y, Z) float32, as the atlas's."""
    label: torch.Tensor
    """(X, Y, Z) uint8, `Region`."""
    edge: torch.Tensor
    """(n,) int64: flat indices of voxels where the skull, the eyes or the skin begin or end, to be softened."""
    painted: tuple[Painted, ...]
    """In the order in which they cover each other."""
    scale: tuple[float, float, float]
    """Size along x, y, z over the atlas's."""
    spacing: float
    """Of the atlas, mm."""
    origin: tuple[float, float, float]
    """MNI coordinates of the first voxel."""
    midline_shift: float
    """By lesions, at the third ventricle, mm to the right."""

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.scale)) * self.spacing**3 / 1000


def build_anatomy(subject: Subject, device: str = "cpu") -> Anatomy:
    """Warp the atlas to a subject. All random numbers come from the subject's seed and are drawn on the CPU."""
    atlas = load_atlas(device)
    pushed = _push(subject, atlas)
    total = _velocity(subject, atlas) + (0 if pushed is None else pushed)
    back = flow.backward(total, atlas.spacing * COARSE)
    shift = flow.to_fine(back) / atlas.spacing
    tone = with_wider_sulci(atlas, subject.sulcal_mm, subject.temporal_mm)
    tone, regions = with_wider_horns(atlas, tone, subject.horn_mm)
    spots = hyperintensities(subject, atlas)
    warped = flow.sample(tone[None] if spots is None else torch.stack([tone, spots]), shift)
    label = flow.sample(regions[None].float(), shift, "nearest")[0].to(torch.uint8)
    size = (subject.brain_ml / ATLAS_BRAIN_ML) ** (1 / 3)
    painted = [] if spots is None else [_spots(warped[1])]
    if subject.lesions:
        places = _places(atlas, back)
        for number, lesion in enumerate(subject.lesions):
            painted += _paint(number, lesion, atlas, places, shift, warped[0], label)
    return Anatomy(
        warped[0],
        label,
        _edge(label),
        tuple(painted),
        tuple(size * part for part in subject.proportions),
        atlas.spacing,
        atlas.origin,
        0.0 if pushed is None else size * _at_midline(pushed[0], atlas),
    )


def _velocity(subject: Subject, atlas: Atlas) -> torch.Tensor:
    """(3, x, y, z), mm: the random warp, and what grows and shrinks."""
    share, inside = atlas.share, flow.skull_mask(atlas)
    ventricles = share[Region.LATERAL_VENTRICLE] + share[Region.CHOROID_PLEXUS]
    aged = (
        ventricles * flow.divergence_for(subject.ventricle_ratio)
        + share[Region.THIRD_VENTRICLE] * flow.divergence_for(subject.third_ratio)
        + share[Region.HIPPOCAMPUS] * flow.divergence_for(subject.hippocampus_ratio)
    )
    total = flow.balanced(aged, share[Region.CEREBRUM])
    random = torch.zeros((3, *total.shape))
    rng = generator(subject.seed, subject.index, "warp")
    for cells, sd in _WANDER:
        random += sd * flow.smooth_noise(rng, tuple(total.shape), cells)
    return random.to(total.device) + flow.velocity(total, inside, atlas.spacing * COARSE)


def _push(subject: Subject, atlas: Atlas) -> torch.Tensor | None:
    """(3, x, y, z), mm: what lesions that grow or shrink do; None where there are none."""
    share, inside = atlas.share, flow.skull_mask(atlas)
    masses = torch.zeros_like(inside)
    for lesion in subject.lesions:
        if lesion.growth != 1:
            away = distance(lesion, atlas.coarse_points(), atlas.skull_depth)
            body = (away < 1) & (inside > 0.2)
            masses = masses + body * inside * flow.divergence_for(lesion.growth)
    if not masses.any():
        return None
    # Fluid gives way before tissue does, and most of it on the other side: the midline shifts below the falx.
    ventricles = share[Region.LATERAL_VENTRICLE] + share[Region.CHOROID_PLEXUS]
    give = share[Region.CEREBRUM] * 0.5 + share[Region.SUBARACHNOID] * 3 + ventricles * 2
    x, y, z = atlas.coarse_points()
    side = float((x * masses.abs()).sum() / masses.abs().sum())
    if abs(side) > _MIDLINE:
        give = give * (_SAME_SIDE + (-x * np.sign(side) / 15).clamp(0, 1))
    falx = (x.abs() < 3) & ((z > 30) | ((y < -60) & (z > -5)) | ((y > 45) & (z > 0)))
    source = flow.balanced(masses, give * (masses == 0))
    return flow.velocity(source, inside * ~falx, atlas.spacing * COARSE, projections=16)


def _at_midline(toward_right: torch.Tensor, atlas: Atlas) -> float:
    """Mean over the third ventricle and the septum above it."""
    x, y, z = atlas.coarse_points()
    place = (x.abs() < 4) & (y.abs() < 16) & (z > -6) & (z < 18)
    return float(toward_right[place].mean())


def _edge(label: torch.Tensor) -> torch.Tensor:
    """`Anatomy.edge`: labels are warped without interpolation, which leaves steps where tones change their meaning."""
    table = torch.full((len(Region),), 2, dtype=torch.uint8)
    table[[Region.AIR, Region.HEAD, Region.EYE]] = torch.tensor([0, 1, 3], dtype=torch.uint8)
    group = table.to(label.device)[label.int()]
    edge = torch.zeros_like(group, dtype=torch.bool)
    for axis in range(3):
        n = group.shape[axis] - 1
        differs = group.narrow(axis, 0, n) != group.narrow(axis, 1, n)
        edge.narrow(axis, 0, n).logical_or_(differs)
        edge.narrow(axis, 1, n).logical_or_(differs)
    # The outermost voxels have no neighbours to be averaged with.
    inner = edge[1:-1, 1:-1, 1:-1].clone()
    edge.zero_()[1:-1, 1:-1, 1:-1] = inner
    return edge.flatten().nonzero()[:, 0]


def _spots(share: torch.Tensor) -> Painted:
    x, y, z = (slice(0, n) for n in share.shape)
    return Painted(-1, "hyperintensity", (x, y, z), share, core=True)


def _places(atlas: Atlas, back: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Coarse: where each voxel comes from in the atlas's space, and how deep under the skull that is, mm."""
    depth = flow.sample(atlas.skull_depth[None], back / (atlas.spacing * COARSE))[0]
    return atlas.coarse_points() + back, depth


def _paint(
    number: int,
    lesion: Lesion,
    atlas: Atlas,
    places: tuple[torch.Tensor, torch.Tensor],
    shift: torch.Tensor,
    tone: torch.Tensor,
    label: torch.Tensor,
) -> list[Painted]:
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
    inside = torch.isin(label[box], torch.tensor(INTRACRANIAL, dtype=torch.uint8, device=tone.device)).float()
    radius = lesion.thickness if lesion.shape == "crescent" else float(np.mean(lesion.radii))
    radius *= lesion.growth ** (1 if lesion.shape == "crescent" else 1 / 3)
    uneven = patches(lesion, points)
    return [
        Painted(
            number, layer.tissue, box, presence(layer, away, radius, tone[box], inside, uneven), layer.core
        )
        for layer in lesion.layers
    ]


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


def tissue_mask(label: torch.Tensor) -> torch.Tensor:
    """Whether a voxel belongs to the brain."""
    return torch.isin(label, torch.tensor(PARENCHYMA, dtype=torch.uint8, device=label.device))
