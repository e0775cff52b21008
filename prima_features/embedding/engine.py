"""The batch loop: studies stream through reading and encoding, and a bad one never stops the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from prima_features.embedding.encode import encode_studies
from prima_features.embedding.outage import check_disk
from prima_features.embedding.prepare import PreparedSeries, PreparedStudy, prepare_series, windows
from prima_features.embedding.records import FailedStudy, Failure, Result
from prima_features.encoder import Prima
from prima_features.errors import SeriesError
from prima_features.studies.study import Series, Study
from prima_features.volumes import ReadOptions

logger = logging.getLogger(__name__)

_WINDOW_BATCHES = 64
"""Batches of subvolumes that are read before they are encoded together."""


@dataclass(frozen=True)
class EngineOptions:
    """How studies are encoded."""

    read: ReadOptions = ReadOptions()
    batch_size: int = 32
    """Subvolumes in one call of the tokenizer."""
    keep_tokens: bool = False


def embed_studies(
    studies: Iterable[Study],
    model: Prima,
    options: EngineOptions = EngineOptions(),
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Result]:
    """Embed studies one window after the other; yields each in the order given.

    This is the one place that catches: whatever is wrong with a series or a study is recorded with the stage
    it happened in, and the rest goes on. A disk that goes away is not caught; it stops the run.

    Args:
        stopping: asked after each study that was read; once it says yes, what is not yet encoded is dropped.

    Raises:
        SourceError: the disk with the scans does not answer any more.
    """
    prepared = (_prepare(study, model, options) for study in studies)
    for window in windows(
        takewhile(lambda _: not stopping(), prepared), _WINDOW_BATCHES * options.batch_size
    ):
        if stopping():
            return
        usable = [study for study in window if study.series]
        encoded = {study.id: study for study in _encode(model, usable, options)}
        for study in window:
            yield encoded.get(study.study.id) or FailedStudy(study.study.id, study.failures)


def _prepare(study: Study, model: Prima, options: EngineOptions) -> PreparedStudy:
    series: list[PreparedSeries] = []
    failures: list[Failure] = []
    for one in study.series:
        try:
            series.append(prepare_series(one, model.config.preprocessing, options.read))
        except Exception as error:
            check_disk(error, one.files)
            failures.append(_failure(study, one, "read", error))
    return PreparedStudy(study, tuple(series), tuple(failures))


def _encode(model: Prima, studies: Sequence[PreparedStudy], options: EngineOptions) -> list[Result]:
    """Encode a window; where that fails, its studies one by one, so that one cannot take others with it."""
    if not studies:
        return []
    try:
        return list(encode_studies(model, studies, options.batch_size, options.keep_tokens))
    except Exception as error:
        if len(studies) > 1:
            return [result for study in studies for result in _encode(model, [study], options)]
        only = studies[0]
        failure = _failure(only.study, None, "encode", error)
        return [FailedStudy(only.study.id, (*only.failures, failure))]


def _failure(study: Study, series: Series | None, stage: str, error: Exception) -> Failure:
    name = series.stored_name if series else ""
    if isinstance(error, SeriesError):
        return Failure(study.id, name, stage, str(error), error.hint)
    # Another library's message may quote a path, and a DICOM path a patient's name: only its kind is told.
    logger.debug("%s of %s failed", stage, study.id, exc_info=error)
    hint = "run again with --debug for the details, and report it if the scan is sound"
    return Failure(study.id, name, stage, f"unexpected {type(error).__name__}", hint)
