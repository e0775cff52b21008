"""The batch loop: studies stream through reading and encoding, and a failing one never stops the others.

An engine is a function of studies that yields their results; `embed_studies` is the one for this machine, and
`ray.engine.RayEngine` one for many.
All engines are made of the same two steps, which are the only places that catch whatever goes wrong:
`prepare.StudyReader` (`Study -> PreparedStudy`) and `encode.encode_window` (prepared studies to results).
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
from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader, windows
from prima_features.embedding.engine.readers import read_ahead
from prima_features.embedding.file.records import Result
from prima_features.encoders.base import Encoder, Inference
from prima_features.encoders.checks import checked_info, encoder_code
from prima_features.studies.study import Study

logger = logging.getLogger(__name__)

_WINDOW_BATCHES = 8
"""Batches that are read before they are encoded together."""


class Engine(Protocol):
    """What embeds studies. Each study gives one result; results may come in any order.

    Studies are claimed as they are asked for: an engine asks for one when it is about to read it. A bad series or study
    is a result like others; only a disk that goes away is raised.
    """

    def __call__(
        self,
        studies: Iterable[Study],
        encoder: Encoder,
        options: EngineOptions,
        stopping: Callable[[], bool],
        times: StageTimes,
    ) -> Iterator[Result]:
        """Embed studies, see `embed_studies`."""
        ...


def embed_studies(
    studies: Iterable[Study],
    encoder: Encoder,
    options: EngineOptions = EngineOptions(),
    stopping: Callable[[], bool] = lambda: False,
    times: StageTimes | None = None,
) -> Iterator[Result]:
    """Embed studies window by window; yields one result per study, in order.

    An error of a series or study is recorded with its stage, and the others continue. An unavailable disk is not
    caught: it stops the run.

    Args:
        studies: requested one at a time.
        encoder: computes on its own device unless the options name others.
        stopping: called after each study that was read; if it returns True, studies that are not encoded yet are
            dropped.
        times: the time of each stage is added to this.

    Raises:
        SourceError: the disk with the scans is not available.
    """
    times = times or StageTimes()
    how = computation(options, encoder.device)
    _warn_of_slow_products(how)
    window_size = _WINDOW_BATCHES * how.batch_size
    with encoder_code(encoder.info.encoder, "make its preparer"):
        read = StudyReader(encoder.preparer(), options.read, options.pictures)
    prepared = _timed(read_ahead(studies, read, options.n_workers, window_size), times)
    with _Devices(encoder, how, options.keep_tokens) as devices:
        running: deque[Future[_Encoded]] = deque()
        for window in windows(takewhile(lambda _: not stopping(), prepared), window_size):
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


def _warn_of_slow_products(how: Computation) -> None:
    for device in how.devices:
        if how.dtype == torch.bfloat16 and not multiplies_bfloat16(device):
            logger.warning(
                "%s has no hardware support for bfloat16: --precision fp32 is faster and more accurate",
                device,
            )


_Encoded = tuple[list[Result], StageTimes]


def _timed(prepared: Iterable[PreparedStudy], times: StageTimes) -> Iterator[PreparedStudy]:
    for study in prepared:
        times.read += study.seconds
        yield study


def _finished(window: Future[_Encoded], times: StageTimes) -> Iterator[Result]:
    results, measured = window.result()
    times.add(measured)
    yield from results


class _Devices:
    """A thread for each device, and a queue of windows for all of them: reading and writing go on meanwhile."""

    def __init__(self, encoder: Encoder, how: Computation, keep_tokens: bool):
        self.count = len(how.devices)
        self._keep_tokens, self._widths = keep_tokens, checked_info(encoder).widths
        # torch warns of every array that is read-only. Nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        self._idle: SimpleQueue[_Device] = SimpleQueue()
        for device in how.devices:
            with encoder_code(encoder.info.encoder, f"be placed on {device}"):
                self._idle.put(_Device(encoder.on(device, how.dtype, how.batch_size)))
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
        device = self._idle.get()
        times = StageTimes(wait=time.monotonic() - device.idle_since)
        try:
            results = encode_window(
                device.inference, self._widths, window, times, self._keep_tokens, self._check
            )
            return results, times
        finally:
            device.idle_since = time.monotonic()
            self._idle.put(device)

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise AbandonedError


class _Device:
    """An encoder on a device, and since when it has been idle."""

    def __init__(self, inference: Inference):
        self.inference = inference
        self.idle_since = time.monotonic()
