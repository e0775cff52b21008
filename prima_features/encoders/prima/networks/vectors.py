"""From latents to token vectors, which the sequence ViT reads."""

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


PLACE_DIM = 3 * AXIS_DIM + 3
"""Numbers of a token vector that say where the token is and how it lies; the others are its latent."""


def flat_latent(latent: Tensor, slice_axis: int) -> Tensor:
    """Latents (N, C, d, h, w) as vectors (N, C * d * h * w), the same whatever the slice axis.

    The spatial axis that corresponds to the slices trades places with the first before flattening.
    """
    return latent.transpose(2, 2 + slice_axis).flatten(1)


def token_vectors(latent: Tensor, coord: Tensor, slice_axis: int, size: tuple[int, int, int]) -> Tensor:
    """Latent, sinusoids of the grid position, and one-hot slice axis of each token.

    Args:
        latent: (N, C, d, h, w), see `Tokenizer.encode`.
        coord: (N, 3) integer, (z, y, x) of each token's first voxel.
        slice_axis: which of (z, y, x) the slices are stacked along; one for all N.
        size: voxels of a token along (z, y, x), before doubling.

    Returns:
        (N, C * d * h * w + 33), in the number type and on the device of `latent`.
    """
    place = grid_sinusoids(coord.to(latent.device), size).to(latent.dtype)
    plane = latent.new_zeros(len(latent), 3)
    plane[:, slice_axis] = 1
    return torch.cat([flat_latent(latent, slice_axis), place, plane], dim=1)
