"""Warping: a smooth, invertible flow in which regions grow and shrink by known factors.

A stationary velocity has a given divergence in each region and stays inside the skull. A region with divergence c > 0
pushes c times its volume out through its surface: its final volume is (1 + c) times the initial one. A region that
shrinks ends at exp(c) times. Everything around moves like an incompressible medium.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from prima_features.synthetic.atlas.load import COARSE

_SQUARINGS = 5


def divergence_for(ratio: float) -> float:
    """The divergence that changes a region's volume by the factor `ratio`."""
    return ratio - 1 if ratio >= 1 else float(np.log(ratio))


def balanced(source: torch.Tensor, give: torch.Tensor) -> torch.Tensor:
    """`source` minus its sum, taken in proportion to `give`: the volume inside the skull stays the same.

    Both are (x, y, z).
    """
    return source - give * (source.sum() / give.sum())


def velocity(
    divergence: torch.Tensor, inside: torch.Tensor, spacing: float, projections: int = 6
) -> torch.Tensor:
    """The velocity of a divergence, without rotation, that vanishes outside the skull.

    Two projections alternate: one onto fields of that divergence (by the Fourier transform), one onto fields that
    vanish outside.

    Args:
        divergence: (x, y, z), with sum zero.
        inside: (x, y, z), 0 to 1.
        spacing: of the grid, mm.
        projections: number of pairs of projections; near the skull the flow needs more to settle.

    Returns:
        (3, x, y, z), mm.
    """
    waves = _waves(divergence.shape, spacing, divergence.device)
    square = waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2
    inverse = torch.where(square > 0, 1 / square.clamp(min=1e-12), 0.0)
    field = torch.zeros((3, *divergence.shape), device=divergence.device)
    for _ in range(projections):
        missing = torch.fft.rfftn(divergence) - sum(
            1j * k * torch.fft.rfftn(part) for k, part in zip(waves, field, strict=True)
        )
        potential = -missing * inverse
        added = [torch.fft.irfftn(1j * k * potential, s=divergence.shape) for k in waves]
        field = (field + torch.stack(added)) * inside
    return field


def _waves(shape: torch.Size, spacing: float, device: torch.device) -> list[torch.Tensor]:
    """Angular wave numbers along x, y, z, to be broadcast, for a real transform; 0 at the highest frequency."""
    x, y, z = shape
    waves = [torch.fft.fftfreq(x, spacing), torch.fft.fftfreq(y, spacing), torch.fft.rfftfreq(z, spacing)]
    for n, wave in zip(shape, waves, strict=True):
        if n % 2 == 0:
            wave[n // 2] = 0
    a, b, c = (2 * torch.pi * wave.to(device) for wave in waves)
    return [a[:, None, None].expand(-1, len(b), len(c)).clone(), b[None, :, None], c[None, None, :]]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, int, int]
) -> torch.Tensor:
    """(3, *shape) smooth vectors of unit variance at the cells from which they are interpolated."""
    coarse = torch.from_numpy(rng.standard_normal((1, 3, *cells), dtype=np.float32))
    fine = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    return F.avg_pool3d(
        F.avg_pool3d(fine, 5, 1, 2, count_include_pad=False), 3, 1, 1, count_include_pad=False
    )[0]


def backward(flow: torch.Tensor, spacing: float) -> torch.Tensor:
    """The inverse displacement: from the end point of the flow back to the starting point.

    The flow is run backwards in 32 equal steps by squaring.

    Args:
        flow: velocity, (3, x, y, z), mm.
        spacing: of the grid, mm.

    Returns:
        (3, x, y, z), mm.
    """
    moved = -flow / 2**_SQUARINGS
    for _ in range(_SQUARINGS):
        moved = moved + sample(moved, moved / spacing)
    return moved


def sample(values: torch.Tensor, shift: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Values read at each voxel's own place plus a shift in voxels.

    Args:
        values: (C, x, y, z).
        shift: (3, x, y, z).
        mode: of `torch.nn.functional.grid_sample`, where `bilinear` also stands for volumes.

    Returns:
        (C, x, y, z); beyond the edge the values at the edge.
    """
    shape = values.shape[1:]
    axes = [
        torch.linspace(-1, 1, n, device=values.device).view([-1 if i == axis else 1 for i in range(3)])
        for axis, n in enumerate(shape)
    ]
    # grid_sample names the last axis first. It reads a grid of any strides; writing one interleaved is slow.
    grid = torch.stack([axes[i] + shift[i] * (2 / (shape[i] - 1)) for i in (2, 1, 0)]).movedim(0, -1)
    return F.grid_sample(values[None], grid[None], mode=mode, padding_mode="border", align_corners=True)[0]


def to_fine(coarse: torch.Tensor) -> torch.Tensor:
    """(C, x, y, z) on the atlas's own grid."""
    return F.interpolate(coarse[None], scale_factor=COARSE, mode="trilinear", align_corners=False)[0]
