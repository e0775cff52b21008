"""The character transformer that reads a sequence's name or a study's description."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import NAME_SYMBOLS, NameConfig
from prima_features.encoders.prima.networks.transformer import Transformer
from prima_features.encoders.prima.networks.vectors import sinusoids
from prima_features.encoders.ragged import Ragged

# Index 0 is free: the published model keeps it for padding, which ragged batches do without.
_INDEX = {symbol: index for index, symbol in enumerate(NAME_SYMBOLS, start=1)}
UNKNOWN = len(NAME_SYMBOLS) + 1
END = len(NAME_SYMBOLS) + 2


def symbol_indices(text: str) -> list[int]:
    """Indices of the lower-case characters: 1 to 44 by `NAME_SYMBOLS`, else `UNKNOWN`; then `END`."""
    return [*(_INDEX.get(character, UNKNOWN) for character in text.lower()), END]


class NameEncoder(nn.Module):
    """Character embeddings and positions, a transformer, and a projection of the end mark's output."""

    def __init__(self, config: NameConfig) -> None:
        super().__init__()
        dim, self.position_dim = config.transformer.dim, config.position_dim
        self.embed = nn.Embedding(END + 1, dim - config.position_dim)
        self.transformer = Transformer(config.transformer)
        self.project = nn.Linear(dim, config.out_dim)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Encode B texts, of any length and also empty, as (B, out_dim)."""
        device = self.embed.weight.device
        indices = [symbol_indices(text) for text in texts]
        symbols = torch.tensor([index for text in indices for index in text], dtype=torch.long, device=device)
        positions = torch.tensor([i for text in indices for i in range(len(text))], device=device)
        embedded = self.embed(symbols)
        values = torch.cat([embedded, sinusoids(positions, self.position_dim).to(embedded.dtype)], dim=-1)
        characters = Ragged.from_lengths(values, [len(text) for text in indices])
        return self.project(self.transformer(characters).last())
