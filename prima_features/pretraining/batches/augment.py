"""Augmentation of a study: all chance is drawn into a plain record first, and then applied."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy
from prima_features.pretraining.settings import Augmentation

UNKNOWN_NAME = "unk"


@dataclass(frozen=True, eq=False)
class SeriesDraw:
    """What happens to one series."""

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
    """What happens to a study."""

    series: tuple[SeriesDraw, ...]
    """The series that stay, in their new order."""
    findings: tuple[int, ...]
    """The report's items, in their new order."""


def draw(study: TrainingStudy, settings: Augmentation, chance: np.random.Generator) -> StudyDraw:
    """Draw what happens to a study. What is switched off still draws, so that nothing else changes with it."""
    n_series = len(study.series)
    stay = chance.random(n_series) >= settings.drop_series
    if not stay.any():
        stay[chance.integers(n_series)] = True
    order = _order(n_series, settings.shuffle_series, chance)
    series = [_draw_series(i, one, settings, chance) for i, one in enumerate(study.series)]
    findings = _order(len(study.findings), settings.shuffle_findings, chance)
    return StudyDraw(tuple(series[i] for i in order if stay[i]), tuple(findings))


def apply(study: TrainingStudy, drawn: StudyDraw) -> TrainingStudy:
    """The study after what was drawn."""
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
    """The series after what was drawn; where no token would be left, the threshold stays and all are kept."""
    count = series.counts[series.reach + drawn.move]
    changed = _select(series, count, drawn.kept)
    if not len(changed.row):
        changed = usual_tokens(series)
    return replace(changed, name=UNKNOWN_NAME) if drawn.unknown else changed


def _order(n: int, shuffled: bool, chance: np.random.Generator) -> list[int]:
    permutation = chance.permutation(n)
    return permutation.tolist() if shuffled else list(range(n))


def _draw_series(
    index: int, series: SeriesTokens, settings: Augmentation, chance: np.random.Generator
) -> SeriesDraw:
    reach = min(settings.move_threshold, series.reach)
    return SeriesDraw(
        index=index,
        move=int(chance.integers(-reach, reach + 1)),
        unknown=bool(chance.random() < settings.unknown_name),
        kept=chance.random(len(series.row)) >= settings.drop_token,
    )


def _select(series: SeriesTokens, count: int, kept: np.ndarray) -> SeriesTokens:
    """The last `count` tokens, of those the kept ones."""
    chosen = torch.from_numpy(np.flatnonzero(kept[len(kept) - count :]) + len(kept) - count)
    return replace(series, row=series.row[chosen], coord=series.coord[chosen], number=series.number[chosen])
