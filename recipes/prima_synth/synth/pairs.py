"""Pairs: two studies of a subject are matched among those of other subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_TEMPERATURE = 0.1
"""Divisor of the cosine similarities."""


class _OfSubject(Protocol):
    @property
    def subject(self) -> str: ...


S = TypeVar("S", bound=_OfSubject)


def by_subject(studies: Sequence[S]) -> list[tuple[S, ...]]:
    """The studies of each subject, in the order of the studies."""
    groups: dict[str, list[S]] = {}
    for study in studies:
        groups.setdefault(study.subject, []).append(study)
    return list(map(tuple, groups.values()))


def draw_pair(group: tuple[S, ...], rng: np.random.Generator) -> tuple[S, S]:
    """Two different studies of a subject; its only study twice."""
    if len(group) <= 2:
        return group[0], group[-1]
    first, second = rng.choice(len(group), 2, replace=False)
    return group[first], group[second]


def pair_loss(vectors: Tensor) -> Tensor:
    """Normalised cross-entropy of each study's partner among all others (Chen et al. 2020, arXiv 2002.05709).

    Args:
        vectors: (2B, D), rows 2i and 2i + 1 of one subject; of any length, directions are compared.

    Returns:
        (), the mean over studies.
    """
    directions = F.normalize(vectors, dim=-1)
    number = torch.arange(len(vectors), device=vectors.device)
    logits = (directions @ directions.T / _TEMPERATURE).masked_fill(
        number[:, None] == number[None], -torch.inf
    )
    return F.cross_entropy(logits, number ^ 1)


def pair_accuracy(first: Tensor, second: Tensor, own: Tensor) -> float:
    """Share of second studies whose most similar first study is their subject's.

    Args:
        first: (B, D), one of each subject.
        second: (P, D), of some of them.
        own: (P,) int64, the row of `first` that each belongs to.
    """
    similarity = F.normalize(second, dim=-1) @ F.normalize(first, dim=-1).T
    return (similarity.argmax(1) == own).double().mean().item()
