"""From settings to a stage with its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from prima_features.pretraining import token_pool
from prima_features.pretraining.cache import Cache
from prima_features.pretraining.cohort import Cohort, Make, fill_cohort
from prima_features.pretraining.records import RawSeries
from prima_features.pretraining.reports import Report, read_reports
from prima_features.pretraining.settings import (
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    ReportedScans,
    Scans,
    TokenizerTraining,
    Training,
)
from prima_features.pretraining.sources import open_source
from prima_features.pretraining.stages.stage import Stage
from prima_features.pretraining.start import Start, digest_of, start
from prima_features.pretraining.tokenize import cut_widely, latents
from prima_features.tokens import cut

OnStudy = Callable[[int, int], None]
_REACH = 2
"""Percent that cached tokens let the threshold move by in any case, so that stages can share a cache."""


def build_stage(settings: Training, folder: Path, accelerator: Accelerator, on_study: OnStudy) -> Stage[Any]:
    """A stage, its networks on the accelerator's device and its cache filled.

    Args:
        settings: of the stage.
        folder: of the run, for what is not the model.
        accelerator: of the run.
        on_study: called with studies done and all studies while the cache is filled.

    Raises:
        UsageError, NothingUsableError, OutputError: as the parts raise.
    """
    match settings:
        case TokenizerTraining():
            return _tokenizer(settings, folder, accelerator, on_study)
        case NamesTraining():
            return _names(settings, folder, accelerator, on_study)
        case ClipTraining():
            return _clip(settings, folder, accelerator, on_study)
        case HeadsTraining():
            from prima_features.pretraining.stages.heads import HeadsStage

            return HeadsStage(settings, accelerator)
    raise TypeError(f"{type(settings).__name__} is no stage's settings")


def _tokenizer(
    settings: TokenizerTraining, folder: Path, accelerator: Accelerator, on_study: OnStudy
) -> Stage[Any]:
    from prima_features.pretraining.stages.tokenizer import TokenizerStage

    begun = start(settings)
    preprocessing = begun.config.preprocessing
    dtype = getattr(torch, settings.data.cache_type)

    def make(series: RawSeries) -> Mapping[str, Tensor]:
        values = cut(series.volume(preprocessing), preprocessing).values
        return {token_pool.TENSOR: torch.from_numpy(values).to(dtype)}

    content = {"preprocessing": asdict(preprocessing), "type": settings.data.cache_type}
    cache = Cache(_cache_folder(settings.data, folder) / "subvolumes", content)
    cohort = _cohort(settings, settings.data, folder, cache, make, accelerator, on_study)
    return TokenizerStage(settings, accelerator, begun, cohort)


def _names(settings: NamesTraining, folder: Path, accelerator: Accelerator, on_study: OnStudy) -> Stage[Any]:
    from prima_features.pretraining.stages.names import NamesStage

    begun = start(settings)
    cohort = _latent_cohort(settings, settings.data, folder, begun, _REACH, accelerator, on_study)
    return NamesStage(settings, accelerator, begun, cohort)


def _clip(settings: ClipTraining, folder: Path, accelerator: Accelerator, on_study: OnStudy) -> Stage[Any]:
    from prima_features.pretraining.stages.clip import ClipStage

    begun = start(settings, contrast=True)
    reach = max(_REACH, settings.augmentation.move_threshold)
    cohort = _latent_cohort(settings, settings.data, folder, begun, reach, accelerator, on_study)
    return ClipStage(settings, accelerator, begun, cohort, folder)


def _latent_cohort(
    settings: Training,
    data: Scans,
    folder: Path,
    begun: Start,
    reach: int,
    accelerator: Accelerator,
    on_study: OnStudy,
) -> Cohort:
    """Studies whose latents are in the cache, made by the tokenizer that the stage starts from."""
    prima, preprocessing = begun.prima, begun.config.preprocessing
    dtype = getattr(torch, data.cache_type)
    prima.to(accelerator.device).eval()

    def make(series: RawSeries) -> Mapping[str, Tensor]:
        subvolumes, counts = cut_widely(series.volume(preprocessing), preprocessing, reach)
        return {
            "latent": latents(prima, subvolumes, dtype),
            "row": torch.from_numpy(subvolumes.row),
            "coord": torch.from_numpy(subvolumes.coord),
            "counts": torch.tensor(counts),
            "slice_axis": torch.tensor(subvolumes.slice_axis),
        }

    content = {
        "preprocessing": asdict(preprocessing),
        "tokenizer": digest_of(prima.tokenizer.encoder.state_dict()),
        "reach": reach,
        "type": data.cache_type,
    }
    cache = Cache(_cache_folder(data, folder) / "latents", content)
    return _cohort(settings, data, folder, cache, make, accelerator, on_study)


def _cohort(
    settings: Training,
    data: Scans,
    folder: Path,
    cache: Cache,
    make: Make,
    accelerator: Accelerator,
    on_study: OnStudy,
) -> Cohort:
    with accelerator.main_process_first():  # which writes down whom pseudonyms stand for
        source, failures = open_source(data, settings.seed, folder, reports_of(data))
    return fill_cohort(source, cache, make, accelerator, failures, on_study)


def reports_of(data: Scans) -> dict[str, Report] | None:
    """The reports that the settings name, if any."""
    if isinstance(data, ReportedScans) and data.reports is not None:
        return read_reports(data.reports)
    return None


def _cache_folder(data: Scans, folder: Path) -> Path:
    return data.cache or folder / "cache"
