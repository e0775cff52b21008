"""The CLIP objective (Radford et al. 2021, arXiv 2103.00020, section 2.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(images: Tensor, texts: Tensor, temperature: Tensor, subject: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy over a batch: each image's text against all texts, and the other way round.

    Args:
        images, texts: (B, C), row i of both belonging together; of any length, directions are compared.
        temperature: (1,), the logarithm of what cosine similarities are multiplied by.
        subject: (B,) int64; where it is given, the texts of one subject's other images are no wrong answers.

    Returns:
        (), the mean of both directions.
    """
    cosine = F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T  # (B, B)
    logits = cosine * temperature.exp()
    own = torch.arange(len(logits), device=logits.device)
    if subject is not None:
        others = (subject[:, None] == subject[None]) & (own[:, None] != own[None])
        logits = logits.masked_fill(others, -torch.inf)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
