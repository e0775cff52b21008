"""Spatial fields of the layers of a lesion, in torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from prima_features.synthetic.lesions.records import Layer, Lesion

_EDGE = 0.9
"""Half the width of an edge, mm."""
_NOISE_CELLS = 14
_NOISE_REACH = 2.2
"""Extent of the noise's cube, relative to the lesion's radius."""


def distance(lesion: Lesion, points: torch.Tensor, skull_depth: torch.Tensor) -> torch.Tensor:
    """Distance from the lesion's middle, 1 at its edge, with the edge's unevenness.

    Args:
        points: (3, ...) in the atlas's space, mm.
        skull_depth: (...) mm from the skull inwards, at those points.
    """
    centre = torch.tensor(lesion.centre, device=points.device).view(3, *[1] * (points.dim() - 1))
    radii = torch.tensor(lesion.radii, device=points.device).view_as(centre)
    local = (points - centre) / radii
    away = local.square().sum(0).sqrt()
    if lesion.shape == "crescent":
        # Thinner towards its tips: the allowed depth falls to nothing at the edge of its extent.
        allowed = lesion.thickness * (1 - away.square()).clamp(min=1e-3).sqrt()
        away = torch.where((skull_depth > -1) & (away < 1), skull_depth.clamp(min=0) / allowed, 9.0)
    elif lesion.shape == "shell":
        away = torch.where(skull_depth > 0, away, 9.0)
    if lesion.irregularity:
        away = away + lesion.irregularity * _noise(lesion, local)
    return away


def patches(lesion: Lesion, points: torch.Tensor) -> torch.Tensor:
    """Smooth noise for uneven layers of a lesion, at points as in `distance`."""
    centre = torch.tensor(lesion.centre, device=points.device).view(3, *[1] * (points.dim() - 1))
    return _noise(lesion, (points - centre) / max(float(np.mean(lesion.radii)), 8.0), purpose=1)


def _noise(lesion: Lesion, local: torch.Tensor, purpose: int = 0) -> torch.Tensor:
    """Smooth noise of the lesion's own, of about unit variance, at points in units of its radius."""
    rng = np.random.default_rng((lesion.seed, purpose))
    cube = rng.standard_normal((1, 1, *[_NOISE_CELLS] * 3), dtype=np.float32)
    values = F.avg_pool3d(torch.from_numpy(cube).to(local.device), 3, 1, 1) * 5
    shape = local.shape[1:]
    grid = (local / _NOISE_REACH).flip(0).flatten(1).T.reshape(1, 1, 1, -1, 3)
    sampled = F.grid_sample(values, grid, padding_mode="reflection", align_corners=True)
    return sampled.view(shape)


def presence(
    layer: Layer,
    away: torch.Tensor,
    radius: float,
    tone: torch.Tensor,
    inside: torch.Tensor,
    uneven: torch.Tensor,
) -> torch.Tensor:
    """Share of each voxel that a layer takes, 0 to 1.

    Args:
        away: `distance`.
        radius: length of one unit of `away`, mm.
        tone: fluid 0, grey 1, white 2, before the lesion.
        inside: voxels in which the layer can be: inside the skull, or outside for air.
        uneven: `patches`.
    """
    width = _EDGE / radius
    share = ((layer.outer - away) / width + 0.5).clamp(0, 1)
    if layer.where == "tissue":
        share = share * ((tone - 0.35) / 0.5).clamp(0, 1)
    elif layer.where == "white":
        share = share * ((tone - 1.25) / 0.6).clamp(0, 1)
    elif layer.where == "air":
        share = share * ((0.6 - tone) / 0.4).clamp(0, 1)
    if layer.patchy:
        share = share * (1 - layer.patchy * (uneven + 0.3).clamp(0, 1))
    return share * inside * layer.strength
