"""The network and its weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prima_features.encoders.base import (
    EncodedStudy,
    Encoder,
    EncoderInfo,
    Prepared,
    Progress,
    Widths,
)
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models.directory import CONFIG, MODEL, read_config
from prima_features.models.loading import fill, hollow
from prima_features.models.resolve import ModelSource
from prima_features.studies.study import Series, Study
from toy_encoder.prepare import ToyPreparer

VERSION = 1
"""Raise it if a change to this package changes the vectors: finished studies are then embedded again."""


class ToyNetwork(nn.Module):
    """Block means (B, n ** 3) to series vectors (B, dim)."""

    def __init__(self, n_blocks: int, dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(n_blocks**3, dim)

    def forward(self, means: Tensor) -> Tensor:
        """Project."""
        return self.projection(means)


class ToyInference:
    """The network on one device."""

    def __init__(
        self, network: ToyNetwork, device: torch.device, dtype: torch.dtype, batch_size: int
    ) -> None:
        self.network, self.device, self.dtype, self.batch_size = network, device, dtype, batch_size

    @torch.inference_mode()
    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        """Encode the series of several studies in common batches."""
        means = np.stack([prepared.arrays for _, series in studies for _, prepared in series])
        vectors = []
        for first in range(0, len(means), self.batch_size):
            progress.check()
            batch = torch.from_numpy(means[first : first + self.batch_size])
            vectors.append(self.network(batch.to(self.device, self.dtype)).float().cpu().numpy())
        ends = np.cumsum([len(series) for _, series in studies])
        return [EncodedStudy(series=rows) for rows in np.split(np.concatenate(vectors), ends[:-1])]


class ToyEncoder(Encoder):
    """A toy model."""

    def __init__(self, source: ModelSource, n_blocks: int, dim: int, network: ToyNetwork) -> None:
        self.n_blocks, self.network = n_blocks, network
        self._info = EncoderInfo(
            encoder="toy",
            name=source.name,
            revision=source.revision,
            sha256=sha256(source.directory / MODEL),
            widths=Widths(study=None, series=dim),
            settings={"n_blocks": n_blocks, "toy_version": VERSION},
            caveat="The toy encoder is an example: its numbers mean nothing.",
            licence="MIT",
            citation="Doe et al. 2026, Toy encoders",
            unit="series",
        )

    @property
    def info(self) -> EncoderInfo:
        """What embeddings files record."""
        return self._info

    def preparer(self) -> ToyPreparer:
        """What reads series."""
        return ToyPreparer(self.n_blocks)

    def on(self, device: torch.device, dtype: torch.dtype, batch_size: int) -> ToyInference:
        """A copy of the network on a device."""
        network = copy.deepcopy(self.network).to(device, dtype)
        return ToyInference(network, device, dtype, batch_size)


def load(source: ModelSource) -> ToyEncoder:
    """Load the model of a directory.

    Raises:
        UsageError: config.json or model.safetensors is not that of a toy model.
    """
    config = read_config(source.directory)
    try:
        n_blocks, dim = int(config["n_blocks"]), int(config["dim"])
        network = hollow(lambda: ToyNetwork(n_blocks, dim))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{source.directory / CONFIG} needs whole numbers n_blocks and dim: make the model again"
        ) from error
    fill(network, source.directory / MODEL)
    return ToyEncoder(source, n_blocks, dim, network)
