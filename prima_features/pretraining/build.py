"""Builds a stage from its settings: initial encoder, data, filled cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from prima_features.embedding.file.records import Failure
from prima_features.errors import NothingUsableError, UsageError
from prima_features.pretraining.batches.loading import check_batch
from prima_features.pretraining.data.cache import Cache, Cohort
from prima_features.pretraining.data.draws import split_studies
from prima_features.pretraining.data.fill import Filler, fill_cohort
from prima_features.pretraining.data.records import Source
from prima_features.pretraining.data.sources import open_source
from prima_features.pretraining.data.synthetic import CACHED_ANNOTATIONS
from prima_features.pretraining.data.tokenize import MakeLatents, MakeSubvolumes
from prima_features.pretraining.model.start import Start, check_text, start
from prima_features.pretraining.settings import (
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    ReportedScans,
    Scans,
    TokenizerTraining,
    Training,
)
from prima_features.pretraining.settings.common import CACHE, VOCABULARY
from prima_features.pretraining.stages.clip import ClipStage
from prima_features.pretraining.stages.heads import HeadsStage
from prima_features.pretraining.stages.names import NamesStage
from prima_features.pretraining.stages.tokenizer import TokenizerStage
from prima_features.pretraining.training.optimiser import check_optimiser
from prima_features.pretraining.training.stage import Stage
from prima_features.reports.summaries import StudyReport, read_findings
from prima_features.studies.labels import is_named

logger = logging.getLogger(__name__)

_LEAST_REACH = 2
"""Percent that the foreground threshold can move by with any cache, so that stages can share one."""


@dataclass(frozen=True)
class Workplace:
    """Folder, accelerator and progress callback of a stage that is being built."""

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
        clip: CLIP stage of a recipe, used instead of Prima's.

    Raises:
        UsageError, NothingUsableError, OutputError: as the parts raise.
    """
    accelerator = place.accelerator
    if isinstance(settings, HeadsTraining):
        return HeadsStage(settings, accelerator)
    if not isinstance(settings, TokenizerTraining | NamesTraining | ClipTraining):
        raise TypeError(f"{type(settings).__name__} is not the settings of a stage")
    kind = clip or ClipStage
    if isinstance(settings, ClipTraining) and type(settings) is not kind.Settings:
        raise TypeError(f"{kind.__name__} takes {kind.Settings.__name__}, not {type(settings).__name__}")
    initial = start(settings, contrast=isinstance(settings, ClipTraining))
    cohort = _filled_cohort(settings, initial, place, kind)
    match settings:
        case TokenizerTraining():
            return TokenizerStage(settings, accelerator, initial, cohort)
        case NamesTraining():
            return NamesStage(settings, accelerator, initial, cohort)
        case ClipTraining():
            return kind(settings, accelerator, initial, cohort, place.folder / VOCABULARY)


def reports_of(data: Scans) -> dict[str, StudyReport] | None:
    """The reports that the settings name, if any."""
    if isinstance(data, ReportedScans) and data.reports is not None:
        return read_findings(data.reports)
    return None


def check_before_filling(
    settings: NamesTraining | ClipTraining | TokenizerTraining,
    initial: Start,
    source: Source,
    failures: Sequence[Failure] = (),
    clip: type[ClipStage] | None = None,
) -> None:
    """Refuse what the stage would refuse once the cache is filled, which may take hours.

    Unusable series can leave fewer studies than the source lists, so stages check again.

    Args:
        initial: the encoder that the stage starts from.
        failures: what the source left out.
        clip: as of `build_stage`.

    Raises:
        NothingUsableError: the source has no study.
        UsageError: all are held out, or none and the best is asked for; there are too few for a batch; no text tower
            fits, or not the tokenizer of the model that the stage starts from; or this torch lacks the optimiser.
    """
    check_optimiser(settings.optimiser)
    if not isinstance(settings, TokenizerTraining):
        _check_tokenizer(initial)
    if not len(source):
        raise NothingUsableError("No study to train on: the source has no usable study", failures)
    train, held_out = split_studies(source, settings.data.validation, settings.seed)
    if settings.export == "best" and not held_out:
        raise UsageError(
            "export = 'best' needs held-out studies, but none is held out; raise data.validation, or set "
            "export = 'last'"
        )
    if isinstance(settings, NamesTraining):
        names = {series.name for study in train for series in study.series if is_named(series.name)}
        check_batch(names, settings.batch, "names of series")
    elif isinstance(settings, ClipTraining):
        check_text(settings, initial)
        if settings.augmentation.abnormal_repeats and not any(study.abnormal for study in train):
            logger.warning("No study is marked as abnormal; augmentation.abnormal_repeats has no effect")
        (clip or ClipStage).sampler(settings, train)  # refuses a batch that is too large


def _check_tokenizer(initial: Start) -> None:
    """Later stages do not train the tokenizer; one with other sizes would stay random."""
    assert initial.base is not None
    if "tokenizer." not in initial.taken:
        key = "tokenizer" if initial.base.tokenizer != initial.config.tokenizer else "preprocessing"
        raise UsageError(
            f"network.{key} differs from that of the initial model, and this stage does not train the "
            "tokenizer; remove "
            "the setting, or train a tokenizer with it first (prima pretrain tokenizer)"
        )


def _filled_cohort(
    settings: TokenizerTraining | NamesTraining | ClipTraining,
    initial: Start,
    place: Workplace,
    clip: type[ClipStage],
) -> Cohort:
    """The studies of the settings, with their subvolumes or latents in the cache."""
    accelerator, data = place.accelerator, settings.data
    with accelerator.main_process_first():  # which writes the table of pseudonyms
        source, failures = open_source(
            data, settings.seed, place.folder, reports_of(data), device=str(accelerator.device)
        )
    check_before_filling(settings, initial, source, failures, clip)
    folder = data.cache or place.folder / CACHE
    make: MakeSubvolumes | MakeLatents
    if isinstance(settings, TokenizerTraining):
        make = MakeSubvolumes(initial.config.preprocessing, getattr(torch, data.cache_type))
        cache = Cache(folder / "subvolumes", make.settings)
    else:
        make = _latents_maker(settings, initial, accelerator.device)
        annotated = CACHED_ANNOTATIONS if data.synthetic else {}
        cache = Cache(folder / "latents", make.settings | annotated)
    return fill_cohort(Filler(source, cache, make), accelerator, failures, place.on_study, data.workers)


def _latents_maker(
    settings: NamesTraining | ClipTraining, initial: Start, device: torch.device
) -> MakeLatents:
    """Computes latents with the tokenizer that the stage starts from."""
    moved = settings.augmentation.move_threshold if isinstance(settings, ClipTraining) else 0
    return MakeLatents(
        prima=initial.prima.eval(),
        device=device,
        preprocessing=initial.config.preprocessing,
        reach=max(_LEAST_REACH, moved),
        share=settings.data.token_share,
        seed=settings.seed,
        dtype=getattr(torch, settings.data.cache_type),
    )
