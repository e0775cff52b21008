"""Retrieval between studies and texts."""

from __future__ import annotations

import math

from torch import Tensor

KS = (1, 5, 10)


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
    """Share of rows (N, N) whose diagonal element is among the k largest of its row.

    Where others are exactly as large (equal reports), it is the share expected when ties are broken by chance. NaN
    where there is no row, or something among them is not a number.
    """
    if not len(similarity) or similarity.isnan().any():
        return math.nan
    own = similarity.diagonal()[:, None]
    larger = (similarity > own).sum(dim=1)
    tied = (similarity == own).sum(dim=1)  # itself among them
    return ((k - larger) / tied).clamp(0, 1).double().mean().item()
