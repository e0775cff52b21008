"""The ViT whose registers are read out: once over a series' tokens, once over a study's series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import ViTConfig
from prima_features.encoders.prima.networks.transformer import Transformer
from prima_features.encoders.ragged import Ragged


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
