"""What is really there, measured on a subject's anatomy, and how far masses push the midline."""

from __future__ import annotations

import torch

from prima_features.synthetic.anatomy import Anatomy
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.atlas.labels import PARENCHYMA, VENTRICLES, among
from prima_features.synthetic.lesions.paint import HYPERINTENSITY


def measure(anatomy: Anatomy) -> dict[str, float]:
    """Volumes in ml: brain, ventricles, temporal horns, hippocampi (both), hyperintensities, lesions, oedema;
    and midline shift in mm, positive to the right.

    A voxel of the brain counts by its share of tissue; what lesions have made of it does not matter. Lesions count by
    the share of a voxel that they take, without the oedema around them; what is found beside the condition does not.
    """
    brain = (anatomy.tone.clamp(0, 1) * among(anatomy.label, PARENCHYMA)).sum()
    voxels = torch.bincount(anatomy.label.flatten().int(), minlength=len(Region)).tolist()
    volumes = {
        "brain_ml": float(brain) * anatomy.voxel_ml,
        "ventricle_ml": sum(voxels[region] for region in VENTRICLES) * anatomy.voxel_ml,
        "temporal_horn_ml": voxels[Region.TEMPORAL_HORN] * anatomy.voxel_ml,
        "hippocampus_ml": voxels[Region.HIPPOCAMPUS] * anatomy.voxel_ml,
    }
    volumes |= _painted(anatomy) | {"midline_shift_mm": anatomy.midline_shift}
    return {name: round(value, 3) + 0.0 for name, value in volumes.items()}


def _painted(anatomy: Anatomy) -> dict[str, float]:
    """Volumes of what is painted; where layers of one lesion lie over each other, the largest share counts."""
    found = {"wmh_ml": 0.0, "lesion_ml": 0.0, "oedema_ml": 0.0}
    bodies: dict[int, torch.Tensor] = {}
    for part in anatomy.painted:
        if part.core and part.lesion >= 0:
            before = bodies.get(part.lesion)
            bodies[part.lesion] = part.share if before is None else torch.maximum(before, part.share)
    found["lesion_ml"] = sum(float(body.sum()) for body in bodies.values()) * anatomy.voxel_ml
    for part in anatomy.painted:
        if part.lesion == HYPERINTENSITY:
            found["wmh_ml"] += float(part.share.sum()) * anatomy.voxel_ml
        elif part.lesion >= 0 and not part.core:
            around = part.share if part.lesion not in bodies else part.share * (1 - bodies[part.lesion])
            found["oedema_ml"] += float(around.sum()) * anatomy.voxel_ml
    return found
