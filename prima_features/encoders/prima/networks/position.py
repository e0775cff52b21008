"""Sinusoids of a position (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor

AXIS_DIM = 10
"""Numbers that each axis of a token's grid position gets."""


def sinusoids(position: Tensor, dim: int) -> Tensor:
    """Sine and cosine, interleaved, of each position times the frequencies 10000^(-2j / dim), j < dim / 2.

    Args:
        position: any shape, any number type.
        dim: even.

    Returns:
        float32, the shape of `position` with `dim` behind it.

    Raises:
        ValueError: `dim` is odd.
    """
    if dim % 2:
        raise ValueError(f"a sinusoid has an even number of components, not {dim}")
    exponent = torch.arange(0, dim, 2, dtype=torch.float32, device=position.device) / dim
    angle = position[..., None] * 10000**-exponent
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def grid_sinusoids(coord: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Sinusoids of the tokens' places on the grid: ten numbers each for z, y and x.

    Args:
        coord: (N, 3) integer, (z, y, x) of each token's first voxel.
        size: voxels of a token along (z, y, x).

    Returns:
        (N, 30) float32.
    """
    return sinusoids(coord / torch.tensor(size, device=coord.device), AXIS_DIM).flatten(1)
