"""The networks that read text: a character transformer for names and descriptions, and GPT-2 for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import NAME_SYMBOLS, NameConfig, TextConfig
from prima_features.encoders.prima.networks.transformer import Transformer, sinusoids
from prima_features.encoders.ragged import Ragged
from prima_features.errors import UsageError

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


class TextTower(nn.Module):
    """GPT-2, and the projection of its output at the last token to the CLIP space.

    Raises:
        UsageError: transformers is not installed.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gpt2 = _gpt2(config)
        self.project = nn.Sequential(
            nn.LayerNorm(config.dim), nn.Linear(config.dim, config.out_dim), nn.LayerNorm(config.out_dim)
        )

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encode B tokenised texts.

        Args:
            ids: (B, L) int64, padded on the right with any id of the vocabulary; attention is causal, so no
                text sees its padding.
            lengths: (B,) int64, tokens of each text, 1 to L, the end mark counted.

        Returns:
            (B, out_dim), L2-normalised: comparable with `StudyOutput.clip`.
        """
        outputs = self.gpt2(input_ids=ids).last_hidden_state  # (B, L, dim)
        last = outputs[torch.arange(len(ids), device=ids.device), lengths - 1]  # (B, dim)
        return F.normalize(self.project(last), dim=-1)


def _gpt2(config: TextConfig) -> Any:
    try:
        from transformers import GPT2Config, GPT2Model
    except ImportError as error:
        raise UsageError(
            "the text tower needs transformers, which is not installed: pip install 'prima-features[text]'"
        ) from error
    return GPT2Model(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.positions,
            n_embd=config.dim,
            n_layer=config.depth,
            n_head=config.heads,
            layer_norm_epsilon=config.layer_norm_eps,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
