"""The network of BrainIAC (Tak et al. 2026): a ViT-B on volumes without a class token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from prima_features.encoders.patch_embed import PatchEmbed
from prima_features.encoders.vit import Block, BlockConfig

_EPSILON = 1e-5


@dataclass(frozen=True)
class BrainiacConfig:
    """Sizes of the network."""

    side: int = 96
    """Voxels along each axis of the input."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    feature: Literal["mean", "token0"] = "mean"
    """Series vector: the mean of all tokens, or the first one, which the authors call the class token."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that contradict each other."""
        if self.side % self.patch:
            raise ValueError(f"a side of {self.side} cannot be divided into patches of {self.patch}")
        if self.feature not in ("mean", "token0"):
            raise ValueError(f"feature is {self.feature!r}, not mean or token0")

    @property
    def tokens(self) -> int:
        """Patches of a volume."""
        return (self.side // self.patch) ** 3


class Brainiac(nn.Module):
    """Volumes to the mean of their tokens or the first one."""

    def __init__(self, config: BrainiacConfig = BrainiacConfig()) -> None:
        super().__init__()
        self.config = config
        block = BlockConfig(config.width, config.heads, config.mlp, eps=_EPSILON, qkv_bias=False)
        self.patch_embed = PatchEmbed(config.width, config.patch)
        self.positions = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        self.blocks = nn.ModuleList(Block(block) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, _EPSILON)

    def tokens(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, x, y, z) to tokens (B, n, width), x slowest."""
        x = self.patch_embed(volumes) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, x, y, z) to (B, width)."""
        tokens = self.tokens(volumes).float()
        return tokens.mean(dim=1) if self.config.feature == "mean" else tokens[:, 0]
