"""NeuroVFM's network: a vision transformer on patches of 4 x 16 x 16 voxels, each with its place in the grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prima_features.encoders.ragged import ragged_attention
from prima_features.encoders.vit import Block, BlockConfig


@dataclass(frozen=True)
class NeuroVFMConfig:
    """Sizes; the defaults are the published ones."""

    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    patch_dim: int = 1024
    """Voxels of a patch."""
    place_dim: int = 30
    """Of the token's values, how many encode its place."""

    @property
    def block(self) -> BlockConfig:
        """Sizes of a block."""
        return BlockConfig(self.dim, self.heads, self.mlp_dim, proj_bias=False, tanh_gelu=True)


class NeuroVFM(nn.Module):
    """Patches (T, patch_dim) of several series to token vectors (T, dim), with attention within each series."""

    def __init__(self, config: NeuroVFMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_dim, config.dim - config.place_dim)
        self.blocks = nn.ModuleList(Block(config.block) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)

    def forward(self, values: Tensor, place: Tensor, cu_seqlens: Tensor, longest: int) -> Tensor:
        """Encode patches.

        Args:
            values: (T, patch_dim), normalised.
            place: (T, 3), position in the grid of patches (D, H, W).
            cu_seqlens: (B + 1,) int32, see `ragged.Ragged`.
            longest: patches of the longest series.
        """

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return ragged_attention(q, k, v, cu_seqlens, longest)

        x = torch.cat([self.embed(values).float(), place_values(place, self.config.place_dim)], 1)
        for block in self.blocks:
            x = block(x, attend=attend)
        return self.norm(x)


def place_values(place: Tensor, n: int) -> Tensor:
    """Sines and cosines (T, n) of places (T, 3): those of D, then of H, then of W.

    The public code reads them from a table of 566 MB.
    """
    per_axis = 2 * -(-n // 6)
    step = torch.arange(0, per_axis, 2, dtype=torch.float32, device=place.device)
    angles = place[:, :, None] * 10000 ** (-step / per_axis)  # (T, 3, per_axis / 2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :n]
