"""Predicting the words of a report from the study, which small datasets learn sooner than CLIP.

Each word is a label of its own (Joulin et al. 2016, arXiv 1511.02251).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.errors import UsageError

_RARE, _COMMON = 0.01, 0.99
"""Shares of reports below and above which a word is not predicted."""


class Words(nn.Module):
    """The words and the linear layer that predicts them, initialised with the frequency of each word.

    Args:
        dim: length of the study embedding.
        reports: ids of each training report's tokens.
        size: of the vocabulary.

    Raises:
        UsageError: every word is too rare or too common.
    """

    def __init__(self, dim: int, reports: Sequence[Sequence[int]], size: int) -> None:
        super().__init__()
        counts = torch.zeros(size)
        for ids in reports:
            counts[sorted(set(ids))] += 1
        share = counts / len(reports)
        chosen = ((share >= _RARE) & (share <= _COMMON)).nonzero()[:, 0]
        if not len(chosen):
            raise UsageError("words_weight: no word occurs in some reports but not in others; set it to 0")
        self.chosen: Tensor
        self.register_buffer("chosen", chosen)
        self.tell = nn.Linear(dim, len(chosen))
        nn.init.zeros_(self.tell.weight)
        with torch.no_grad():
            self.tell.bias.copy_(torch.logit(share[chosen]))

    def forward(self, studies: Tensor) -> Tensor:
        """Study embeddings (B, dim) to a logit of each word (B, words)."""
        return self.tell(studies)

    def present(self, ids: Tensor) -> Tensor:
        """Whether each word is in a report: ids (B, L) to (B, words), float32, 0 or 1."""
        return (ids[:, :, None] == self.chosen).any(dim=1).float()


def words_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Mean binary cross-entropy of the words, (B, words) both, to ()."""
    return F.binary_cross_entropy_with_logits(logits, present)
