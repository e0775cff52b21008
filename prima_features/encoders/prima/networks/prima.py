"""The model (arXiv 2509.18638): subvolumes become tokens, tokens a series, series a study.

subvolumes --tokenizer--> latents --place--> token vectors
[registers] + [series name]       + token vectors     --sequence ViT--> series embedding
[registers] + [study description] + series embeddings --study ViT-----> study embedding, CLIP embedding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import ContrastConfig, PrimaConfig
from prima_features.encoders.prima.networks.text import NameEncoder
from prima_features.encoders.prima.networks.tokenizer import Tokenizer, latent_shape
from prima_features.encoders.prima.networks.transformer import PLACE_DIM, RegisterViT, token_vectors
from prima_features.encoders.ragged import Ragged


class Contrast(nn.Module):
    """Temperatures of the two contrastive losses, and the projection that patient discrimination compares.

    `temperature` (1,) is the logarithm of what cosine similarities of images and texts are multiplied by;
    `patient_temperature` (1,) is what similarities of series are divided by.
    """

    def __init__(self, in_dim: int, config: ContrastConfig) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(in_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.out_dim)
        )
        self.temperature = nn.Parameter(torch.tensor([0.07]))
        self.patient_temperature = nn.Parameter(torch.tensor([0.1]))

    def forward(self, registers: Tensor) -> Tensor:
        """Flattened registers of B series (B, in_dim) to (B, out_dim)."""
        return self.project(registers)


DOUBLING = 2
"""Times that each sample of a subvolume is repeated along the slice axis before the tokenizer."""


@dataclass(frozen=True, eq=False)
class SeriesOutput:
    """What the sequence ViT makes of B series."""

    embedding: Tensor
    """(B, d), the series embedding."""
    registers: Tensor
    """(B, registers * dim), what the embedding is projected from; patient discrimination reads it."""
    before_last: Ragged
    """What the last block reads of each series: registers, name and tokens, (R + 1 + n, dim) each."""


@dataclass(frozen=True, eq=False)
class StudyOutput:
    """What the study ViT makes of B studies."""

    embedding: Tensor
    """(B, D), the study embedding: flattened registers, what heads and probes read."""
    clip: Tensor
    """(B, C), L2-normalised, comparable with the text tower's output."""


class Prima(nn.Module):
    """Tokenizer, name encoders, sequence ViT and study ViT.

    Raises:
        ValueError: the tokenizer's latents do not make token vectors of the sequence ViT's width.
    """

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        self.config = config
        _check_token_width(config)
        self.tokenizer = Tokenizer(config.tokenizer)
        self.names = nn.ModuleDict(
            {"sequence": NameEncoder(config.names.sequence), "study": NameEncoder(config.names.study)}
        )
        self.sequence = RegisterViT(config.sequence)
        self.study = RegisterViT(config.study)
        self.contrast = Contrast(config.sequence.flat_dim, config.contrast) if config.contrast else None

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where `encode_subvolumes` wants its input."""
        return self.sequence.registers.device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the weights."""
        return self.sequence.registers.dtype

    def encode_subvolumes(self, values: Tensor) -> Tensor:
        """Latents of subvolumes.

        Args:
            values: (N, 4, 32, 32) up to the order of the last three axes, the short one being the slice axis,
                divided by their volume's maximum; any floating type; N may be 0.

        Returns:
            (N, C, d, h, w), the axes in the order of `values`, in the model's number type.

        Raises:
            ValueError: subvolumes of another size.
        """
        doubled = values.repeat_interleave(DOUBLING, dim=1 + self._slice_axis(values))
        return self.tokenizer.encode(doubled[:, None].to(self.dtype))

    def token_vectors(self, latent: Tensor, coord: Tensor, slice_axis: int) -> Tensor:
        """What the sequence ViT reads: latents with their place.

        Args:
            latent: (N, C, d, h, w), see `encode_subvolumes`.
            coord: (N, 3) integer, (z, y, x) of each subvolume's first voxel in the padded volume.
            slice_axis: which of (z, y, x) the slices are stacked along; one for all N.

        Returns:
            (N, 289) at the published sizes.
        """
        return token_vectors(latent, coord, slice_axis, _size(self.config, slice_axis))

    def encode_series(self, tokens: Ragged, names: Sequence[str]) -> SeriesOutput:
        """Embed B series.

        Args:
            tokens: the token vectors of each series.
            names: B series names, free text.
        """
        before_last = self.sequence.before_last(tokens, self.names["sequence"](names))
        registers, embedding = self.sequence.summary(before_last)
        return SeriesOutput(embedding, registers, before_last)

    def encode_study(self, series: Ragged, descriptions: Sequence[str]) -> StudyOutput:
        """Embed B studies.

        Args:
            series: the series embeddings of each study.
            descriptions: B study descriptions, free text.
        """
        registers, projected = self.study(series, self.names["study"](descriptions))
        return StudyOutput(registers, F.normalize(projected, dim=-1))

    def forward(
        self, tokens: Ragged, names: Sequence[str], n_series: Sequence[int], descriptions: Sequence[str]
    ) -> tuple[SeriesOutput, StudyOutput]:
        """Embed studies and their series from token vectors.

        Args:
            tokens: the token vectors of each series, the series of a study side by side.
            names: the series' names.
            n_series: series of each study.
            descriptions: the studies' descriptions.
        """
        series = self.encode_series(tokens, names)
        return series, self.encode_study(Ragged.from_lengths(series.embedding, n_series), descriptions)

    def _slice_axis(self, values: Tensor) -> int:
        for axis in range(3):
            if tuple(values.shape[1:]) == _size(self.config, axis):
                return axis
        raise ValueError(
            f"subvolumes must be {_size(self.config, 0)} up to the order of axes, "
            f"not {tuple(values.shape[1:])}"
        )


def _size(config: PrimaConfig, slice_axis: int) -> tuple[int, int, int]:
    size = [config.preprocessing.long_side] * 3
    size[slice_axis] = config.preprocessing.short_side
    return size[0], size[1], size[2]


def _check_token_width(config: PrimaConfig) -> None:
    short, *long = _size(config, 0)
    shape = latent_shape(config.tokenizer, (DOUBLING * short, long[0], long[1]))
    width = prod(shape) + PLACE_DIM
    if width != config.sequence.transformer.dim:
        raise ValueError(
            f"sequence.transformer.dim is {config.sequence.transformer.dim} and must be {width}: "
            f"latents of shape {shape} and {PLACE_DIM} numbers for the place"
        )
