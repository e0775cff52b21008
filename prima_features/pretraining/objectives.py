"""The losses of the four stages, and retrieval: plain functions of tensors that equal those of the public Prima code.

CLIP: Radford et al. 2021, arXiv 2103.00020, section 2.3. Patient discrimination: each series identifies the others of
its study among all series of the batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from prima_features.encoders.prima.networks.tokenizer import TokenizerOutput

_OWN = -10.0
"""Logit of a series with itself (the public Prima code's)."""
KS = (1, 5, 10)


def clip_loss(images: Tensor, texts: Tensor, temperature: Tensor, subject: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy over a batch: each image's text against all texts, and the other way round.

    Args:
        images, texts: (B, C), row i of both belonging together; of any length, directions are compared.
        temperature: (1,), logarithm of the factor of the cosine similarities.
        subject: (B,) int64; if given, the texts of other images of the same subject are not negatives.

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


def patient_loss(
    vectors: Tensor, study: Tensor, temperature: Tensor | float = 0.1, subject: Tensor | None = None
) -> Tensor:
    """Sum over series of -log of the mass that falls on the others of the study, each divided by their number.

    Args:
        vectors: (S, P), one per series, compared by inner products.
        study: (S,) int64, equal for series of one study.
        temperature: divisor of the inner products.
        subject: (S,) int64; if given, series of other studies of the same subject are not compared.

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


def reconstruction_loss(output: TokenizerOutput, subvolumes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute difference from the input (N, 1, z, y, x), and the quantiser's commitment loss; both ()."""
    return F.l1_loss(output.reconstruction.float(), subvolumes), output.quantization_loss


def presence_loss(outputs: Tensor, labels: Tensor, positive_weight: Tensor, known: int) -> Tensor:
    """Binary cross-entropy in which positives weigh more.

    Args:
        outputs: (B,), before the sigmoid and before the threshold.
        labels: (B,) float, 0 or 1, or NaN if unknown; unknown ones are ignored.
        positive_weight: (), negatives for each positive among the training studies.
        known: number of known labels in the whole batch, over all processes; the divisor of the sum.

    Returns:
        ().
    """
    has = ~labels.isnan()
    total = F.binary_cross_entropy_with_logits(
        outputs[has], labels[has], pos_weight=positive_weight, reduction="sum"
    )
    return total / max(known, 1)


def level_loss(outputs: Tensor, levels: Tensor, known: int) -> Tensor:
    """Cross-entropy of priority levels: outputs (B, K), levels (B,) int64, -1 if unknown."""
    return F.cross_entropy(outputs, levels, ignore_index=-1, reduction="sum") / max(known, 1)


def retrieval(images: Tensor, texts: Tensor) -> dict[str, float]:
    """Recall at 1, 5 and 10 both ways: the share of queries whose own partner is among the k most similar.

    Args:
        images, texts: (N, C), L2-normalised, row i of both belonging together.

    Returns:
        `text_to_study_recall_at_K` and `study_to_text_recall_at_K`.
    """
    similarity = texts.double() @ images.double().T  # (texts, images)
    ways = {"text_to_study": similarity, "study_to_text": similarity.T}
    return {f"{way}_recall_at_{k}": recall(matrix, k) for way, matrix in ways.items() for k in KS}


def recall(similarity: Tensor, k: int) -> float:
    """Share of rows of a matrix (N, N) whose diagonal element is among the k largest of the row.

    Ties (equal reports) count by the probability of a random order. NaN
    if there is no row, or any value is NaN.
    """
    if not len(similarity) or similarity.isnan().any():
        return math.nan
    own = similarity.diagonal()[:, None]
    larger = (similarity > own).sum(dim=1)
    tied = (similarity == own).sum(dim=1)  # itself among them
    return ((k - larger) / tied).clamp(0, 1).double().mean().item()
