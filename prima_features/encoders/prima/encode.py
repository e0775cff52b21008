"""Prima's inference: many studies through the networks at once.

Subvolumes of several series fill a batch of the tokenizer, and the sequences of many series are one ragged batch.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.base import EncodedStudy, Prepared, Progress, Tokens
from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.transformer import PLACE_DIM
from prima_features.encoders.prima.networks.undoubled import UndoubledEncoder
from prima_features.encoders.prima.operations import Operations
from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.encoders.ragged import Ragged
from prima_features.studies.study import Series, Study

logger = logging.getLogger(__name__)


class Network:
    """A model on one device, computing in one number type.

    The tokenizer is a copy: channels-last, on slices that need not be doubled first, its weights in `dtype`. Both
    transformers keep their weights and sums in float32; with bfloat16 their matrix products are in it.

    Args:
        model: in evaluation mode; copied where it is on another device.
        batch_size: subvolumes in one call of the tokenizer. Halved, for good, where the device's memory does not do.
    """

    def __init__(self, model: Prima, device: torch.device, dtype: torch.dtype, batch_size: int) -> None:
        self.device, self.dtype, self.batch_size = device, dtype, batch_size
        self.model = model if model.device == device else copy.deepcopy(model).to(device)
        self._tokenizer = UndoubledEncoder(self.model.tokenizer.encoder, dtype)

    def latents(self, values: Tensor, slice_axis: int, check: Callable[[], None]) -> Tensor:
        """Latents (N, C, d, h, w) of subvolumes (N, z, y, x) in main memory, on the device, in the model's type.

        Args:
            check: called before each batch; may raise to give up.
        """
        parts, done = [], 0
        while done < len(values):
            check()
            batch = values[done : done + self.batch_size]
            try:
                parts.append(self._tokenizer(self._copied(batch), slice_axis))
                done += len(batch)
                continue
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            # Behind the handler, where the error no longer holds on to the tensors of the call that failed.
            self._take_less(len(batch))
        return torch.cat(parts).to(self.model.dtype)

    def computing(self) -> AbstractContextManager[object]:
        """The context in which the transformers run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _copied(self, batch: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return batch.to(self.device, self.dtype)
        # From pinned memory the copy does not wait, so that the next batch is got ready while this one computes.
        return batch.pin_memory().to(self.device, non_blocking=True).to(self.dtype)

    def _take_less(self, tried: int) -> None:
        self.batch_size = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning(
            "Out of memory on %s at batch size %d; continuing with %d", self.device, tried, tried // 2
        )


_SEQUENCE_TOKENS = 16384
"""Token vectors that go through the sequence ViT in one call: bounds its memory."""


class _Series(NamedTuple):
    """What the network reads of a series."""

    name: str
    subvolumes: Subvolumes


HIDDEN_NAME = "UNK"
"""What the model reads in place of each series' name if names are hidden: how an unnamed DICOM series' name begins."""


class PrimaInference:
    """Prima on one device; an `encoders.base.Inference`.

    Args:
        network: the model on the device.
        hide_names: give every series the same name, to measure what names are worth.
    """

    def __init__(self, network: Network, hide_names: bool = False) -> None:
        self.network = network
        self._hide_names, self._operations = hide_names, Operations(network.model.config)

    @torch.inference_mode()
    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        """Encode studies together. Stages are `tokenizer` and `transformers`."""
        model = self.network.model
        series = [
            _Series(HIDDEN_NAME if self._hide_names else one.name, prepared.arrays)
            for _, members in studies
            for one, prepared in members
        ]
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
        progress.gflop = sum(
            self._operations.of_series(len(one.subvolumes.values), len(one.subvolumes), one.name)
            for one in series
        ) + sum(self._operations.of_study(len(members), study.description) for study, members in studies)
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
