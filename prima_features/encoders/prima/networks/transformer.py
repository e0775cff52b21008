"""The transformer that the name encoders and both ViTs are made of."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from prima_features.encoders.attention import ragged_attention
from prima_features.encoders.prima.networks.config import TransformerConfig
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
