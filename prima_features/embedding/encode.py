"""Many studies through the networks at once: tokens of several series fill a batch, sequences are ragged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from prima_features.embedding.prepare import PreparedSeries, PreparedStudy
from prima_features.embedding.records import EmbeddedSeries, EmbeddedStudy, TokenLevel
from prima_features.encoder import Prima, Ragged
from prima_features.encoder.vectors import PLACE_DIM

_SEQUENCE_TOKENS = 16384
"""Token vectors that go through the sequence ViT in one call: bounds its memory."""


@torch.inference_mode()
def encode_studies(
    model: Prima, studies: Sequence[PreparedStudy], batch_size: int, keep_tokens: bool = False
) -> list[EmbeddedStudy]:
    """Encode studies together; each result is what the study gives alone, to rounding.

    Args:
        model: in evaluation mode, on the device to compute on.
        studies: each with at least one series.
        batch_size: subvolumes in one call of the tokenizer.
        keep_tokens: also return each token's latent.
    """
    series = [one for study in studies for one in study.series]
    latents = _encode_subvolumes(model, series, batch_size)
    tokens = [_token_vectors(model, one, latent) for one, latent in zip(series, latents, strict=True)]
    vectors = _encode_sequences(model, series, tokens)
    lengths = [len(study.series) for study in studies]
    output = model.encode_study(
        Ragged.from_list(list(vectors.split(lengths))), [study.study.description for study in studies]
    )
    embedded = [
        _embedded_series(one, vector, sequence if keep_tokens else None)
        for one, vector, sequence in zip(series, _to_numpy(vectors), tokens, strict=True)
    ]
    rows = np.cumsum([0, *lengths])
    return [
        EmbeddedStudy(
            id=study.study.id,
            subject=study.study.subject,
            session=study.study.session,
            description=study.study.description,
            source=study.study.source,
            embedding=embedding,
            clip=clip,
            series=tuple(embedded[rows[i] : rows[i + 1]]),
            failures=study.failures,
        )
        for i, (study, embedding, clip) in enumerate(
            zip(studies, _to_numpy(output.embedding), _to_numpy(output.clip), strict=True)
        )
    ]


def _encode_subvolumes(model: Prima, series: Sequence[PreparedSeries], batch_size: int) -> list[torch.Tensor]:
    """Latents (U, ...) of each series. Series with the same slice axis share batches."""
    latents: list[torch.Tensor] = [torch.empty(0)] * len(series)
    for axis in range(3):
        members = [i for i, one in enumerate(series) if one.subvolumes.slice_axis == axis]
        if not members:
            continue
        values = [torch.from_numpy(series[i].subvolumes.values) for i in members]
        batches = torch.cat(values).split(batch_size)
        encoded = torch.cat([model.encode_subvolumes(batch.to(model.device)) for batch in batches])
        for i, latent in zip(members, encoded.split([len(v) for v in values]), strict=True):
            latents[i] = latent
    return latents


def _encode_sequences(
    model: Prima, series: Sequence[PreparedSeries], tokens: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Series embeddings (S, d), in groups that bound the memory."""
    outputs, group, n_tokens = [], [], 0
    for i, one in enumerate(series):
        group.append(i)
        n_tokens += len(one.subvolumes)
        if n_tokens >= _SEQUENCE_TOKENS or i == len(series) - 1:
            ragged = Ragged.from_list([tokens[j] for j in group])
            names = [series[j].series.name for j in group]
            outputs.append(model.encode_series(ragged, names).embedding)
            group, n_tokens = [], 0
    return torch.cat(outputs)


def _token_vectors(model: Prima, one: PreparedSeries, latent: torch.Tensor) -> torch.Tensor:
    cut = one.subvolumes
    row = torch.from_numpy(cut.row).to(latent.device)
    coord = torch.from_numpy(cut.coord).to(latent.device)
    return model.token_vectors(latent[row], coord, cut.slice_axis)


def _embedded_series(
    one: PreparedSeries, vector: np.ndarray, sequence: torch.Tensor | None
) -> EmbeddedSeries:
    cut = one.subvolumes
    tokens = None
    if sequence is not None:
        latent = _to_numpy(sequence[:, :-PLACE_DIM])
        tokens = TokenLevel(latent.astype(np.float16), cut.coord)
    return EmbeddedSeries(
        name=one.series.stored_name,
        plane=one.plane,
        source=one.series.source,
        n_tokens=len(cut),
        shape=one.shape,
        spacing=one.spacing,
        embedding=vector,
        tokens=tokens,
    )


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
