"""Scores of diagnoses, referrals and priority."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prima_features.encoders.prima.heads import heads_config, iter_heads
from prima_features.errors import UsageError


@dataclass(frozen=True, eq=False)
class HeadScores:
    """What the heads say of N studies."""

    diagnosis: np.ndarray
    """(N, n) float32, output minus threshold: positive means present."""
    diagnosis_names: tuple[str, ...]
    referral: np.ndarray
    """(N, m) float32, output minus threshold: positive means present."""
    referral_names: tuple[str, ...]
    priority: np.ndarray
    """(N, k) float32, one output a level; k is 0 without a priority head."""
    priority_names: tuple[str, ...]


def score_heads(directory: Path, study_embedding: np.ndarray) -> HeadScores:
    """Run all heads of a model directory.

    Args:
        directory: a model directory.
        study_embedding: (N, D), made by the model in the same directory.

    Raises:
        UsageError: the model has no heads, its file is damaged, or D is not what the heads read.
    """
    import torch

    config = heads_config(directory)
    study = torch.from_numpy(np.ascontiguousarray(study_embedding, dtype=np.float32))  # (N, D)
    scores: dict[str, list[np.ndarray]] = {"diagnosis": [], "referral": [], "priority": []}
    with torch.inference_mode():
        for head in iter_heads(directory):
            if (reads := head.module[0].in_features) != study.shape[-1]:
                raise UsageError(
                    f"the heads in {directory} read study embeddings of {reads} numbers, not of "
                    f"{study.shape[-1]}: embed with the same model"
                )
            output = head.module(study)  # (N,), or (N, k) for priority
            scores[head.kind].append((output if output.ndim == 2 else output[:, None]).numpy())
    nothing = np.zeros((len(study), 0), dtype=np.float32)
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
