"""The transformer that the name encoders and both ViTs are made of."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from prima_features.encoders.attention import ragged_attention
from prima_features.encoders.prima.networks.config import TransformerConfig, ViTConfig
from prima_features.encoders.ragged import Ragged


class Attention(nn.Module):
    """Multi-head self-attention within each sequence."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.dim_head = config.heads, config.dim_head
        inner = config.heads * config.dim_head
        self.to_qkv = nn.Linear(config.dim, 3 * inner, bias=False)
        single = config.heads == 1 and config.dim_head == config.dim
        self.to_out = nn.Identity() if single else nn.Linear(inner, config.dim)

    def forward(self, x: Tensor, cu_seqlens: Tensor, max_length: int) -> Tensor:
        """(T, dim) to (T, dim)."""
        qkv = self.to_qkv(x).unflatten(-1, (3, self.heads, self.dim_head))  # (T, 3, heads, dim_head)
        q, k, v = qkv.unbind(1)  # each (T, heads, dim_head)
        return self.to_out(ragged_attention(q, k, v, cu_seqlens, max_length).flatten(1))


class Block(nn.Module):
    """Attention and MLP, each on LayerNormed input and added to it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.dim)
        self.mlp = nn.Sequential(
            nn.Linear(config.dim, config.mlp_dim), nn.GELU(), nn.Linear(config.mlp_dim, config.dim)
        )

    def forward(self, x: Tensor, cu_seqlens: Tensor, max_length: int) -> Tensor:
        """(T, dim) to (T, dim)."""
        x = x + self.attention(self.attention_norm(x), cu_seqlens, max_length)
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """A stack of blocks, without a norm behind the last."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))

    def forward(self, sequences: Ragged, part: slice = slice(None)) -> Ragged:
        """Sequences of vectors of length `dim`, to the same shape, through all blocks or those of `part`."""
        max_length = max(sequences.lengths, default=0)
        x = sequences.values
        for block in self.blocks[part]:
            x = block(x, sequences.cu_seqlens, max_length)
        return replace(sequences, values=x)


class RegisterViT(nn.Module):
    """[registers] + [leading vector] + elements, through a transformer.

    Registers are learned vectors put in front of every sequence; their outputs are its summary.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.registers = nn.Parameter(torch.randn(config.registers, config.transformer.dim))
        self.transformer = Transformer(config.transformer)
        self.norm = nn.LayerNorm(config.transformer.dim)
        self.project = nn.Linear(config.flat_dim, config.out_dim)

    def forward(self, elements: Ragged, leading: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Summarise each sequence.

        Args:
            elements: B sequences of vectors of length `dim`; a sequence may be empty.
            leading: (B, dim), one more vector a sequence, if any: its name or description.

        Returns:
            The flattened, LayerNormed registers (B, registers * dim), and their projection (B, out_dim).
        """
        return self.summary(self.before_last(elements, leading))

    def before_last(self, elements: Ragged, leading: Tensor | None = None) -> Ragged:
        """What all blocks but the last make of each sequence: registers, the leading vector if any, elements.

        The registers learn of the elements by attention to it; what the last block makes of the elements goes nowhere.
        """
        front = self.registers.expand(len(elements), -1, -1)  # (B, R, dim)
        if leading is not None:
            front = torch.cat([front, leading[:, None]], dim=1)  # (B, R + 1, dim)
        return self.transformer(elements.prepend(front), slice(0, -1))

    def summary(self, before_last: Ragged) -> tuple[Tensor, Tensor]:
        """What `forward` returns, of `before_last`."""
        outputs = self.transformer(before_last, slice(-1, None))
        flat = self.norm(outputs.first(len(self.registers))).flatten(1)
        return flat, self.project(flat)
