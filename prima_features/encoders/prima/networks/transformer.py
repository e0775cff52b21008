"""The transformer of the name encoders and both ViTs, and the vectors that it reads: positions and tokens."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import TransformerConfig, ViTConfig
from prima_features.encoders.ragged import Ragged, ragged_attention

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
        self.registers = nn.Parameter(torch.empty(config.registers, config.transformer.dim))
        nn.init.normal_(self.registers)  # which `hollow` skips
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
