"""The studies of a run with their cached tokens, as they are read during the steps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from prima_features.embedding.file.records import Failure
from prima_features.errors import UsageError
from prima_features.pretraining.data.cache import Cache, Entry
from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy, Wordings


@dataclass(frozen=True)
class CachedSeries:
    """A series whose cache entry is there."""

    name: str
    entry: Entry


@dataclass(frozen=True)
class CachedStudy:
    """A study of which at least one series is there."""

    id: str
    subject: str
    description: str
    series: tuple[CachedSeries, ...]
    wordings: Wordings
    abnormal: bool
    split: str

    @property
    def findings(self) -> tuple[str, ...]:
        """Items of the report, in its first wording."""
        return self.wordings[0]


@dataclass(frozen=True)
class Cohort:
    """All usable studies, and what is not usable."""

    studies: tuple[CachedStudy, ...]
    cache: Cache
    failures: tuple[Failure, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Changes when the studies do, so that a run is not resumed on others."""
        rows = [
            (study.id, study.subject, study.description, study.wordings, study.abnormal, study.split,
             [(series.name, series.entry.inputs) for series in study.series])
            for study in self.studies
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def tensors(self, series: CachedSeries) -> dict[str, Tensor]:
        """What is cached of a series.

        Raises:
            UsageError: the entry was damaged or removed during the run.
        """
        found = self.cache.load(series.entry)
        if found is None:
            raise UsageError(
                f"{series.entry.path} was changed or removed during the run: run the same command again, and it "
                "is made anew"
            )
        return found

    def tokens(self, series: CachedSeries) -> SeriesTokens:
        """The latents of a series and their places, from a cache of latents.

        Raises:
            UsageError: as `tensors`.
        """
        tensors = self.tensors(series)
        row = tensors.pop("row")
        return SeriesTokens(
            name=series.name,
            slice_axis=int(tensors.pop("slice_axis")),
            latent=tensors.pop("latent"),
            row=row,
            coord=tensors.pop("coord"),
            counts=tuple(tensors.pop("counts").tolist()),
            number=torch.arange(len(row)),
            annotations=tensors,
        )

    def study(self, study: CachedStudy, wording: int = 0) -> TrainingStudy:
        """A study with its tokens, and its report in one of its wordings.

        Raises:
            UsageError: as `tensors`.
        """
        series = tuple(map(self.tokens, study.series))
        return TrainingStudy(study.description, series, study.wordings[wording])
