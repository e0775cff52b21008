"""The batch loop: studies stream through reading and encoding, and a failing one never stops the others.

An engine is a function of requests for studies that yields their results; `embed_requests` is the one for this machine,
and `ray.engine.RayEngine` one for many.
All engines are made of the same two steps, which are the only places that catch whatever goes wrong:
`prepare.StudyReader` (a study to one `PreparedStudy` per encoder) and `encode.encode_window` (prepared studies to
results).
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol

import torch

from prima_features.embedding.engine.device import Computation, computation, multiplies_bfloat16
from prima_features.embedding.engine.encode import AbandonedError, encode_window
from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader, StudyRequest, windows
from prima_features.embedding.engine.readers import read_ahead
from prima_features.embedding.file.records import Result
from prima_features.encoders.base import Encoder, Inference
from prima_features.encoders.checks import checked_info, encoder_code, preparer_of
from prima_features.studies.study import Study

logger = logging.getLogger(__name__)

_WINDOW_BATCHES = 8
"""Batches that are read before they are encoded together."""


class Engine(Protocol):
    """What embeds studies. Each study gives one result per encoder of its request; results may come in any order.

    Studies are claimed as they are asked for: an engine asks for one when it is about to read it. A bad series or study
    is a result like others; only a disk that goes away is raised.
    """

    def __call__(
        self,
        requests: Iterable[StudyRequest],
        encoders: Sequence[Encoder],
        options: EngineOptions,
        stopping: Callable[[], bool],
        times: Sequence[StageTimes],
    ) -> Iterator[tuple[int, Result]]:
        """Embed studies, see `embed_requests`."""
        ...


def embed_studies(
    studies: Iterable[Study],
    encoder: Encoder,
    options: EngineOptions = EngineOptions(),
    times: StageTimes | None = None,
) -> Iterator[Result]:
    """Embed studies with one encoder on this machine; yields one result per study, in order.

    See `embed_requests`.
    """
    requests = (StudyRequest(study) for study in studies)
    for _, result in embed_requests(requests, [encoder], options, times=[times or StageTimes()]):
        yield result


def embed_requests(
    requests: Iterable[StudyRequest],
    encoders: Sequence[Encoder],
    options: EngineOptions = EngineOptions(),
    stopping: Callable[[], bool] = lambda: False,
    times: Sequence[StageTimes] = (),
) -> Iterator[tuple[int, Result]]:
    """Embed studies window by window; yields the encoder's position and the result.

    Each encoder has windows of its own, and its results come in the order of the requests. The devices hold all
    encoders together. An error of a series or study is recorded with its stage, for the encoder that it occurred in,
    and everything else continues. An unavailable disk is not caught: it stops the run.

    Args:
        requests: taken one at a time. The scans of a study are read once for all encoders of its request.
        encoders: each computes on its own device unless the options name others.
        options: the batch size is in the unit of each encoder.
        stopping: called after each study that was read; if it returns True, studies that are not encoded yet are
            dropped.
        times: the time of each stage is added to that of the encoder; none measures nothing.

    Raises:
        SourceError: the disk with the scans is not available.
    """
    times = times or [StageTimes() for _ in encoders]
    hows = [computation(options, encoder.device) for encoder in encoders]
    _warn_of_slow_products(hows)
    sizes = [_WINDOW_BATCHES * how.batch_size for how in hows]
    read = StudyReader(tuple(map(preparer_of, encoders)), options.read, options.pictures)
    prepared = _timed(read_ahead(requests, read, options.n_workers, sizes), times)
    with _Devices(encoders, hows, options.keep_tokens) as devices:
        running: deque[Future[_Encoded]] = deque()
        for window in windows(takewhile(lambda _: not stopping(), prepared), sizes):
            if stopping():
                break
            running.append(devices.submit(window))
            while len(running) > devices.count:
                yield from _finished(running.popleft(), times)
        # What is begun is finished; what only waits for a device is given back.
        while running:
            if not (stopping() and running[0].cancel()):
                yield from _finished(running[0], times)
            running.popleft()


def _warn_of_slow_products(hows: Iterable[Computation]) -> None:
    computing = dict.fromkeys((device, how.dtype) for how in hows for device in how.devices)
    for device, dtype in computing:
        if dtype == torch.bfloat16 and not multiplies_bfloat16(device):
            logger.warning(
                "%s has no hardware support for bfloat16: --precision fp32 is faster and more accurate",
                device,
            )


_Encoded = tuple[int, list[Result], StageTimes]


def _timed(
    prepared: Iterable[tuple[PreparedStudy, ...]], times: Sequence[StageTimes]
) -> Iterator[tuple[PreparedStudy, ...]]:
    for study in prepared:
        for one in study:
            times[one.encoder].read += one.seconds
        yield study


def _finished(window: Future[_Encoded], times: Sequence[StageTimes]) -> Iterator[tuple[int, Result]]:
    encoder, results, measured = window.result()
    times[encoder].add(measured)
    for result in results:
        yield encoder, result


class _Devices:
    """A thread for each device, and a queue of windows for all of them: reading and writing go on meanwhile."""

    def __init__(self, encoders: Sequence[Encoder], hows: Sequence[Computation], keep_tokens: bool):
        self._keep_tokens = keep_tokens
        self._widths = [checked_info(encoder).widths for encoder in encoders]
        # torch warns of every array that is read-only. Nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        # Named devices are the same for all encoders; otherwise each computes on its own one.
        self.count = len(hows[0].devices)
        self._idle: SimpleQueue[_Device] = SimpleQueue()
        for number in range(self.count):
            self._idle.put(_Device([_placed(*one, number) for one in zip(encoders, hows, strict=True)]))
        self._threads = ThreadPoolExecutor(self.count, thread_name_prefix="encode")
        self._abandoned = threading.Event()

    def __enter__(self) -> _Devices:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned.set()
        self._threads.shutdown(cancel_futures=True)

    def submit(self, window: Sequence[PreparedStudy]) -> Future[_Encoded]:
        return self._threads.submit(self._encode, window)

    def _encode(self, window: Sequence[PreparedStudy]) -> _Encoded:
        """Encode studies that are prepared for the same encoder."""
        encoder, device = window[0].encoder, self._idle.get()
        times = StageTimes(wait=time.monotonic() - device.idle_since)
        try:
            inference, widths = device.inferences[encoder], self._widths[encoder]
            results = encode_window(inference, widths, window, times, self._keep_tokens, self._check)
            return encoder, results, times
        finally:
            device.idle_since = time.monotonic()
            self._idle.put(device)

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise AbandonedError


def _placed(encoder: Encoder, how: Computation, number: int) -> Inference:
    """An encoder on one of its devices.

    Raises:
        UsageError: it cannot be placed there.
    """
    device = how.devices[number]
    with encoder_code(encoder.info.encoder, f"be placed on {device}"):
        return encoder.on(device, how.dtype, how.batch_size)


class _Device:
    """All encoders on a device, and since when it has been idle."""

    def __init__(self, inferences: Sequence[Inference]):
        self.inferences = inferences
        self.idle_since = time.monotonic()
