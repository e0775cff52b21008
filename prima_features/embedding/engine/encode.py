"""The second step of every engine: many studies through the networks at once.

`encode_window` turns prepared studies into results, one for each. Tokens of several series fill a batch, and the
sequences of many series are one ragged batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from prima_features.embedding.engine.failures import failure_of
from prima_features.embedding.engine.network import Network
from prima_features.embedding.engine.prepare import PreparedSeries, PreparedStudy
from prima_features.embedding.engine.stages import StageTimes
from prima_features.embedding.file.records import (
    EmbeddedSeries,
    EmbeddedStudy,
    FailedStudy,
    Result,
    TokenLevel,
)
from prima_features.encoder import Prima, Ragged
from prima_features.encoder.vectors import PLACE_DIM
from prima_features.errors import SeriesError

_SEQUENCE_TOKENS = 16384
"""Token vectors that go through the sequence ViT in one call: bounds its memory."""


class AbandonedError(BaseException):
    """Nobody wants the results any more. Not an `Exception`, which would be taken for a study's failure."""


class NotFiniteError(SeriesError):
    """A vector has NaN or infinity in it."""


def _never() -> None:
    """Never abort."""


def encode_window(
    network: Network,
    window: Sequence[PreparedStudy],
    times: StageTimes,
    keep_tokens: bool = False,
    check: Callable[[], None] = _never,
) -> list[Result]:
    """Encode studies together; where that fails, one by one, so that one cannot take others with it.

    Args:
        window: one or more studies; those without a series fail with the reasons they bring.
        times: the time it takes and the tokens are added to this.
        keep_tokens: also return each token's latent.
        check: called now and then; may raise `AbandonedError`.

    Returns:
        A result for each study, in order: what the study gives alone, to rounding.
    """
    usable = [study for study in window if study.series]
    encoded = {result.id: result for result in _encode_or_split(network, usable, times, keep_tokens, check)}
    return [encoded.get(one.study.id) or FailedStudy(one.study.id, one.failures) for one in window]


def _encode_or_split(
    network: Network,
    studies: Sequence[PreparedStudy],
    times: StageTimes,
    keep_tokens: bool,
    check: Callable[[], None],
) -> list[Result]:
    if not studies:
        return []
    try:
        return list(_encode(network, studies, times, keep_tokens, check))
    except Exception as error:
        if len(studies) > 1:
            alone = (_encode_or_split(network, [one], times, keep_tokens, check) for one in studies)
            return [result for results in alone for result in results]
        only = studies[0]
        if isinstance(error, NotFiniteError) and len(only.series) > 1:
            sound = _sound_series(network, only, check)
            if sound.series and len(sound.series) < len(only.series):
                return _encode_or_split(network, [sound], times, keep_tokens, check)
        failure = failure_of(only.study.id, "", "encode", error)
        return [FailedStudy(only.study.id, (*only.failures, failure))]


def _sound_series(network: Network, study: PreparedStudy, check: Callable[[], None]) -> PreparedStudy:
    """The study without the series whose vectors are not finite. They are recorded as failures.

    Each is encoded alone: NaN in one series can spread to others of its batch.
    """
    kept, failures = [], []
    for one in study.series:
        try:
            for _ in _encode(network, [replace(study, series=(one,))], StageTimes(), True, check):
                kept.append(one)
        except NotFiniteError as error:
            failures.append(failure_of(study.study.id, one.series.stored_name, "encode", error))
    return replace(study, series=tuple(kept), failures=(*study.failures, *failures))


def _check_finite(vectors: torch.Tensor, what: str) -> None:
    if not torch.isfinite(vectors).all():
        raise NotFiniteError(
            f"its {what} contains NaN or infinity",
            hint="its voxels may be too large or too uneven: rescale them; with --precision bf16, try fp32",
        )


@torch.inference_mode()
def _encode(
    network: Network,
    studies: Sequence[PreparedStudy],
    times: StageTimes,
    keep_tokens: bool,
    check: Callable[[], None],
) -> list[EmbeddedStudy]:
    model = network.model
    series = [one for study in studies for one in study.series]
    lengths = [len(study.series) for study in studies]
    with times.measure("tokenizer"):
        latents = _encode_subvolumes(network, series, check)
        if latents and latents[0].is_cuda:
            torch.cuda.synchronize(latents[0].device)  # else their time would be counted as the transformers'
    with times.measure("transformers"), network.computing():
        tokens = [_token_vectors(model, one, latent) for one, latent in zip(series, latents, strict=True)]
        vectors = _encode_sequences(model, series, tokens)
        _check_finite(vectors, "series vector")
        output = model.encode_study(
            Ragged.from_lengths(vectors, lengths), [study.study.description for study in studies]
        )
        _check_finite(output.embedding, "study vector")
        _check_finite(output.clip, "study vector")
        embedded = [
            _embedded_series(one, vector, sequence if keep_tokens else None)
            for one, vector, sequence in zip(series, _to_numpy(vectors), tokens, strict=True)
        ]
    times.n_subvolumes += sum(study.n_subvolumes for study in studies)
    times.n_tokens += sum(len(one.subvolumes) for one in series)
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


def _encode_subvolumes(
    network: Network, series: Sequence[PreparedSeries], check: Callable[[], None]
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
        with np.errstate(over="ignore"):
            half = latent.astype(np.float16)
        _check_finite(torch.from_numpy(half), "token vectors in float16")
        tokens = TokenLevel(half, cut.coord)
    return EmbeddedSeries(
        name=one.series.stored_name,
        plane=one.plane,
        source=one.series.source,
        n_tokens=len(cut),
        shape=one.shape,
        spacing=one.spacing,
        embedding=vector,
        tokens=tokens,
        picture=one.picture,
        slice_axis_known_by=one.slice_axis_known_by,
        flags=one.flags,
    )


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
