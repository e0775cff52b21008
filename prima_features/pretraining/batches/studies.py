"""Augmentation of studies, and batches of tensors.

All random draws of an augmentation go into a plain record first and are then applied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.prima.networks import PrimaConfig
from prima_features.encoders.prima.networks.transformer import token_vectors
from prima_features.encoders.ragged import Ragged
from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy
from prima_features.pretraining.data.reports import ReportVocabulary
from prima_features.pretraining.settings import Augmentation


@dataclass(frozen=True, eq=False)
class StudyBatch:
    """Some studies with their reports, ready for the networks."""

    tokens: Ragged
    """Token vectors of each series, float32, the series of a study side by side."""
    names: list[str]
    n_series: list[int]
    descriptions: list[str]
    ids: Tensor
    """(B, L) int64, tokens of the reports."""
    lengths: Tensor
    """(B,) int64."""

    def to(self, device: torch.device) -> Self:
        """The batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory, which a GPU copies from asynchronously."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A copy with all tensors changed, those of a subclass too."""
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = change(value)
            elif isinstance(value, Ragged):
                changed[field.name] = Ragged(change(value.values), change(value.cu_seqlens))
        return replace(self, **changed)


def study_batch(
    studies: Sequence[TrainingStudy], vocabulary: ReportVocabulary, config: PrimaConfig
) -> StudyBatch:
    """Put studies together; at least one."""
    series = [one for study in studies for one in study.series]
    ids, lengths = vocabulary.batch([study.findings for study in studies])
    return StudyBatch(
        tokens=Ragged.from_list([series_vectors(one, config) for one in series]),
        names=[one.name for one in series],
        n_series=[len(study.series) for study in studies],
        descriptions=[study.description for study in studies],
        ids=ids,
        lengths=lengths,
    )


def series_vectors(series: SeriesTokens, config: PrimaConfig) -> Tensor:
    """Token vectors (N, D) of a series, float32."""
    size = [config.preprocessing.long_side] * 3
    size[series.slice_axis] = config.preprocessing.short_side
    latent = series.latent[series.row].float()
    return token_vectors(latent, series.coord, series.slice_axis, (size[0], size[1], size[2]))


UNKNOWN_NAME = "unk"


@dataclass(frozen=True, eq=False)
class SeriesDraw:
    """The augmentation of one series."""

    index: int
    """Which of the study's."""
    move: int
    """Percent that its foreground threshold moves by."""
    unknown: bool
    """Whether its name becomes `unk`."""
    kept: np.ndarray
    """(N,) bool, for each token of the lowest threshold."""


@dataclass(frozen=True, eq=False)
class StudyDraw:
    """The augmentation of a study."""

    series: tuple[SeriesDraw, ...]
    """The series that stay, in their new order."""
    findings: tuple[int, ...]
    """The report's items, in their new order."""


def draw(study: TrainingStudy, settings: Augmentation, rng: np.random.Generator) -> StudyDraw:
    """Draw the augmentation of a study.

    Disabled parts still draw, so that switching one off does not change the others.
    """
    n_series = len(study.series)
    stay = rng.random(n_series) >= settings.drop_series
    if not stay.any():
        stay[rng.integers(n_series)] = True
    order = _order(n_series, settings.shuffle_series, rng)
    series = [_draw_series(i, one, settings, rng) for i, one in enumerate(study.series)]
    findings = _order(len(study.findings), settings.shuffle_findings, rng)
    return StudyDraw(tuple(series[i] for i in order if stay[i]), tuple(findings))


def apply(study: TrainingStudy, drawn: StudyDraw) -> TrainingStudy:
    """The augmented study."""
    return replace(
        study,
        series=tuple(apply_series(study.series[one.index], one) for one in drawn.series),
        findings=tuple(study.findings[i] for i in drawn.findings),
    )


def unchanged(study: TrainingStudy) -> TrainingStudy:
    """The study as embedding sees it: every series at its own threshold."""
    return replace(study, series=tuple(usual_tokens(one) for one in study.series))


def usual_tokens(series: SeriesTokens) -> SeriesTokens:
    """The tokens that embedding would keep."""
    return _select(series, series.counts[series.reach], np.ones(len(series.row), dtype=bool))


def apply_series(series: SeriesTokens, drawn: SeriesDraw) -> SeriesTokens:
    """The augmented series; if no token would be left, the threshold is not moved and all tokens are kept."""
    count = series.counts[series.reach + drawn.move]
    changed = _select(series, count, drawn.kept)
    if not len(changed.row):
        changed = usual_tokens(series)
    return replace(changed, name=UNKNOWN_NAME) if drawn.unknown else changed


def _order(n: int, shuffled: bool, rng: np.random.Generator) -> list[int]:
    permutation = rng.permutation(n)
    return permutation.tolist() if shuffled else list(range(n))


def _draw_series(
    index: int, series: SeriesTokens, settings: Augmentation, rng: np.random.Generator
) -> SeriesDraw:
    reach = min(settings.move_threshold, series.reach)
    return SeriesDraw(
        index=index,
        move=int(rng.integers(-reach, reach + 1)),
        unknown=bool(rng.random() < settings.unknown_name),
        kept=rng.random(len(series.row)) >= settings.drop_token,
    )


def _select(series: SeriesTokens, count: int, kept: np.ndarray) -> SeriesTokens:
    """The last `count` tokens, of those the kept ones."""
    chosen = torch.from_numpy(np.flatnonzero(kept[len(kept) - count :]) + len(kept) - count)
    return replace(series, row=series.row[chosen], coord=series.coord[chosen], number=series.number[chosen])
