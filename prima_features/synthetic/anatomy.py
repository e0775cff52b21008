"""The anatomy of a subject: the atlas warped by the factors of the subject, with lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from prima_features.synthetic import flow
from prima_features.synthetic.ageing import hyperintensities, with_wider_horns, with_wider_sulci
from prima_features.synthetic.atlas import Atlas, Region, load_atlas
from prima_features.synthetic.atlas.load import COARSE
from prima_features.synthetic.lesions.paint import BESIDE, HYPERINTENSITY, Painted, origins, paint
from prima_features.synthetic.lesions.push import at_midline, push
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

_WANDER = ((6, 7, 7), 2.6), ((13, 15, 14), 1.3)
"""Cells and standard deviations (mm) of the random warps."""


@dataclass(frozen=True)
class Anatomy:
    """A head on the atlas's grid with axes R, A, S; its voxels are scaled to the head's size."""

    tone: torch.Tensor
    """(X, Y, Z) float32, as in the atlas."""
    label: torch.Tensor
    """(X, Y, Z) uint8, `Region`."""
    edge: torch.Tensor
    """(n,) int64: flat indices of voxels at the borders of the skull, the eyes and the skin, which are smoothed."""
    painted: tuple[Painted, ...]
    """In the order in which they cover each other."""
    scale: tuple[float, float, float]
    """Size along x, y, z relative to the atlas."""
    spacing: float
    """Of the atlas, mm."""
    origin: tuple[float, float, float]
    """MNI coordinates of the first voxel."""
    midline_shift: float
    """Midline shift by lesions, at the third ventricle, mm to the right."""

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.scale)) * self.spacing**3 / 1000


def build_anatomy(subject: Subject, device: str = "cpu") -> Anatomy:
    """Warp the atlas to a subject. All random numbers come from the subject's seed and are drawn on the CPU."""
    atlas = load_atlas(device)
    pushed = push(subject, atlas)
    total = _velocity(subject, atlas) + (0 if pushed is None else pushed)
    back = flow.backward(total, atlas.spacing * COARSE)
    shift = flow.to_fine(back) / atlas.spacing
    tone = with_wider_sulci(atlas, subject.sulcal_mm, subject.temporal_mm)
    tone, regions = with_wider_horns(atlas, tone, subject.horn_mm)
    spots = hyperintensities(subject, atlas)
    warped = flow.sample(tone[None] if spots is None else torch.stack([tone, spots]), shift)
    label = flow.sample(regions[None].float(), shift, "nearest")[0].to(torch.uint8)
    x, y, z = (subject.head_size * part for part in subject.proportions)
    painted = [] if spots is None else [_spots(warped[1])]
    numbered = [*((BESIDE, found) for found in subject.incidental), *enumerate(subject.lesions)]
    if numbered:
        places = origins(atlas, back)
        for number, lesion in numbered:
            painted += paint(number, lesion, atlas, places, shift, warped[0], label)
    return Anatomy(
        warped[0],
        label,
        _edge(label),
        tuple(painted),
        (x, y, z),
        atlas.spacing,
        atlas.origin,
        0.0 if pushed is None else x * at_midline(pushed[0], atlas),
    )


def _velocity(subject: Subject, atlas: Atlas) -> torch.Tensor:
    """(3, x, y, z), mm: the random warp, with growing and shrinking regions."""
    share, inside = atlas.share, atlas.inside
    ventricles = share[Region.LATERAL_VENTRICLE] + share[Region.CHOROID_PLEXUS]
    left, right = (
        flow.divergence_for(
            2 * subject.ventricle_ratio / (1 + float(np.exp(sign * subject.ventricle_asymmetry)))
        )
        for sign in (1, -1)
    )
    aged = (
        ventricles * torch.where(atlas.coarse_points()[0] < 0, left, right)
        + share[Region.THIRD_VENTRICLE] * flow.divergence_for(subject.third_ratio)
        + share[Region.HIPPOCAMPUS] * flow.divergence_for(subject.hippocampus_ratio)
    )
    total = flow.balanced(aged, share[Region.CEREBRUM])
    random = torch.zeros((3, *total.shape))
    rng = generator(subject.seed, subject.index, "warp")
    for cells, sd in _WANDER:
        random += sd * flow.smooth_noise(rng, tuple(total.shape), cells)
    return random.to(total.device) + flow.velocity(total, inside, atlas.spacing * COARSE)


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
    return Painted(HYPERINTENSITY, "hyperintensity", (x, y, z), share, core=True)
