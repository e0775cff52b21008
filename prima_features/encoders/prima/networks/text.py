"""The text tower: GPT-2 over a summarised report."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import TextConfig
from prima_features.errors import UsageError


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
