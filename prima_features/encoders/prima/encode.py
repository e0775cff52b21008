"""Prima's inference: many studies through the networks at once.

Subvolumes of several series fill a batch of the tokenizer, and the sequences of many series are one ragged batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from prima_features.encoders.base import EncodedStudy, Prepared, Progress, Tokens
from prima_features.encoders.prima.network import Network
from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.vectors import PLACE_DIM
from prima_features.encoders.prima.tokens import Subvolumes
from prima_features.encoders.ragged import Ragged
from prima_features.studies.study import Series, Study

_SEQUENCE_TOKENS = 16384
"""Token vectors that go through the sequence ViT in one call: bounds its memory."""


class _Series(NamedTuple):
    """What the network reads of a series."""

    name: str
    subvolumes: Subvolumes


class PrimaInference:
    """Prima on one device; an `encoders.base.Inference`."""

    def __init__(self, network: Network) -> None:
        self.network = network

    @torch.inference_mode()
    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        """Encode studies together. Stages are `tokenizer` and `transformers`."""
        model = self.network.model
        series = [_Series(one.name, prepared.arrays) for _, members in studies for one, prepared in members]
        lengths = [len(members) for _, members in studies]
        with progress.stage("tokenizer"):
            latents = _encode_subvolumes(self.network, series, progress.check)
            if latents and latents[0].is_cuda:
                torch.cuda.synchronize(
                    latents[0].device
                )  # else their time would be counted as the transformers'
        with progress.stage("transformers"), self.network.computing():
            sequences = [
                _token_vectors(model, one, latent) for one, latent in zip(series, latents, strict=True)
            ]
            vectors = _encode_sequences(model, series, sequences)
            descriptions = [study.description for study, _ in studies]
            output = model.encode_study(Ragged.from_lengths(vectors, lengths), descriptions)
            kept = [
                Tokens(_to_numpy(sequence[:, :-PLACE_DIM]), one.subvolumes.coord)
                for one, sequence in zip(series, sequences, strict=True)
                if tokens
            ]
            per_series, per_study, clip = map(_to_numpy, (vectors, output.embedding, output.clip))
        rows = np.cumsum([0, *lengths])
        return [
            EncodedStudy(
                per_series[rows[i] : rows[i + 1]], per_study[i], clip[i], kept[rows[i] : rows[i + 1]]
            )
            for i in range(len(studies))
        ]


def _encode_subvolumes(
    network: Network, series: Sequence[_Series], check: Callable[[], None]
) -> list[torch.Tensor]:
    """Latents (U, ...) of each series. Series with the same slice axis share batches."""
    latents: list[torch.Tensor] = [torch.empty(0)] * len(series)
    for axis in range(3):
        members = [i for i, one in enumerate(series) if one.subvolumes.slice_axis == axis]
        if not members:
            continue
        values = [torch.from_numpy(series[i].subvolumes.values) for i in members]
        encoded = network.latents(torch.cat(values), axis, check)
        for i, latent in zip(members, encoded.split([len(v) for v in values]), strict=True):
            latents[i] = latent
    return latents


def _encode_sequences(
    model: Prima, series: Sequence[_Series], tokens: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Series embeddings (S, d), in groups that bound the memory."""
    outputs, group, n_tokens = [], [], 0
    for i, one in enumerate(series):
        group.append(i)
        n_tokens += len(one.subvolumes)
        if n_tokens >= _SEQUENCE_TOKENS or i == len(series) - 1:
            ragged = Ragged.from_list([tokens[j] for j in group])
            names = [series[j].name for j in group]
            outputs.append(model.encode_series(ragged, names).embedding)
            group, n_tokens = [], 0
    return torch.cat(outputs)


def _token_vectors(model: Prima, one: _Series, latent: torch.Tensor) -> torch.Tensor:
    cut = one.subvolumes
    row = torch.from_numpy(cut.row).to(latent.device)
    coord = torch.from_numpy(cut.coord).to(latent.device)
    return model.token_vectors(latent[row], coord, cut.slice_axis)


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
