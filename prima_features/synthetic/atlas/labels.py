"""Regions of the atlas: the numbers in its label map."""

from collections.abc import Sequence
from enum import IntEnum

import torch


class Region(IntEnum):
    """The structure at a voxel of the atlas. Left and right are distinguished by the sign of x."""

    AIR = 0
    """Outside the head, and structures without signal."""
    HEAD = 1
    """Outside the skull's inner surface: bone, marrow, muscle, fat, skin."""
    SUBARACHNOID = 2
    """Between the brain and the skull, and in the sulci."""
    CEREBRUM = 3
    CEREBELLUM = 4
    BRAIN_STEM = 5
    """Includes the cord."""
    LATERAL_VENTRICLE = 6
    TEMPORAL_HORN = 7
    THIRD_VENTRICLE = 8
    FOURTH_VENTRICLE = 9
    HIPPOCAMPUS = 10
    EYE = 11
    """Vitreous body."""
    VENOUS_SINUS = 12
    ARTERY = 13
    CHOROID_PLEXUS = 14
    PITUITARY = 15
    DURA = 16
    """Falx and tentorium."""


VENTRICLES = (
    Region.LATERAL_VENTRICLE,
    Region.TEMPORAL_HORN,
    Region.THIRD_VENTRICLE,
    Region.FOURTH_VENTRICLE,
    Region.CHOROID_PLEXUS,
)
PARENCHYMA = (Region.CEREBRUM, Region.CEREBELLUM, Region.BRAIN_STEM, Region.HIPPOCAMPUS)
INTRACRANIAL = tuple(region for region in Region if region not in (Region.AIR, Region.HEAD, Region.EYE))
BRAIN_ML = 1586.0
"""Brain tissue of the atlas, as `prima_features.synthetic.measure` counts it."""


def among(label: torch.Tensor, regions: Sequence[Region]) -> torch.Tensor:
    """Whether each voxel of a label map is in one of the regions."""
    return torch.isin(label, torch.tensor(regions, dtype=label.dtype, device=label.device))
