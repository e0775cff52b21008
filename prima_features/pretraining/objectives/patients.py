"""Patient discrimination: series of one study recognise each other among those of other studies."""

from __future__ import annotations

import torch
from torch import Tensor

_OWN = -10.0
"""Logit of a series with itself (the public Prima code's)."""


def patient_loss(
    vectors: Tensor, study: Tensor, temperature: Tensor | float = 0.1, subject: Tensor | None = None
) -> Tensor:
    """Sum over series of -log of the mass that falls on the others of the study, each divided by their number.

    Args:
        vectors: (S, P), one a series, compared by inner products.
        study: (S,) int64, equal for series of one study.
        temperature: what the products are divided by.
        subject: (S,) int64; where it is given, series of the subject's other studies are left out of the comparison.

    Returns:
        (); series alone in their study are left out, and without others the loss is 0.
    """
    logits, same = _compare(vectors, study, temperature)
    if subject is not None:
        elsewhere = (subject[:, None] == subject[None]) & (study[:, None] != study[None])
        logits = logits.masked_fill(elsewhere, -torch.inf)
    siblings = same.sum(dim=1)
    with_others = siblings > 0
    if not with_others.any():
        return (vectors * 0).sum()
    logits, same = logits[with_others], same[with_others]
    # -log of a ratio of sums, each as a logarithm, because a small mass would underflow.
    missing = logits.logsumexp(1) - logits.masked_fill(~same, -torch.inf).logsumexp(1)
    return (missing / siblings[with_others]).sum()


def patient_accuracy(vectors: Tensor, study: Tensor) -> float:
    """Share of series (of studies with more than one) whose most similar series is of the same study."""
    logits, same = _compare(vectors, study, 1.0)
    with_others = same.any(dim=1)
    if not with_others.any():
        return float("nan")
    nearest = logits.fill_diagonal_(-torch.inf).argmax(dim=1, keepdim=True)
    return same.gather(1, nearest)[with_others].double().mean().item()


def _compare(vectors: Tensor, study: Tensor, temperature: Tensor | float) -> tuple[Tensor, Tensor]:
    """Logits (S, S), and where two different series are of one study."""
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logits = (vectors @ vectors.T / temperature).masked_fill(own, _OWN)
    return logits, (study[:, None] == study[None]) & ~own
