"""The second step of every engine: prepared studies are encoded together, and what fails is encoded one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from prima_features.embedding.engine.options import StageTimes
from prima_features.embedding.engine.prepare import PreparedSeries, PreparedStudy, failure_of
from prima_features.embedding.file.records import (
    EmbeddedSeries,
    EmbeddedStudy,
    FailedStudy,
    Result,
)
from prima_features.encoders.base import EncodedStudy, Inference, Progress, Tokens, Widths
from prima_features.encoders.checks import EncoderError, checked_vectors, make_read_only
from prima_features.errors import SeriesError


class AbandonedError(BaseException):
    """Nobody wants the results any more. Not an `Exception`, which would be recorded as a failure of a study."""


class NotFiniteError(SeriesError):
    """A vector contains NaN or infinity."""


def _never() -> None:
    """Never abort."""


def encode_window(
    inference: Inference,
    widths: Widths,
    window: Sequence[PreparedStudy],
    times: StageTimes,
    keep_tokens: bool = False,
    check: Callable[[], None] = _never,
) -> list[Result]:
    """Encode studies together; if that fails, one by one, so that one study cannot make others fail.

    Args:
        inference: the encoder on a device.
        widths: of the encoder's vectors.
        window: one or more studies; those without a series fail with the reasons they bring.
        times: the time it takes and the tokens are added to this.
        keep_tokens: also return each token's latent.
        check: called now and then; may raise `AbandonedError`.

    Returns:
        A result for each study, in order: what the study gives alone, to rounding.
    """
    usable = [study for study in window if study.series]
    encoded = {
        result.id: result for result in _encode_or_split(inference, widths, usable, times, keep_tokens, check)
    }
    return [encoded.get(one.study.id) or FailedStudy(one.study.id, one.failures) for one in window]


def _encode_or_split(
    inference: Inference,
    widths: Widths,
    studies: Sequence[PreparedStudy],
    times: StageTimes,
    keep_tokens: bool,
    check: Callable[[], None],
) -> list[Result]:
    if not studies:
        return []
    try:
        return list(_encode(inference, widths, studies, times, keep_tokens, check))
    except (Exception, SystemExit) as error:  # an encoder may be of another package
        if len(studies) > 1:
            alone = (_encode_or_split(inference, widths, [one], times, keep_tokens, check) for one in studies)
            return [result for results in alone for result in results]
        only = studies[0]
        if isinstance(error, NotFiniteError) and len(only.series) > 1:
            sound = _sound_series(inference, widths, only, keep_tokens, check)
            if sound.series and len(sound.series) < len(only.series):
                return _encode_or_split(inference, widths, [sound], times, keep_tokens, check)
        failure = failure_of(only.study.id, "", "encode", error)
        return [FailedStudy(only.study.id, (*only.failures, failure))]


def _sound_series(
    inference: Inference,
    widths: Widths,
    study: PreparedStudy,
    keep_tokens: bool,
    check: Callable[[], None],
) -> PreparedStudy:
    """The study without the series whose vectors are not finite. They are recorded as failures.

    Each is encoded alone: NaN in one series can spread to others of its batch.
    """
    kept, failures = [], []
    for one in study.series:
        try:
            for _ in _encode(
                inference, widths, [replace(study, series=(one,))], StageTimes(), keep_tokens, check
            ):
                kept.append(one)
        except NotFiniteError as error:
            failures.append(failure_of(study.study.id, one.series.stored_name, "encode", error))
    return replace(study, series=tuple(kept), failures=(*study.failures, *failures))


def _check_finite(vectors: np.ndarray, what: str) -> None:
    if not np.isfinite(vectors).all():
        raise NotFiniteError(
            f"its {what} contains NaN or infinity",
            hint="its voxels may be too large or too uneven: rescale them; with --precision bf16, try fp32",
        )


def _encode(
    inference: Inference,
    widths: Widths,
    studies: Sequence[PreparedStudy],
    times: StageTimes,
    keep_tokens: bool,
    check: Callable[[], None],
) -> list[EmbeddedStudy]:
    start, progress = time.monotonic(), Progress(check)
    wanted = [(one.study, [(member.series, member.prepared) for member in one.series]) for one in studies]
    for one in (member.prepared for study in studies for member in study.series):
        make_read_only(one.arrays)
    try:
        encoded = inference.encode(wanted, progress, keep_tokens)
    finally:
        times.add_encoding(progress.seconds, time.monotonic() - start)
    if len(encoded) != len(studies):
        raise EncoderError(f"the encoder returned results for {len(encoded)} studies, not {len(studies)}")
    results = [
        _embedded(study, checked_vectors(vectors, widths, len(study.series), keep_tokens))
        for study, vectors in zip(studies, encoded, strict=True)
    ]
    times.gflop += progress.gflop
    times.n_items += sum(study.n_items for study in studies)
    times.n_tokens += sum(one.prepared.n_tokens for study in studies for one in study.series)
    return results


def _embedded(study: PreparedStudy, encoded: EncodedStudy) -> EmbeddedStudy:
    """One study as it is stored, from its checked vectors.

    Raises:
        NotFiniteError: a vector contains NaN or infinity.
    """
    series = encoded.series
    _check_finite(series, "series vector")
    vector = series.mean(axis=0) if encoded.study is None else encoded.study
    _check_finite(vector, "study vector")
    if encoded.clip is not None:
        _check_finite(encoded.clip, "study vector")
    tokens: Sequence[Tokens | None] = encoded.tokens or [None] * len(study.series)
    return EmbeddedStudy(
        id=study.study.id,
        subject=study.study.subject,
        session=study.study.session,
        description=study.study.description,
        source=study.study.source,
        embedding=vector,
        clip=encoded.clip,
        series=tuple(
            _embedded_series(one, row, of_one)
            for one, row, of_one in zip(study.series, series, tokens, strict=True)
        ),
        failures=study.failures,
    )


def _embedded_series(one: PreparedSeries, vector: np.ndarray, tokens: Tokens | None) -> EmbeddedSeries:
    level = None
    if tokens is not None:
        with np.errstate(over="ignore"):
            half = tokens.embedding.astype(np.float16)
        _check_finite(half, "token vectors in float16")
        level = Tokens(half, tokens.coord)
    prepared = one.prepared
    return EmbeddedSeries(
        name=one.series.stored_name,
        plane=prepared.plane,
        source=one.series.source,
        n_tokens=prepared.n_tokens,
        shape=prepared.shape,
        spacing=prepared.spacing,
        embedding=vector,
        tokens=level,
        picture=prepared.picture,
        slice_axis_known_by=prepared.slice_axis_known_by,
        flags=prepared.flags,
        brain=prepared.brain,
    )
