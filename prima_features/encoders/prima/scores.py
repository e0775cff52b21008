"""Scores of diagnoses, referrals and priority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.encoders.prima.heads import heads_config, iter_heads
from prima_features.errors import UsageError

if TYPE_CHECKING:
    import torch

_STUDIES_AT_ONCE = 4096
"""Studies in one call of a head: 4096 x 4000 hidden values are 66 MB."""


@dataclass(frozen=True, eq=False)
class HeadScores:
    """Outputs of all heads of a model for N studies."""

    diagnosis: np.ndarray
    """(N, n) float32, logit minus threshold: present if 0 or more."""
    diagnosis_names: tuple[str, ...]
    referral: np.ndarray
    """(N, m) float32, logit minus threshold: present if 0 or more."""
    referral_names: tuple[str, ...]
    priority: np.ndarray
    """(N, k) float32, one raw output per level; k is 0 without a priority head."""
    priority_names: tuple[str, ...]
    """From the least to the most urgent level."""


def score_heads(
    directory: Path,
    study_embedding: np.ndarray,
    device: torch.device | str = "cpu",
    on_head: Callable[[int, int], None] = lambda done, total: None,
) -> HeadScores:
    """Run all heads of a model directory, in float32, each loaded when its turn comes.

    Args:
        directory: a model directory.
        study_embedding: (N, D), made by the model in the same directory.
        device: where to compute.
        on_head: called after each head with the number of heads done and of all heads.

    Raises:
        UsageError: the model has no heads, its file is damaged, or D is not what the heads read.
    """
    import torch

    config = heads_config(directory)
    n_heads = len(config.diagnosis) + len(config.referral) + bool(config.priority)
    studies = torch.from_numpy(np.ascontiguousarray(study_embedding, dtype=np.float32))  # (N, D)
    scores: dict[str, list[np.ndarray]] = {"diagnosis": [], "referral": [], "priority": []}
    with torch.inference_mode():
        for done, head in enumerate(iter_heads(directory), start=1):
            if (width := head.module[0].in_features) != studies.shape[-1]:
                raise UsageError(
                    f"the heads in {directory} read study embeddings of {width} numbers, not of "
                    f"{studies.shape[-1]}: embed with the same model"
                )
            module = head.module.to(device)
            # At least one call, so that no studies give an empty column.
            output = torch.cat([module(some.to(device)).cpu() for some in studies.split(_STUDIES_AT_ONCE)])
            scores[head.kind].append((output if output.ndim == 2 else output[:, None]).numpy())
            on_head(done, n_heads)
    nothing = np.zeros((len(studies), 0), dtype=np.float32)
    diagnosis, referral, priority = (
        np.concatenate([nothing, *columns], axis=1) for columns in scores.values()
    )
    return HeadScores(
        diagnosis,
        tuple(head.name for head in config.diagnosis),
        referral,
        tuple(head.name for head in config.referral),
        priority,
        config.priority,
    )
