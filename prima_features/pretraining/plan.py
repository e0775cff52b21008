"""The plan of a run, without training or writing anything."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.pretraining.settings import (
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    TokenizerTraining,
    Training,
)
from prima_features.pretraining.settings.common import CHECKPOINTS, TRAINING

if TYPE_CHECKING:
    from prima_features.pretraining.stages.clip import ClipStage


def make_plan(
    stage: str, path: Path, fresh: bool = False, clip: type[ClipStage] | None = None
) -> dict[str, Any]:
    """Rows of a table: the data, the steps, the networks, the output.

    Args:
        fresh: what an earlier run left does not count.
        clip: as of `pretrain`.

    Raises:
        UsageError, NothingUsableError: what the run itself would raise before it reads the first scan.
    """
    from prima_features.pretraining.model.export import check_output
    from prima_features.pretraining.run import check_earlier, read_stage
    from prima_features.pretraining.training.checkpoint import Checkpoints

    settings = read_stage(stage, path, clip)
    check_output(settings)
    folder = settings.output / TRAINING
    checkpoints = Checkpoints(folder / CHECKPOINTS, settings.checkpoint.keep)
    if not fresh:
        check_earlier(checkpoints, settings)
    paths = [] if fresh else checkpoints.paths()
    return {
        "stage": stage,
        **(_heads(settings) if isinstance(settings, HeadsTraining) else _studies(settings, folder, clip)),
        "steps": settings.steps,
        "batch": settings.batch,
        "batches a step": settings.accumulation,
        "optimiser": f"{settings.optimiser.name}, learning rate {settings.optimiser.lr:g}",
        "output": settings.output,
        "newest checkpoint": paths[-1].stem if paths else "none",
    }


def _studies(settings: Training, folder: Path, clip: type[ClipStage] | None) -> dict[str, Any]:
    from prima_features.pretraining.build import check_before_filling, reports_of
    from prima_features.pretraining.data.draws import split_studies
    from prima_features.pretraining.data.sources import open_source
    from prima_features.pretraining.model.start import start

    assert isinstance(settings, TokenizerTraining | NamesTraining | ClipTraining)
    data = settings.data
    studies, left_out = open_source(data, settings.seed, folder, reports_of(data), keep=False)
    initial = start(settings, contrast=isinstance(settings, ClipTraining))
    check_before_filling(settings, initial, studies, left_out, clip)
    train, held_out = split_studies(studies, data.validation, settings.seed)
    trained = initial.prima.tokenizer if isinstance(settings, TokenizerTraining) else initial.prima
    return {
        "training studies": len(train),
        "validation studies": len(held_out),
        "series": sum(len(study.series) for study in studies),
        "left out by the finder": len(left_out),
        "abnormal studies": sum(study.abnormal for study in studies),
        "starts from": settings.model or "new weights",
        "parts taken over": ", ".join(part.rstrip(".") for part in initial.taken) or "none",
        "parameters": f"{sum(p.numel() for p in trained.parameters()):,} (without a text tower)",
    }


def _heads(settings: HeadsTraining) -> dict[str, Any]:
    from prima_features.models.resolve import resolve
    from prima_features.pretraining.batches.loading import check_batch
    from prima_features.pretraining.data.draws import held_out
    from prima_features.pretraining.data.labels import positive_weights, read_labelled

    data = read_labelled(settings.data, resolve(settings.model).directory)
    held = held_out(data.subjects, settings.data.validation, settings.seed)
    check_batch(range(len(held) - sum(held)), settings.batch, "studies")
    positive_weights(data.presence, np.flatnonzero(~np.array(held)))
    kinds = asdict(settings.data)
    names = {kind: ", ".join(kinds[kind]) for kind in ("diagnosis", "referral", "priority")}
    return {
        "training studies": len(held) - sum(held),
        "validation studies": sum(held),
        **{f"{kind} heads" if kind != "priority" else "priority levels": n for kind, n in names.items() if n},
    }
