"""The atlas as tensors, with the distances that warps and lesions use."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage as nd
import torch

from prima_features.synthetic.atlas.file import ORIGIN, SPACING, TEMPLATE_END, read
from prima_features.synthetic.atlas.labels import INTRACRANIAL, PARENCHYMA, VENTRICLES, Region

COARSE = 3
"""Atlas voxels along one side of a coarse voxel; displacements are computed on coarse voxels."""
SHAPE = (150, 180, 165)
"""Voxels (x, y, z): divisible by `COARSE`, and above the neck that the template does not have."""
HORN_REACH = 10.0
"""mm"""
_BELOW = 16
"""Slices of the file that are left out at the bottom."""


@dataclass(frozen=True)
class Atlas:
    """Anatomy on a grid whose axes run to R, A, S. Voxels are `spacing` mm wide, coarse ones three times that."""

    tone: torch.Tensor
    """(X, Y, Z) float32: fluid 0, grey 1, white 2; outside the skull bone 0, muscle 1, fat 2."""
    label: torch.Tensor
    """(X, Y, Z) uint8, `Region`."""
    depth: torch.Tensor
    """(X, Y, Z) float32: depth in the brain from the fluid around it, mm; 0 elsewhere."""
    horn_distance: torch.Tensor
    """(X, Y, Z) float32: distance from the temporal horns, mm; large beyond `HORN_REACH`."""
    skull_depth: torch.Tensor
    """Coarse, float32: mm from the skull's inner surface inwards; negative outside."""
    ventricle_distance: torch.Tensor
    """Coarse, float32: mm from the lateral ventricles."""
    share: dict[Region, torch.Tensor]
    """Coarse, float32: each region's share of a voxel."""
    origin: tuple[float, float, float]
    """MNI coordinates of the first voxel's centre, mm."""
    spacing: float = SPACING

    @property
    def inside(self) -> torch.Tensor:
        """Coarse: 1 inside the skull, falling to 0 within the voxels that it crosses."""
        return torch.stack([self.share[region] for region in INTRACRANIAL]).sum(0).clamp(0, 1)

    def coarse_points(self) -> torch.Tensor:
        """(3, x, y, z) MNI coordinates of the coarse voxels' centres, mm."""
        step = self.spacing * COARSE
        first = (o + self.spacing * (COARSE - 1) / 2 for o in self.origin)
        axes = [torch.arange(n // COARSE) * step + o for n, o in zip(SHAPE, first, strict=True)]
        return torch.stack(torch.meshgrid(*axes, indexing="ij")).float().to(self.tone.device)


@lru_cache(maxsize=4)
def load_atlas(device: str = "cpu") -> Atlas:
    """The packaged atlas on a device; read once per process."""
    if device != "cpu":
        return _to(load_atlas(), device)
    tone, label = (_fit(part) for part in read(Path(__file__).with_name("colin27.xz")))
    _soften_neck(tone)
    _trim_fringe(tone, label)
    coarse = _coarse(label)
    tissue = np.isin(label, PARENCHYMA) & (tone >= 0.5)
    free = tissue | np.isin(label, (*VENTRICLES, Region.HEAD, Region.AIR))
    return Atlas(
        tone=torch.from_numpy(np.ascontiguousarray(tone)),
        label=torch.from_numpy(np.ascontiguousarray(label)),
        depth=_tensor(_depth(tissue, free)),
        horn_distance=_tensor(_near(label == Region.TEMPORAL_HORN, HORN_REACH)),
        skull_depth=_tensor(_skull_depth(coarse)),
        ventricle_distance=_tensor(_ventricle_distance(coarse)),
        share={region: torch.from_numpy(part) for region, part in coarse.items()},
        origin=(ORIGIN[0], ORIGIN[1], ORIGIN[2] + _BELOW * SPACING),
    )


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _skull_depth(coarse: dict[Region, np.ndarray]) -> np.ndarray:
    inside = np.sum([coarse[region] for region in INTRACRANIAL], axis=0) > 0.5
    signed = nd.distance_transform_edt(inside) - nd.distance_transform_edt(~inside)
    # The skull is half a voxel from the centres on either side of it.
    return (signed - 0.5 * np.sign(signed)) * SPACING * COARSE


def _ventricle_distance(coarse: dict[Region, np.ndarray]) -> np.ndarray:
    ventricle = coarse[Region.LATERAL_VENTRICLE] + coarse[Region.CHOROID_PLEXUS] > 0.3
    return nd.distance_transform_edt(~ventricle) * SPACING * COARSE


def _fit(part: np.ndarray) -> np.ndarray:
    """Crop and pad to `SHAPE`: less of the neck, and air beyond the borders."""
    part = part[:, :, _BELOW:]
    return np.pad(part, [(0, n - have) for n, have in zip(SHAPE, part.shape, strict=True)])


def _soften_neck(tone: np.ndarray) -> None:
    """Blur the repeated slices below the template's end, more at lower heights: they would otherwise show streaks."""
    first = ORIGIN[2] + _BELOW * SPACING
    for k in range(int((TEMPLATE_END - first) / SPACING)):
        nd.gaussian_filter(tone[:, :, k], (TEMPLATE_END - first) / SPACING / 5 - k / 5, output=tone[:, :, k])


def _trim_fringe(tone: np.ndarray, label: np.ndarray) -> None:
    """Relabel as fluid what is too thin to be brain above the orbits, where the skull's mask includes other tissue."""
    y, z = (
        int((at - first) / SPACING)
        for at, first in zip((15, 2), (ORIGIN[1], ORIGIN[2] + _BELOW * SPACING), strict=True)
    )
    part = (slice(None), slice(y, None), slice(0, z))
    brain = label[part] == Region.CEREBRUM
    solid = nd.binary_opening(brain & (tone[part] > 0.5), nd.generate_binary_structure(3, 1), iterations=2)
    fringe = brain & ~nd.binary_dilation(solid, iterations=1)
    tone[part][fringe] *= 0.3
    label[part][fringe] = Region.SUBARACHNOID


def _depth(tissue: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Distance of tissue from what is not free, mm, computed in the box that contains both."""
    box = _box(tissue | ~free)
    depth = np.zeros(tissue.shape, np.float32)
    depth[box] = np.where(tissue[box], nd.distance_transform_edt(free[box]) * SPACING, 0)
    return depth


def _near(mask: np.ndarray, reach: float) -> np.ndarray:
    """Distance from a region, mm, computed in a box around it."""
    box = _box(mask, int(reach / SPACING) + 1)
    distance = np.full(mask.shape, np.float32(1e3))
    distance[box] = nd.distance_transform_edt(~mask[box]) * SPACING
    return distance


def _box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...]:
    """The smallest box that contains a mask, with a margin around it."""
    lines = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(max(int(line[0]) - margin, 0), int(line[-1]) + margin + 1) for line in lines)


def _coarse(label: np.ndarray) -> dict[Region, np.ndarray]:
    """Each region's share of the coarse voxels."""
    shape = tuple(n // COARSE for n in label.shape)
    place = np.arange(np.prod(shape), dtype=np.int32).reshape(shape) * len(Region)
    for axis in range(3):
        place = place.repeat(COARSE, axis=axis)
    place += label
    counts = np.bincount(place.ravel(), minlength=int(np.prod(shape)) * len(Region))
    shares = counts.reshape(*shape, len(Region)).astype(np.float32) / np.float32(COARSE**3)
    return {region: np.ascontiguousarray(shares[..., region]) for region in Region}


def _to(atlas: Atlas, device: str) -> Atlas:
    moved: dict[str, Any] = {
        f.name: value.to(device) for f in fields(atlas) if torch.is_tensor(value := getattr(atlas, f.name))
    }
    return replace(atlas, share={region: part.to(device) for region, part in atlas.share.items()}, **moved)
