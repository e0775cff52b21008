"""Ageing of the atlas before it is warped: wider sulci and temporal horns, and white-matter hyperintensities."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from prima_features.synthetic.atlas import Atlas, Region
from prima_features.synthetic.atlas.load import COARSE, SHAPE
from prima_features.synthetic.flow import to_fine
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

_FADE = 1.25
"""Width of the transition from cortex to fluid, mm."""
_CAPS = 7.0
"""Distance from the ventricles over which hyperintensities become rarer, mm."""
_LEAST = 0.05
"""Volume of hyperintensities below which none are drawn, ml."""


def with_wider_sulci(atlas: Atlas, everywhere: float, temporal: float) -> torch.Tensor:
    """The atlas's tone with sulci widened by `everywhere` mm into the cortex, and further in the temporal lobes.

    The cerebellum is affected half as much, the brain stem a fifth as much.
    """
    if everywhere <= 0 and temporal <= 0:
        return atlas.tone
    width = everywhere * torch.ones_like(atlas.skull_depth) + temporal * _temporal(atlas)
    width = width * (1 - 0.5 * atlas.share[Region.CEREBELLUM] - 0.8 * atlas.share[Region.BRAIN_STEM])
    left = ((atlas.depth - to_fine(width[None])[0]) / _FADE).clamp(0, 1)
    return torch.where(atlas.depth > 0, atlas.tone * left, atlas.tone)


def with_wider_horns(atlas: Atlas, tone: torch.Tensor, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Tone and labels with fluid `width` mm around the temporal horns, taken from hippocampi and white matter."""
    solid = (atlas.label == Region.CEREBRUM) | (atlas.label == Region.HIPPOCAMPUS)
    left = ((atlas.horn_distance - width) / _FADE).clamp(0, 1)
    gone = solid & (left < 0.5)
    return torch.where(solid, tone * left, tone), torch.where(gone, int(Region.TEMPORAL_HORN), atlas.label)


def _temporal(atlas: Atlas) -> torch.Tensor:
    """Coarse: 1 in the temporal lobes, falling to 0 around them."""
    x, y, z = atlas.coarse_points()
    lateral = ((x.abs() - 18) / 10).clamp(0, 1)
    low = ((6 + 0.35 * (-y - 20).clamp(min=0) - z) / 10).clamp(0, 1)
    return lateral * low * ((y + 60) / 12).clamp(0, 1) * ((22 - y) / 8).clamp(0, 1)


def hyperintensities(subject: Subject, atlas: Atlas) -> torch.Tensor | None:
    """Share of each voxel that is hyperintense, (X, Y, Z): caps and bands at the ventricles first, then spots in deep
    white matter.

    A smooth random propensity is thresholded at the level that gives the target volume. None if that volume is almost
    zero.
    """
    if subject.hyperintensity_ml < _LEAST:
        return None
    rng = generator(subject.seed, subject.index, "hyperintensities")
    propensity = torch.exp(-atlas.ventricle_distance / _CAPS).cpu()
    for cells, weight in (((16, 19, 18), 0.22), ((34, 40, 37), 0.20)):
        noise = torch.from_numpy(rng.standard_normal((1, 1, *cells)).astype("float32"))
        shape = [n // COARSE for n in SHAPE]
        propensity = (
            propensity + weight * F.interpolate(noise, size=shape, mode="trilinear", align_corners=True)[0, 0]
        )
    fine = to_fine(propensity.to(atlas.tone.device)[None])[0]
    white = (atlas.label == Region.CEREBRUM) & (atlas.tone > 1.6) & (atlas.depth > 4)
    wanted = subject.hyperintensity_ml * 1000 / atlas.spacing**3
    wanted /= subject.head_size**3
    candidates = fine[white]
    level = candidates.topk(min(int(wanted) + 1, len(candidates))).values[-1]
    return ((fine - level) / 0.06 + 0.5).clamp(0, 1) * white
