"""Images: the signal of an anatomy on the grid of an acquisition, and the artefacts of the scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from prima_features.synthetic.acquisition import Acquisition, head_affine, series_affine
from prima_features.synthetic.anatomy import Anatomy
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.tissue import AROUND, INSIDE, OUTSIDE, TISSUES, signal

IMAGES = "0.1.0"
"""The release that last changed the images or the ground truth of a subject: caches of earlier releases are made
again."""
_STEPS = 32
"""Steps of the tone from 0 to 1."""
_ONE_TISSUE = {
    Region.AIR: "air",
    Region.EYE: "vitreous",
    Region.VENOUS_SINUS: "vein",
    Region.ARTERY: "artery",
    Region.CHOROID_PLEXUS: "choroid",
    Region.PITUITARY: "pituitary",
    Region.DURA: "dura",
}
_NECK = (-88.0, -58.0)
"""MNI heights between which the head coil's reach begins, mm."""


@dataclass(frozen=True)
class Rendered:
    """One series."""

    volume: np.ndarray
    """(columns, rows, slices) int16, as displayed: see `prima_features.synthetic.acquisition.AXES`."""
    affine: np.ndarray
    """(4, 4): from voxels to mm in the scanner, to R, A, S."""
    scan: Acquisition

    @property
    def name(self) -> str:
        """SeriesDescription."""
        return self.scan.description


def render_series(anatomy: Anatomy, scan: Acquisition) -> Rendered:
    """Make one series of a subject, whose anatomy all series of a study share."""
    values, affine = render(anatomy, scan)
    limit = np.iinfo(np.int16).max
    return Rendered(values.round().clamp(0, limit).to(torch.int16).cpu().numpy(), affine, scan)


def render(anatomy: Anatomy, scan: Acquisition) -> tuple[torch.Tensor, np.ndarray]:
    """(columns, rows, slices) float32 on the anatomy's device, and the affine of `Rendered`."""
    affine = series_affine(scan)
    head = head_affine(scan, anatomy.scale, anatomy.spacing, anatomy.origin)
    image = _acquire(_shown(anatomy, scan), np.linalg.inv(head) @ affine, scan)
    return scanner_effects(image, scan), affine


def _shown(anatomy: Anatomy, scan: Acquisition) -> torch.Tensor:
    """(X, Y, Z): the signal at each voxel of the anatomy, relative to grey matter."""
    table = _table(scan, anatomy.tone.device)
    steps = (anatomy.tone * _STEPS).round_().clamp_(0, 2 * _STEPS)
    entry = steps.int().add_(anatomy.label, alpha=2 * _STEPS + 1)
    shown = table.index_select(0, entry.view(-1)).view(entry.shape)
    _soften(shown, anatomy.edge)
    levels = _levels(scan)
    for part in anatomy.painted:
        box = shown[part.box]
        level = 0.0 if scan.sequence == "ADC" and part.tissue in AROUND else levels[part.tissue]
        shown[part.box] = torch.lerp(box, torch.full_like(box, level), part.share)
    height = torch.arange(shown.shape[2], device=shown.device) * anatomy.spacing + anatomy.origin[2]
    return shown * ((height - _NECK[0]) / (_NECK[1] - _NECK[0])).clamp(0, 1)


def _soften(shown: torch.Tensor, edge: torch.Tensor) -> None:
    """Replace voxels by the mean of themselves and their six neighbours, twice."""
    flat = shown.view(-1)
    _, y, z = shown.shape
    for _ in range(2):
        around = torch.stack([flat[edge + step] for step in (y * z, -y * z, z, -z, 1, -1)]).sum(0)
        flat[edge] = (around + 2 * flat[edge]) / 8


def _levels(scan: Acquisition) -> dict[str, float]:
    """Signal by tissue, jittered around the true one, relative to grey matter except in ADC maps."""
    rng = np.random.default_rng((scan.seed, 0))
    jitter = np.exp(rng.normal(0, scan.contrast_jitter, len(TISSUES)))
    levels = {
        name: signal(tissue, scan) * j for (name, tissue), j in zip(TISSUES.items(), jitter, strict=True)
    }
    unit = 1.0 if scan.sequence == "ADC" else levels["grey"]
    return {name: level / unit for name, level in levels.items()}


def _table(scan: Acquisition, device: torch.device) -> torch.Tensor:
    """Signal by region and tone: (regions x steps of the tone)."""
    levels = _levels(scan)
    tone = np.linspace(0, 2, 2 * _STEPS + 1)
    rows = []
    for region in Region:
        names = OUTSIDE if region == Region.HEAD else INSIDE
        through = np.interp(tone, (0, 1, 2), [levels[name] for name in names])
        if region == Region.HEAD and scan.sequence == "ADC":
            through = np.zeros_like(tone)
        rows.append(np.full_like(tone, levels[_ONE_TISSUE[region]]) if region in _ONE_TISSUE else through)
    return torch.tensor(np.concatenate(rows), dtype=torch.float32, device=device)


def _acquire(shown: torch.Tensor, to_voxel: np.ndarray, scan: Acquisition) -> torch.Tensor:
    """Read the anatomy at the series' voxels: (columns, rows, slices). Thick slices are means along the head's axis
    nearest to their normal."""
    shape = (*scan.matrix, scan.n_slices)
    normal = to_voxel[:3, 2] / scan.slice_distance * scan.thickness
    axis = int(np.argmax(np.abs(normal)))
    if (thick := abs(normal[axis])) <= 1.1:
        return _read(shown, to_voxel, shape)
    return _read(_means_along(shown, axis, thick), to_voxel, shape)


def _means_along(volume: torch.Tensor, axis: int, thick: float) -> torch.Tensor:
    """At each voxel the mean over `thick` voxels around it along an axis."""
    n, reach = volume.shape[axis], int(np.ceil(thick / 2)) + 1
    sums = volume.movedim(axis, -1).cumsum(-1)
    # Sums up to each border between voxels, from `reach` voxels before the first to as many after the last.
    sums = F.pad(F.pad(sums, (1, 0)), (reach, 0))
    sums = torch.cat([sums, sums[..., -1:].expand(*sums.shape[:-1], reach + 1)], dim=-1)
    ends = []
    for border in (0.5 + thick / 2, 0.5 - thick / 2):
        whole = int(np.floor(border))
        first = sums.narrow(-1, whole + reach, n)
        ends.append(torch.lerp(first, sums.narrow(-1, whole + reach + 1, n), border - whole))
    return ((ends[0] - ends[1]) / thick).movedim(-1, axis)


def _read(volume: torch.Tensor, to_voxel: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """Linear interpolation at the voxels of another grid."""
    # affine_grid speaks of (depth, height, width) with coordinates from -1 to 1, the last axis first.
    sizes_in, sizes_out = np.array(volume.shape), np.array(shape)
    unit_in = np.diag([*(2 / (sizes_in - 1)), 1.0])
    unit_in[:3, 3] = -1
    from_unit = np.diag([*((sizes_out - 1) / 2), 1.0])
    from_unit[:3, 3] = (sizes_out - 1) / 2
    theta = (unit_in @ to_voxel @ from_unit)[:3]
    theta = theta[::-1][:, [2, 1, 0, 3]].copy()
    grid = F.affine_grid(
        torch.tensor(theta[None], dtype=torch.float32, device=volume.device),
        [1, 1, *shape],
        align_corners=True,
    )
    return F.grid_sample(volume[None, None], grid, align_corners=True)[0, 0]


_ORDERS = 3
_ADC_NOISE = 1000.0
"""Reference of an ADC map's noise, 1e-6 mm2/s."""


def scanner_effects(image: torch.Tensor, scan: Acquisition) -> torch.Tensor:
    """Receive field, point spread, Rician noise and gain, in this order. (columns, rows, slices).

    ADC maps, which are computed from images, get point spread and noise only.
    """
    rng = np.random.default_rng((scan.seed, 1))
    if scan.sequence == "ADC":
        return _map_noise(_spread(image, scan), rng, scan)
    image = _spread(image * _receive_field(image, rng, scan), scan)
    return _rician(image, rng, scan.noise).mul_(scan.gain)


def _receive_field(image: torch.Tensor, rng: np.random.Generator, scan: Acquisition) -> torch.Tensor:
    """A positive field of mean logarithm 0: low cosines along each axis."""
    weights = rng.normal(size=(_ORDERS, _ORDERS, _ORDERS))
    order = np.add.outer(np.add.outer(np.arange(_ORDERS), np.arange(_ORDERS)), np.arange(_ORDERS))
    weights = np.where(order > 0, weights / (1 + order) ** 1.5, 0)
    weights *= scan.bias / max(float(np.sqrt((weights**2).sum() / 4)), 1e-6)
    log = torch.tensor(weights, dtype=torch.float32, device=image.device)
    for size in image.shape:  # each turn replaces the first axis and puts it last
        place = (torch.arange(size, device=image.device) + 0.5) / size * torch.pi
        waves = torch.cos(place[:, None] * torch.arange(_ORDERS, device=image.device))
        log = torch.tensordot(log, waves, dims=([0], [1]))
    return log.exp()


def _spread(image: torch.Tensor, scan: Acquisition) -> torch.Tensor:
    """Gaussian blur in plane."""
    for axis, spacing in enumerate(scan.spacing):
        sigma = scan.blur / spacing
        if sigma < 0.25:
            continue
        reach = max(1, round(2.5 * sigma))
        steps = torch.arange(-reach, reach + 1, dtype=torch.float32, device=image.device)
        kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
        kernel /= kernel.sum()
        padded = F.pad(image.movedim(axis, -1), (reach, reach)).movedim(-1, axis)
        image = sum(w * padded.narrow(axis, i, image.shape[axis]) for i, w in enumerate(kernel.tolist()))
    return image


def _rician(image: torch.Tensor, rng: np.random.Generator, sd: float) -> torch.Tensor:
    """The magnitude of a signal with noise in its real and imaginary part."""
    real, imaginary = (
        torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32)).to(image.device).mul_(sd)
        for _ in range(2)
    )
    return torch.hypot(real.add_(image), imaginary)


def _map_noise(image: torch.Tensor, rng: np.random.Generator, scan: Acquisition) -> torch.Tensor:
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32)).to(image.device)
    return torch.where(image > 100, (image + noise * scan.noise * _ADC_NOISE).clamp(min=1), 0)
