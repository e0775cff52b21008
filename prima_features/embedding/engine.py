"""The batch loop: studies stream through reading and encoding, and a bad one never stops the others.

An engine is a function of studies that yields their results in order; `embed_studies` is the one for this machine.
All engines are made of the same two steps, which are the only places that catch whatever goes wrong:
`prepare.StudyReader` (`Study -> PreparedStudy`) and `encode.encode_window` (prepared studies to results).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Protocol

from prima_features.embedding.encode import encode_window
from prima_features.embedding.engine_options import EngineOptions
from prima_features.embedding.prepare import PreparedStudy, StudyReader, windows
from prima_features.embedding.records import Result
from prima_features.embedding.stages import StageTimes
from prima_features.encoder import Prima
from prima_features.studies.study import Study

_WINDOW_BATCHES = 64
"""Batches of subvolumes that are read before they are encoded together."""


class Engine(Protocol):
    """What embeds studies. Each study gives one result, and results come in the order of the studies.

    Studies are claimed as they are asked for: an engine asks for one when it is about to read it. A bad series or study
    is a result like others; only a disk that goes away is raised.
    """

    def __call__(
        self,
        studies: Iterable[Study],
        model: Prima,
        options: EngineOptions,
        stopping: Callable[[], bool],
        times: StageTimes,
    ) -> Iterator[Result]:
        """Embed studies, see `embed_studies`."""
        ...


def embed_studies(
    studies: Iterable[Study],
    model: Prima,
    options: EngineOptions = EngineOptions(),
    stopping: Callable[[], bool] = lambda: False,
    times: StageTimes | None = None,
) -> Iterator[Result]:
    """Embed studies one window after the other; yields each in the order given.

    Whatever is wrong with a series or a study is recorded with the stage it happened in, and the rest goes on. A disk
    that goes away is not caught; it stops the run.

    Args:
        studies: asked for one by one.
        model: in evaluation mode, on the device to compute on.
        stopping: asked after each study that was read; once it says yes, what is not yet encoded is dropped.
        times: the time of each stage is added to this.

    Raises:
        SourceError: the disk with the scans does not answer any more.
    """
    times = times or StageTimes()
    prepared = _read(studies, StudyReader(model.config.preprocessing, options.read), times)
    window_size = _WINDOW_BATCHES * options.batch_size
    for window in windows(takewhile(lambda _: not stopping(), prepared), window_size):
        if stopping():
            return
        yield from encode_window(model, window, options, times)


def _read(studies: Iterable[Study], read: StudyReader, times: StageTimes) -> Iterator[PreparedStudy]:
    for study in studies:
        prepared = read(study)
        times.read += prepared.seconds
        times.wait += prepared.seconds
        yield prepared
