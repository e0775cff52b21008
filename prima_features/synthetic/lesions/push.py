"""Mass effect: displacement of the brain by lesions that grow or shrink."""

from __future__ import annotations

import numpy as np
import torch

from prima_features.synthetic import flow
from prima_features.synthetic.atlas import Atlas, Region
from prima_features.synthetic.atlas.load import COARSE
from prima_features.synthetic.lesions.field import distance
from prima_features.synthetic.subject import Subject

_MIDLINE, _SAME_SIDE = 8.0, 0.03
"""Distance from the midline beyond which a mass is one-sided, mm; and how much its own side yields compared with the
other."""


def push(subject: Subject, atlas: Atlas) -> torch.Tensor | None:
    """(3, x, y, z), mm: displacement by lesions that grow or shrink; None without such lesions."""
    share, inside = atlas.share, atlas.inside
    masses = torch.zeros_like(inside)
    for lesion in (*subject.incidental, *subject.lesions):
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


def at_midline(toward_right: torch.Tensor, atlas: Atlas) -> float:
    """Mean over the third ventricle and the septum above it."""
    x, y, z = atlas.coarse_points()
    place = (x.abs() < 4) & (y.abs() < 16) & (z > -6) & (z < 18)
    return float(toward_right[place].mean())
