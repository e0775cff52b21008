"""How plausible a brain mask and its transform to MNI152 are."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan

import numpy as np

LITRES = (0.8, 2.2)
SCALE = (0.9, 1.4)
LEAST_DICE = 0.9
"""Bounds of the benchmark MedARC-AI/brainmarks-smri; outside of them a series gets a flag."""
BRAIN_VOLUME, MNI_SCALE, MNI_OVERLAP = "brain-volume", "mni-scale", "mni-overlap"
"""Flags: the volume of the mask, the scale of the transform, or the overlap with the template is out of bounds."""
MISPLACED, TOO_LARGE, NO_BRAIN = "mask-misplaced", "mask-too-large", "mask-without-brain"
"""Flags (`fit`): the outline of the mask separates brain from surroundings better 10 or 20 mm away, or 6 mm and more
below itself; or the voxels in the mask are constant or noise."""


@dataclass(frozen=True)
class Quality:
    """Measures of one scan; NaN for what is unknown."""

    litres: float = nan
    """Volume of the mask."""
    scale: float = nan
    """Mean linear scale of the transform."""
    dice: float = nan
    """Overlap of the mask in MNI space with the template's brain mask."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What is out of bounds."""
        found = {
            BRAIN_VOLUME: _outside(self.litres, *LITRES),
            MNI_SCALE: _outside(self.scale, *SCALE),
            MNI_OVERLAP: _outside(self.dice, LEAST_DICE, 1.0),
        }
        return tuple(flag for flag, is_set in found.items() if is_set)


def _outside(value: float, low: float, high: float) -> bool:
    return not isnan(value) and not low <= value <= high


def assess(mask: np.ndarray | None, affine: np.ndarray, to_mni: np.ndarray | None) -> Quality:
    """Measure a mask (i, j, k) on a grid with an affine (4, 4), and a transform (4, 4) to MNI152."""
    # Reports import the bounds of this module without the libraries that read scans.
    from prima_features.anatomy.template import dice

    return Quality(
        litres=nan if mask is None else litres(mask, affine),
        scale=nan if to_mni is None else scale(to_mni),
        dice=nan if mask is None or to_mni is None else dice(mask, affine, to_mni),
    )


def litres(mask: np.ndarray, affine: np.ndarray) -> float:
    """Volume of a mask (i, j, k) on a grid with an affine (4, 4)."""
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1e6)


def scale(affine: np.ndarray) -> float:
    """Mean linear scale of an affine (4, 4)."""
    return float(np.cbrt(abs(np.linalg.det(affine[:3, :3]))))
