"""The network of Dinov3D-Neuro: DINOv3 (Siméoni et al. 2025, arXiv 2508.10104) on volumes.

The authors' code was not available. Names, sizes and the position code of three axes follow another group's
re-implementation, which loads every published tensor but could not compare outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from prima_features.encoders.patch_embed import PatchEmbed
from prima_features.encoders.vit import Block, BlockConfig, rotate_halves

_PERIOD = 100.0


@dataclass(frozen=True)
class Dino3dConfig:
    """Sizes of the network."""

    width: int = 792
    depth: int = 12
    heads: int = 12
    mlp: int = 3168
    patch: int = 16
    eps: float = 1e-6
    """Of the layer norms; 1e-5 if the authors' config.yaml states `layernormbf16`."""
    bfloat16_positions: bool = True
    """Compute the position code and the rotation in bfloat16, as published."""
    feature: Literal["class", "mean"] = "class"
    """Series vector: the class token, or the mean of the patches."""

    def __post_init__(self) -> None:
        """Raise ValueError if a head cannot be divided into three axes of pairs."""
        if self.width % self.heads or self.width // self.heads % 6:
            raise ValueError(f"{self.width} channels in {self.heads} heads are not multiples of 6 each")
        if self.feature not in ("class", "mean"):
            raise ValueError(f"feature is {self.feature!r}, not class or mean")

    @property
    def periods(self) -> int:
        """Periods of each axis."""
        return self.width // self.heads // 6


def angles(grid: tuple[int, int, int], periods: Tensor) -> Tensor:
    """Rotation angles (patches, head width), in the number type of `periods`.

    Args:
        grid: patches along each axis.
        periods: (p,); 2 p channels for each axis.
    """
    axes = [2 * ((torch.arange(n, dtype=periods.dtype, device=periods.device) + 0.5) / n) - 1 for n in grid]
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)
    return (2 * math.pi * coordinates[:, :, None] / periods).flatten(1).repeat(1, 2)


class Dino3d(nn.Module):
    """Volumes to the class token or the mean of the patches."""

    def __init__(self, config: Dino3dConfig = Dino3dConfig()) -> None:
        super().__init__()
        self.config = config
        block = BlockConfig(config.width, config.heads, config.mlp, eps=config.eps, layer_scale=True)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.patch_embed = PatchEmbed(config.width, config.patch)
        n = config.periods
        self.periods = nn.Parameter(_PERIOD ** (torch.arange(n) / n))
        self.blocks = nn.ModuleList(Block(block) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, config.eps)

    def tokens(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, x, y, z) to tokens (B, 1 + n, width): the class token, then the patches, x slowest."""
        patches = self.patch_embed(volumes)
        x, y, z = (side // self.config.patch for side in volumes.shape[2:])
        kind = torch.bfloat16 if self.config.bfloat16_positions else torch.float32
        turn = angles((x, y, z), self.periods.to(kind))[:, None]
        turned = partial(rotate_halves, skip=1, cos=turn.cos(), sin=turn.sin())
        tokens = torch.cat([self.cls_token.expand(len(volumes), -1, -1).to(patches.dtype), patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens, turned)
        return self.norm(tokens)

    def forward(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, x, y, z), sides multiples of the patch, to (B, width)."""
        tokens = self.tokens(volumes).float()
        return tokens[:, 0] if self.config.feature == "class" else tokens[:, 1:].mean(dim=1)
