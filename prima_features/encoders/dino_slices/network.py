"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193) and DINOv3 (Siméoni et al. 2025, arXiv 2508.10104), as timm has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.vit import Block, BlockConfig, rotate_halves

_PERIOD = 100.0


@dataclass(frozen=True)
class SlicesConfig:
    """Sizes of the network, and how many slices of a scan it reads."""

    dim: int
    depth: int
    heads: int
    mlp_dim: int
    patch: int
    registers: int
    """Tokens between the class token and the patches."""
    table: int
    """Side of the learnt table of positions, which is resized to the grid of patches (DINOv2); 0: rotary (DINOv3)."""
    eps: float
    slices: int

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit together."""
        if not self.table and self.dim // self.heads % 4:
            raise ValueError(f"heads of {self.dim // self.heads} channels are not multiples of 4")
        if self.slices not in (32, 128):
            raise ValueError(f"slices must be 128 or 32, not {self.slices}")

    @property
    def block(self) -> BlockConfig:
        """Sizes of a block. DINOv3 has no biases of queries, keys and values."""
        return BlockConfig(
            self.dim, self.heads, self.mlp_dim, self.eps, qkv_bias=bool(self.table), layer_scale=True
        )


class Dino(nn.Module):
    """Slices (P, H, W) to their class tokens (P, dim)."""

    def __init__(self, config: SlicesConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = nn.Conv2d(3, config.dim, config.patch, config.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        if config.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, config.registers, config.dim))
        if config.table:
            self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.table**2, config.dim))
        self.blocks = nn.ModuleList(Block(config.block) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, config.eps)

    def forward(self, slices: Tensor) -> Tensor:
        """Slices (P, H, W) to class tokens (P, dim); the three channels are equal."""
        return self.tokens(slices[:, None].expand(-1, 3, -1, -1))[:, 0]

    def tokens(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to tokens (B, 1 + registers + patches, dim), patches row by row."""
        patches = self.patch_embed(images)
        rows, columns = patches.shape[2:]
        x = patches.flatten(2).transpose(1, 2)  # (B, patches, dim)
        first: Tensor = self.cls_token
        turn = None
        if self.config.table:
            positions = self.positions(rows, columns)
            x, first = x + positions[:, 1:], first + positions[:, :1]
        else:
            angles = rotary_angles(rows, columns, self.config.dim // self.config.heads, x.device)
            turn = partial(rotate_halves, skip=1 + self.config.registers, cos=angles.cos(), sin=angles.sin())
        before = [first, self.reg_token] if self.config.registers else [first]
        x = torch.cat([token.expand(len(x), -1, -1).to(x.dtype) for token in before] + [x], 1)
        for block in self.blocks:
            x = block(x, turn)
        return self.norm(x)

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, dim): the table, bicubically resized if the grid has another size."""
        side = self.config.table
        if (rows, columns) == (side, side):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, (rows, columns), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)


def rotary_angles(rows: int, columns: int, dim_head: int, device: torch.device) -> Tensor:
    """Angles (patches, 1, dim_head): a quarter turns by the row, a quarter by the column, and all once more."""
    n = dim_head // 4
    periods = _PERIOD ** (torch.arange(n, dtype=torch.float32, device=device) / n)
    places = [
        2 * (torch.arange(size, dtype=torch.float32, device=device) + 0.5) / size - 1
        for size in (rows, columns)
    ]
    grid = torch.stack(torch.meshgrid(*places, indexing="ij"), -1).flatten(0, 1)  # (patches, 2)
    angles = 2 * math.pi * grid[:, :, None] / periods
    return angles.flatten(1).repeat(1, 2)[:, None]
