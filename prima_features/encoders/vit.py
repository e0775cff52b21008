"""Pieces of vision transformers with normalisation before each part, for the encoders that are made of them.

Names of parameters follow timm (`norm1`, `attn.qkv`, `attn.proj`, `norm2`, `mlp.fc1`, `mlp.fc2`); layer scales are
`gamma_1` and `gamma_2`. The published files use other names for some, see each encoder's weights.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prima_features.encoders.ragged import dense_attention
from prima_features.models.loading import Shapes

Rotate = Callable[[Tensor], Tensor]
"""Turns queries or keys (..., N, heads, dim_head) by the places of their tokens."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""softmax(q k^T / sqrt(dim_head)) v of (..., N, heads, dim_head): `ragged.dense_attention`, or `ragged_attention` with
its lengths bound."""


def rotate_halves(x: Tensor, skip: int, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys (B, N, heads, dim_head) of the patches, pairing the two halves of each head.

    Args:
        x: queries or keys.
        skip: tokens before the patches, which stay as they are.
        cos, sin: (patches, 1, dim_head); the rotation is computed in their number type.
    """
    patches = x[:, skip:].to(cos.dtype)
    first, second = patches.chunk(2, dim=-1)
    turned = patches * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([x[:, :skip], turned.to(x.dtype)], dim=1)


def depth(shapes: Shapes) -> int:
    """Number of blocks, from the names of their tensors (`blocks.N.`)."""
    return len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})


@dataclass(frozen=True)
class BlockConfig:
    """Sizes and options of a block."""

    dim: int
    heads: int
    mlp_dim: int
    eps: float = 1e-6
    """Of both LayerNorms."""
    qkv_bias: bool = True
    proj_bias: bool = True
    layer_scale: bool = False
    """Multiply what each part adds by a learnt vector."""
    gate: bool = False
    """Multiply each head's output by a sigmoid of the block's input (Neuro-JEPA)."""
    tanh_gelu: bool = False
    """GELU in its tanh form instead of the exact one."""

    def __post_init__(self) -> None:
        if min(self.dim, self.heads, self.mlp_dim) < 1 or self.dim % self.heads:
            raise ValueError(f"a width of {self.dim} cannot be divided among {self.heads} heads")


class Attention(nn.Module):
    """Self-attention with one projection for queries, keys and values."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=config.qkv_bias)
        self.gate = nn.Linear(config.dim, config.heads) if config.gate else None
        self.proj = nn.Linear(config.dim, config.dim, bias=config.proj_bias)

    def forward(self, x: Tensor, rotate: Rotate | None = None, attend: Attend = dense_attention) -> Tensor:
        """(..., N, dim) to the same shape."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)  # each (..., N, heads, dim_head)
        if rotate is not None:
            q, k = rotate(q), rotate(k)
        heads = attend(q, k, v)
        if self.gate is not None:
            heads = heads * torch.sigmoid(self.gate(x)).unsqueeze(-1)
        return self.proj(heads.flatten(-2))


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, dim: int, hidden: int, tanh_gelu: bool = False) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU(approximate="tanh" if tanh_gelu else "none")
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to the same shape."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """x + gamma_1 attention(norm x), then x + gamma_2 mlp(norm x).

    Args:
        config: sizes and options.
        mlp: in place of an `Mlp`, such as experts.
    """

    def __init__(self, config: BlockConfig, mlp: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=config.eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.eps)
        self.mlp = Mlp(config.dim, config.mlp_dim, config.tanh_gelu) if mlp is None else mlp
        self.gamma_1 = nn.Parameter(torch.ones(config.dim)) if config.layer_scale else None
        self.gamma_2 = nn.Parameter(torch.ones(config.dim)) if config.layer_scale else None

    def forward(self, x: Tensor, rotate: Rotate | None = None, attend: Attend = dense_attention) -> Tensor:
        """(..., N, dim) to the same shape."""
        x = x + _scaled(self.attn(self.norm1(x), rotate, attend), self.gamma_1)
        return x + _scaled(self.mlp(self.norm2(x)), self.gamma_2)


def _scaled(x: Tensor, gamma: Tensor | None) -> Tensor:
    return x if gamma is None else x * gamma
