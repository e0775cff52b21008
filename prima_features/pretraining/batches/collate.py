"""Studies to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
    content: Tensor | None = None
    """(T, K), what is known to be in each of `tokens`, if anything is."""
    traits: Tensor | None = None
    """(B, K), what is known of each subject."""
    kinds: Tensor | None = None
    """(S,) int64, the sequence of each series, if it is known."""

    def to(self, device: torch.device) -> StudyBatch:
        """On another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> StudyBatch:
        """Where a GPU copies from without waiting."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> StudyBatch:
        return replace(
            self,
            tokens=Ragged(change(self.tokens.values), change(self.tokens.cu_seqlens)),
            ids=change(self.ids),
            lengths=change(self.lengths),
            content=None if self.content is None else change(self.content),
            traits=None if self.traits is None else change(self.traits),
            kinds=None if self.kinds is None else change(self.kinds),
        )


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
        content=_together(torch.cat, [one.content for one in series]),
        traits=_together(torch.stack, [study.series[0].traits for study in studies]),
        kinds=_together(torch.stack, [one.kind for one in series]),
    )


def _together(put: Callable[[list[Tensor]], Tensor], parts: Sequence[Tensor | None]) -> Tensor | None:
    """None where one of them is."""
    there = [part for part in parts if part is not None]
    return put(there) if len(there) == len(parts) else None


def series_vectors(series: SeriesTokens, config: PrimaConfig) -> Tensor:
    """Token vectors (N, D) of a series, float32."""
    size = [config.preprocessing.long_side] * 3
    size[series.slice_axis] = config.preprocessing.short_side
    latent = series.latent[series.row].float()
    return token_vectors(latent, series.coord, series.slice_axis, (size[0], size[1], size[2]))
