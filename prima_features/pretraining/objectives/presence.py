"""The heads' objectives."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def presence_loss(outputs: Tensor, labels: Tensor, positive_weight: Tensor, known: int) -> Tensor:
    """Binary cross-entropy in which positives weigh more.

    Args:
        outputs: (B,), before the sigmoid and before the threshold.
        labels: (B,) float, 0 or 1, NaN where it is not known: those are left out.
        positive_weight: (), negatives for each positive among the training studies.
        known: what the sum is divided by: known labels of the whole batch, which several processes may share.

    Returns:
        ().
    """
    has = ~labels.isnan()
    total = F.binary_cross_entropy_with_logits(
        outputs[has], labels[has], pos_weight=positive_weight, reduction="sum"
    )
    return total / max(known, 1)


def level_loss(outputs: Tensor, levels: Tensor, known: int) -> Tensor:
    """Cross-entropy of priority levels: outputs (B, K), levels (B,) int64, -1 where it is not known."""
    return F.cross_entropy(outputs, levels, ignore_index=-1, reduction="sum") / max(known, 1)
