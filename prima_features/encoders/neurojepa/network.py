"""The network of Neuro-JEPA (Huang et al. 2026, arXiv 2606.14957): a ViT with rotary positions and experts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.patch_embed import PatchEmbed
from prima_features.encoders.vit import Block, BlockConfig, Mlp

_EPSILON = 1e-6
_FREQUENCY = 10_000.0


@dataclass(frozen=True)
class JepaConfig:
    """Sizes of the network."""

    volume: tuple[int, int, int] = (96, 108, 96)
    """Voxels of the input along (x, y, z). The position code depends on it."""
    patch: int = 12
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    experts: int = 16
    """Of each block with experts."""
    chosen: int = 6
    """Experts that each token uses."""
    expert: int = 384
    """Hidden width of an expert."""
    shared: int = 768
    """Hidden width of the expert that all tokens use."""
    route_scale: float = 4.0
    expert_blocks: tuple[int, ...] = (1, 3, 5, 7, 9, 11)
    """Blocks, counted from 0, with experts instead of one MLP."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that contradict each other."""
        if len(self.volume) != 3 or any(side % self.patch for side in self.volume):
            raise ValueError(f"a volume of {self.volume} cannot be divided into patches of {self.patch}")
        if not 0 < self.chosen <= self.experts:
            raise ValueError(f"{self.chosen} of {self.experts} experts cannot be chosen")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along (x, y, z)."""
        x, y, z = (side // self.patch for side in self.volume)
        return x, y, z


def angles(config: JepaConfig) -> Tensor:
    """Rotation angles (tokens, head width) of the position code.

    Two properties of the published code are kept, since the model was trained with them: the two inner indices are
    computed with the length of the middle axis, although the last axis has another one; and angles are tiled, although
    neighbouring channels are rotated together (see `rotate`).
    """
    x, y, z = config.grid
    head = config.width // config.heads
    per_axis = head // 3 // 2
    token = torch.arange(x * y * z)
    rest = token % (y * z)
    frequency = _FREQUENCY ** (-torch.arange(per_axis, dtype=torch.float32) / per_axis)
    places = (token // (y * z), rest // y, rest % y)
    found = torch.cat([(place[:, None] * frequency).repeat(1, 2) for place in places], dim=1)
    return F.pad(found, (0, head - found.shape[1]))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring channels of queries or keys (..., tokens, heads, head width).

    Args:
        x: queries or keys.
        cos, sin: (tokens, 1, head width).
    """
    swapped = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * cos + swapped * sin


class Experts(nn.Module):
    """Some experts for each token, and a shared one. Their scores are not normalised again after the choice."""

    def __init__(self, config: JepaConfig) -> None:
        super().__init__()
        self.chosen, self.route_scale = config.chosen, config.route_scale
        self.gate = nn.Linear(config.width, config.experts, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.experts))
        """Added to the scores for the choice only."""
        self.experts = nn.ModuleList(Mlp(config.width, config.expert) for _ in range(config.experts))
        self.shared = Mlp(config.width, config.shared)

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) to the same shape."""
        flat = x.flatten(0, -2)
        with torch.autocast(x.device.type, enabled=False):
            scores = F.linear(flat.float(), self.gate.weight).softmax(dim=-1)
        chosen = (scores + self.bias).topk(self.chosen, dim=-1).indices
        weight = torch.zeros_like(scores).scatter(1, chosen, scores.gather(1, chosen) * self.route_scale)
        out = torch.zeros_like(scores[:, :1]).repeat(1, x.shape[-1])
        for number, expert in enumerate(self.experts):
            rows = weight[:, number].nonzero().squeeze(1)
            out.index_add_(0, rows, expert(flat[rows]) * weight[rows, number, None])
        return out.view(x.shape) + self.shared(x)


class NeuroJepa(nn.Module):
    """Volumes to the mean of their tokens."""

    def __init__(self, config: JepaConfig = JepaConfig()) -> None:
        super().__init__()
        self.config = config
        block = BlockConfig(config.width, config.heads, config.mlp, eps=_EPSILON, gate=True)
        self.patch_embed = PatchEmbed(config.width, config.patch)
        self.blocks = nn.ModuleList(
            Block(block, Experts(config) if n in config.expert_blocks else None) for n in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, _EPSILON)

    def tokens(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, x, y, z) to tokens (B, n, width), x slowest."""
        x = self.patch_embed(volumes)
        turn = angles(self.config).to(x.device)[:, None]
        turned = partial(rotate, cos=turn.cos(), sin=turn.sin())
        for block in self.blocks:
            x = block(x, turned)
        return self.norm(x)

    def forward(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, x, y, z) to (B, width)."""
        return self.tokens(volumes).mean(dim=1, dtype=torch.float32)
