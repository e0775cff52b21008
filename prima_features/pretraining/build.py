"""From settings to a stage with its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from prima_features.pretraining.data.cache import Cache
from prima_features.pretraining.data.cohort import Cohort
from prima_features.pretraining.data.fill import Filler, Make, fill_cohort
from prima_features.pretraining.data.reports import Report, read_reports
from prima_features.pretraining.data.sources import open_source
from prima_features.pretraining.data.tokenize import MakeLatents, MakeSubvolumes
from prima_features.pretraining.model.start import Start, start
from prima_features.pretraining.preflight import check_before_filling
from prima_features.pretraining.settings import (
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    ReportedScans,
    Scans,
    TokenizerTraining,
    Training,
)
from prima_features.pretraining.settings.layout import CACHE, VOCABULARY
from prima_features.pretraining.stages.clip import ClipStage
from prima_features.pretraining.stages.heads import HeadsStage
from prima_features.pretraining.stages.names import NamesStage
from prima_features.pretraining.stages.tokenizer import TokenizerStage
from prima_features.pretraining.training.stage import Stage
from prima_features.synthetic import CONTENT, TRAITS
from prima_features.synthetic.acquisition import SEQUENCES

_REACH = 2
"""Percent that cached tokens let the threshold move by in any case, so that stages can share a cache."""


@dataclass(frozen=True)
class Workplace:
    """Where a stage is built."""

    folder: Path
    """Of the run, for what is not the model."""
    accelerator: Accelerator
    on_study: Callable[[int, int], None] = lambda done, total: None
    """Called with studies done and all studies while the cache is filled."""


def build_stage(settings: Training, place: Workplace, clip: type[ClipStage] | None = None) -> Stage[Any]:
    """A stage, its networks on the accelerator's device and its cache filled.

    Args:
        settings: of the stage.
        place: where it is built.
        clip: a recipe's CLIP stage in place of Prima's.

    Raises:
        UsageError, NothingUsableError, OutputError: as the parts raise.
    """
    accelerator = place.accelerator
    match settings:
        case TokenizerTraining():
            begun = start(settings)
            return TokenizerStage(settings, accelerator, begun, _subvolumes(settings, begun, place))
        case NamesTraining():
            begun = start(settings)
            cohort = _latents(settings, begun, _REACH, place)
            return NamesStage(settings, accelerator, begun, cohort)
        case ClipTraining():
            begun = start(settings, contrast=True)
            reach = max(_REACH, settings.augmentation.move_threshold)
            cohort = _latents(settings, begun, reach, place)
            kind = clip or ClipStage
            if type(settings) is not kind.Settings:
                raise TypeError(
                    f"{kind.__name__} takes {kind.Settings.__name__}, not {type(settings).__name__}"
                )
            return kind(settings, accelerator, begun, cohort, place.folder / VOCABULARY)
        case HeadsTraining():
            return HeadsStage(settings, accelerator)
    raise TypeError(f"{type(settings).__name__} is no stage's settings")


def reports_of(data: Scans) -> dict[str, Report] | None:
    """The reports that the settings name, if any."""
    if isinstance(data, ReportedScans) and data.reports is not None:
        return read_reports(data.reports)
    return None


def _subvolumes(settings: TokenizerTraining, begun: Start, place: Workplace) -> Cohort:
    """Studies whose subvolumes are in the cache."""
    data = settings.data
    make = MakeSubvolumes(begun.config.preprocessing, getattr(torch, data.cache_type))
    cache = Cache(_cache_folder(data, place) / "subvolumes", make.settings)
    return _cohort(settings, begun, cache, make, place)


def _latents(settings: NamesTraining | ClipTraining, begun: Start, reach: int, place: Workplace) -> Cohort:
    """Studies whose latents are in the cache, made by the tokenizer that the stage starts from."""
    data = settings.data
    make = MakeLatents(
        prima=begun.prima.eval(),
        device=place.accelerator.device,
        preprocessing=begun.config.preprocessing,
        reach=reach,
        share=data.token_share,
        seed=settings.seed,
        dtype=getattr(torch, data.cache_type),
    )
    truth = {"truth": [*CONTENT, *TRAITS, *SEQUENCES]} if data.synthetic else {}
    cache = Cache(_cache_folder(data, place) / "latents", make.settings | truth)
    return _cohort(settings, begun, cache, make, place)


def _cohort(
    settings: TokenizerTraining | NamesTraining | ClipTraining,
    begun: Start,
    cache: Cache,
    make: Make,
    place: Workplace,
) -> Cohort:
    accelerator, data = place.accelerator, settings.data
    with accelerator.main_process_first():  # which writes down whom pseudonyms stand for
        source, failures = open_source(
            data, settings.seed, place.folder, reports_of(data), device=str(accelerator.device)
        )
    check_before_filling(settings, begun, source, failures)
    return fill_cohort(Filler(source, cache, make), accelerator, failures, place.on_study, data.workers)


def _cache_folder(data: Scans, place: Workplace) -> Path:
    return data.cache or place.folder / CACHE
