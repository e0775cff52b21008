"""Ground truth of synthetic brains.

`measure` gives the volumes and the midline shift of an anatomy, `content` the share of each tissue in the tokens of a
series, `traits` the numbers that describe a subject.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch

from prima_features.synthetic.acquisition import Acquisition, Plane, head_affine, series_affine
from prima_features.synthetic.anatomy import Anatomy
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.atlas.labels import PARENCHYMA, VENTRICLES, among
from prima_features.synthetic.incidental import INCIDENTAL
from prima_features.synthetic.lesions.paint import HYPERINTENSITY
from prima_features.synthetic.subject import Subject
from prima_features.synthetic.tissue import TISSUES


def measure(anatomy: Anatomy) -> dict[str, float]:
    """Volumes in ml: brain, ventricles, temporal horns, hippocampi (both), hyperintensities, lesions, oedema;
    and midline shift in mm, positive to the right.

    A voxel of the brain counts by its share of tissue; changes by lesions do not matter. Lesions count by
    the share of a voxel that they take, without the oedema around them; incidental findings do not count.
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
    """Volumes of what is painted; if layers of one lesion overlap, the largest share counts."""
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


_WHOLE: dict[str, tuple[Region, ...]] = {
    "lateral ventricle": (Region.LATERAL_VENTRICLE, Region.CHOROID_PLEXUS),
    "temporal horn": (Region.TEMPORAL_HORN,),
    "third and fourth ventricle": (Region.THIRD_VENTRICLE, Region.FOURTH_VENTRICLE),
    "hippocampus": (Region.HIPPOCAMPUS,),
}
"""Regions that count with whole voxels, as `prima_features.synthetic.measure` counts them."""
_TISSUE: dict[str, tuple[Region, ...]] = {
    "cerebrum": (Region.CEREBRUM, Region.HIPPOCAMPUS),
    "cerebellum and brain stem": (Region.CEREBELLUM, Region.BRAIN_STEM),
}
"""Regions that do not include fluid, such as that of widened sulci."""
_SUBARACHNOID = (Region.SUBARACHNOID, Region.CEREBRUM, Region.CEREBELLUM, Region.BRAIN_STEM)
_MORE = ("subarachnoid fluid", "cerebral white matter", "left brain", "right brain")
_BESIDE = ("mucosa", "xanthogranuloma")
"""Tissues of incidental findings, which are not lesions."""
_LESIONS = tuple(
    name for name in list(TISSUES)[list(TISSUES).index("hyperintensity") :] if name not in _BESIDE
)
_PAINTED = (*_BESIDE, *_LESIONS)
CONTENT = (*_WHOLE, *_TISSUE, *_MORE, *_PAINTED)
"""Names of the shares of a token. A place may count for several: cerebrum, white matter and left brain."""
_LESION_SHARE = 0.03
"""Share of lesions from which a token counts as containing one."""

_GRID = (4, 4, 3)
"""Cells along x, y, z in which lesions are counted, within `_REACH`."""
_REACH = ((-75.0, 75.0), (-110.0, 78.0), (-60.0, 84.0))
"""Of the brain in the atlas, MNI coordinates, mm."""
_VOLUMES = ("brain_ml", "wmh_ml", "lesion_ml", "oedema_ml")
_SHARES = ("ventricle_ml", "temporal_horn_ml", "hippocampus_ml")
TRAITS = (
    "age",
    "male",
    *(f"log {name}" for name in _VOLUMES),
    *(f"log {name} over brain_ml" for name in _SHARES),
    "sulcal_mm",
    "temporal_mm",
    "ventricle_asymmetry",
    *INCIDENTAL,
    "midline_shift_mm",
    *(f"log {tissue} ml" for tissue in _LESIONS),
    *(f"log lesion in cell {x} {y} {z}" for x, y, z in np.ndindex(*_GRID)),
)
"""Names of what `traits` gives."""
_LEAST_ML = 0.1
"""Added to volumes before their logarithm is taken."""

_POINTS = (4, 8)
"""Points along the slice axis and along the others at which a token is looked at."""
_AXES: dict[Plane, tuple[int, int, int]] = {"axial": (2, 1, 0), "coronal": (2, 0, 1), "sagittal": (1, 0, 2)}
"""Which of (z, y, x) in LPS columns, rows and slices run along."""


def content(
    anatomy: Anatomy, scan: Acquisition, coord: np.ndarray, size: tuple[int, int, int], matrix: int
) -> torch.Tensor:
    """The share of each of `CONTENT` in tokens of a series.

    Args:
        coord: (N, 3) integer, (z, y, x) of each token's first voxel in the padded volume.
        size: voxels of a token along (z, y, x).
        matrix: voxels along both axes in plane, after resampling.

    Returns:
        (N, len(CONTENT)) float32, 0 to 1, on the CPU.
    """
    to_voxel = np.linalg.inv(
        head_affine(scan, anatomy.scale, anatomy.spacing, anatomy.origin)
    ) @ series_affine(scan)
    places = _places(scan, coord, size, matrix) @ to_voxel[:3, :3].T + to_voxel[:3, 3]  # (N, P, 3)
    index = torch.from_numpy(np.round(places).astype(np.int64)).to(anatomy.tone.device)
    shape = torch.tensor(anatomy.tone.shape, device=index.device)
    inside = ((index >= 0) & (index < shape)).all(-1)
    x, y, z = index.clamp(min=0).minimum(shape - 1).unbind(-1)
    tone, label = anatomy.tone[x, y, z], anatomy.label[x, y, z].int() * inside  # outside is air, 0
    left = x * anatomy.spacing + anatomy.origin[0] < 0
    shares = [*_anatomical(tone, label, left), *_lesions(anatomy, (x, y, z), inside)]
    return torch.stack([share.float().mean(1) for share in shares], dim=1).cpu()


def holds_lesion(content: torch.Tensor) -> torch.Tensor:
    """(N,) whether lesions are a relevant part of each token, by its `content` (N, len(CONTENT))."""
    return content[:, -len(_LESIONS) :].sum(1) >= _LESION_SHARE


def traits(subject: Subject, anatomy: Anatomy, truth: Mapping[str, float]) -> torch.Tensor:
    """Numbers that a report could contain: (len(TRAITS),) float32.

    Args:
        truth: what `prima_features.synthetic.measure` found on the anatomy.
    """
    brain, found = truth["brain_ml"], subject.fact("incidental").split("; ")
    return torch.tensor(
        [
            subject.age,
            float(subject.sex == "M"),
            *(math.log(truth[name] + _LEAST_ML) for name in _VOLUMES),
            *(math.log((truth[name] + _LEAST_ML) / brain) for name in _SHARES),
            subject.sulcal_mm,
            subject.temporal_mm,
            subject.ventricle_asymmetry,
            *(float(name in found) for name in INCIDENTAL),
            truth["midline_shift_mm"],
            *(math.log(volume + _LEAST_ML) for volume in _lesion_volumes(anatomy)),
            *np.log(_lesion_cells(anatomy) + _LEAST_ML).ravel(),
        ]
    )


def _places(scan: Acquisition, coord: np.ndarray, size: tuple[int, int, int], matrix: int) -> np.ndarray:
    """(N, P, 3): the points of each token as (column, row, slice) of the series before it was resampled."""
    axes = _AXES[scan.plane]
    counts = [_POINTS[axis != axes[2]] for axis in range(3)]
    steps = [(np.arange(n) + 0.5) / n * length - 0.5 for n, length in zip(counts, size, strict=True)]
    within = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    zyx = coord[:, None].astype(float) + within
    lengths = (matrix, matrix, scan.n_slices)
    places = zyx[..., axes] - [(-n % size[axis]) // 2 for n, axis in zip(lengths, axes, strict=True)]
    if scan.plane != "axial":  # rows run down, z to the head
        places[..., 1] = matrix - 1 - places[..., 1]
    # Resampling reads sample i of an axis of n at i * n / matrix (prima_features.encoders.prima.prepare).
    return places * [scan.matrix[0] / matrix, scan.matrix[1] / matrix, 1]


def _anatomical(tone: torch.Tensor, label: torch.Tensor, left: torch.Tensor) -> list[torch.Tensor]:
    """Shares of all but lesions, each of the shape of `tone`."""
    fluid, solid, white = (1 - tone).clamp(0, 1), tone.clamp(0, 1), (tone - 1).clamp(0, 1)
    found = [among(label, regions) for regions in _WHOLE.values()]
    tissue = [solid * among(label, regions) for regions in _TISSUE.values()]
    brain = sum(tissue)
    subarachnoid = fluid * among(label, _SUBARACHNOID)
    matter = white * among(label, _TISSUE["cerebrum"])
    return [*found, *tissue, subarachnoid, matter, brain * left, brain * ~left]


def _lesions(
    anatomy: Anatomy, place: tuple[torch.Tensor, torch.Tensor, torch.Tensor], inside: torch.Tensor
) -> list[torch.Tensor]:
    """Shares of `_PAINTED`; later ones cover earlier ones."""
    found = torch.zeros((len(_PAINTED), *inside.shape), device=inside.device)
    for part in anatomy.painted:
        here = inside.clone()
        for axis, box in zip(place, part.box, strict=True):
            here &= (axis >= box.start) & (axis < box.stop)
        share = part.share[tuple(axis[here] - box.start for axis, box in zip(place, part.box, strict=True))]
        found[:, here] *= 1 - share
        if part.tissue in _PAINTED:
            found[_PAINTED.index(part.tissue), here] += share
    return list(found)


def _lesion_volumes(anatomy: Anatomy) -> list[float]:
    """Volume of each of `_LESIONS`, ml; overlapping layers each count whole."""
    found: defaultdict[str, float] = defaultdict(float)
    for part in anatomy.painted:
        found[part.tissue] += float(part.share.sum()) * anatomy.voxel_ml
    return [found[tissue] for tissue in _LESIONS]


def _lesion_cells(anatomy: Anatomy) -> np.ndarray:
    """Volume of lesions without the oedema around them in the cells of `_GRID`, ml."""
    cells = torch.zeros(_GRID)
    for part in anatomy.painted:
        if part.lesion < 0 or not part.core:
            continue
        share = part.share.cpu()
        for axis, (box, n, (low, high), origin) in enumerate(
            zip(part.box, _GRID, _REACH, anatomy.origin, strict=True)
        ):
            mm = torch.arange(box.start, box.stop) * anatomy.spacing + origin
            cell = ((mm - low) / (high - low) * n).floor().long().clamp(0, n - 1)
            sums = torch.zeros([n if i == axis else length for i, length in enumerate(share.shape)])
            share = sums.index_add(axis, cell, share)
        # Layers of one lesion overlap: the largest counts, as far as cells resolve it.
        cells = torch.maximum(cells, share)
    return cells.numpy() * anatomy.voxel_ml
