"""Passes of one study through Prima with some tokens or series removed, everything else computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.prima.encode import Network
from prima_features.encoders.prima.networks import Prima, StudyOutput
from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.encoders.ragged import Ragged

TOKENS_AT_ONCE = 16384
"""Token vectors in one call of the sequence ViT: bounds its memory."""

_AT_ONCE = 64
"""Masks between two calls of `on_pass`."""

Target = Callable[[StudyOutput], Tensor]
"""The explained number of each of B studies, (B,)."""


@dataclass(frozen=True, eq=False)
class SeriesTokens:
    """One series as the sequence ViT reads it."""

    name: str
    vectors: Tensor
    """(N, dim) float32, the kept tokens in their order."""
    coord: np.ndarray
    """(N, 3) (z, y, x) of each token's first voxel in the padded volume."""

    def __len__(self) -> int:
        return len(self.vectors)


@torch.inference_mode()
def series_tokens(
    network: Network, name: str, cut: Subvolumes, check: Callable[[], None] = lambda: None
) -> SeriesTokens:
    """Encode the subvolumes of one series, in float32 also on a GPU.

    Args:
        network: in float32.
        name: what the sequence encoder reads.
        cut: the kept subvolumes.
        check: called between batches; may raise to give up.
    """
    with torch.backends.cudnn.flags(allow_tf32=False):
        latents = network.latents(torch.from_numpy(cut.values), cut.slice_axis, check)
    latents = latents[torch.from_numpy(cut.row).to(latents.device)]
    vectors = network.model.token_vectors(latents, torch.from_numpy(cut.coord), cut.slice_axis)
    return SeriesTokens(name, vectors, cut.coord)


class Passes:
    """One study whose tokens and series can be removed.

    A removed token's row is removed from its series, as in the public code: the others keep their own places. The
    series that is not masked, the names and the description are encoded once.

    Args:
        model: in float32 and evaluation mode, on the device of the tokens.
        series: of the study, in its order.
        description: of the study, what the study encoder reads.

    Attributes:
        n_passes: calls of the sequence ViT so far, one for each masked series.
    """

    @torch.inference_mode()
    def __init__(self, model: Prima, series: Sequence[SeriesTokens], description: str) -> None:
        self.model, self.series, self.n_passes = model, tuple(series), 0
        self._names = model.names["sequence"]([one.name for one in series])  # (n, dim)
        self._description = model.names["study"]([description])  # (1, dim)
        everything = [[np.ones(len(one), bool)] for one in series]
        parts = [self._embed_series(i, np.array(rows)) for i, rows in enumerate(everything)]
        self._embedded = torch.cat(parts)  # (n, d)

    @torch.inference_mode()
    def without_tokens(self, index: int, kept: np.ndarray, target: Target) -> np.ndarray:
        """The target with some tokens of one series removed, all other series unchanged.

        Args:
            index: of the series.
            kept: (S, N) bool, the tokens that stay; no row empty.
            target: the explained number.

        Returns:
            (S,) float64.
        """
        embedded = self._embed_series(index, kept)  # (S, d)
        studies = self._embedded.expand(len(kept), -1, -1).clone()  # (S, n, d)
        studies[:, index] = embedded
        lengths = [len(self.series)] * len(kept)
        output = self._embed_studies(Ragged.from_lengths(studies.flatten(0, 1), lengths))
        return target(output).double().cpu().numpy()

    @torch.inference_mode()
    def with_series(self, sets: np.ndarray, target: Target) -> np.ndarray:
        """The target of the study with some of its series only.

        Args:
            sets: (S, n) bool, the series that stay; no row empty.
            target: the explained number.

        Returns:
            (S,) float64.
        """
        chosen = [self._embedded[torch.from_numpy(np.flatnonzero(row))] for row in sets]
        return target(self._embed_studies(Ragged.from_list(chosen))).double().cpu().numpy()

    def gradient(self, index: int, target: Target) -> tuple[np.ndarray, np.ndarray]:
        """The target's gradient at the token vectors of one series.

        Returns:
            The token vectors and the gradient, both (N, dim) float64.
        """
        self.n_passes += 1
        vectors = self.series[index].vectors.detach().clone().requires_grad_()
        names = self._names.clone()[index][None]
        _, embedded = self.model.sequence(Ragged.from_list([vectors]), names)
        studies = self._embedded.clone()
        rows = torch.cat([studies[:index], embedded, studies[index + 1 :]])
        value = target(self._embed_studies(Ragged.from_list([rows])))
        (gradient,) = torch.autograd.grad(value.sum(), vectors)
        return vectors.detach().double().cpu().numpy(), gradient.double().cpu().numpy()

    def _embed_series(self, index: int, kept: np.ndarray) -> Tensor:
        """Series embeddings (S, d) of one series under the masks (S, N)."""
        vectors, name = self.series[index].vectors, self._names[index]
        parts = []
        for rows in _groups(kept.sum(axis=1)):
            masks = torch.from_numpy(kept[rows]).to(vectors.device)
            values = vectors[masks.nonzero()[:, 1]]
            sequences = Ragged.from_lengths(values, kept[rows].sum(axis=1).tolist())
            parts.append(self.model.sequence(sequences, name.expand(len(masks), -1))[1])
        self.n_passes += len(kept)
        return torch.cat(parts)

    def _embed_studies(self, series: Ragged) -> StudyOutput:
        description = self._description.clone().expand(len(series), -1)
        registers, projected = self.model.study(series, description)
        return StudyOutput(registers, torch.nn.functional.normalize(projected, dim=-1))


OnPass = Callable[[int, int], None]
"""Called with the number of passes done and of all."""


def _ignore(done: int, total: int) -> None:
    pass


@dataclass(frozen=True, eq=False)
class MaskedSeries:
    """One series whose tokens are removed to explain a number of its study."""

    passes: Passes
    index: int
    """Of the series in the study."""
    target: Target
    size: tuple[int, int, int]
    """Voxels of a token along (z, y, x)."""
    spacing: tuple[float, float, float]
    """Of the voxels along (z, y, x), mm."""
    on_pass: OnPass = _ignore

    def __len__(self) -> int:
        return len(self.coord)

    @property
    def coord(self) -> np.ndarray:
        """(N, 3) (z, y, x) of each token's first voxel in the padded volume."""
        return self.passes.series[self.index].coord

    def outputs(self, kept: np.ndarray, total: int = 0, done: int = 0) -> np.ndarray:
        """The target (S,) under masks (S, N) of tokens, in pieces that `on_pass` is called between."""
        parts = [np.zeros(0)]
        for first in range(0, len(kept), _AT_ONCE):
            piece = kept[first : first + _AT_ONCE]
            parts.append(self.passes.without_tokens(self.index, piece, self.target))
            self.on_pass(done + first + len(piece), total)
        return np.concatenate(parts)


def _groups(lengths: np.ndarray) -> Iterator[slice]:
    """Consecutive rows whose lengths add up to `TOKENS_AT_ONCE`, or one row that is longer."""
    first, total = 0, 0
    for i, length in enumerate(lengths.tolist()):
        if i > first and total + length > TOKENS_AT_ONCE:
            yield slice(first, i)
            first, total = i, 0
        total += length
    yield slice(first, len(lengths))
