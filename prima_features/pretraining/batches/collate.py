"""Studies to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from prima_features.encoders.prima.networks import PrimaConfig
from prima_features.encoders.prima.networks.transformer import token_vectors
from prima_features.encoders.ragged import Ragged
from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy
from prima_features.pretraining.data.vocabulary import Vocabulary


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


def study_batch(studies: Sequence[TrainingStudy], vocabulary: Vocabulary, config: PrimaConfig) -> StudyBatch:
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
