"""What one run does on Ray: studies go to readers, from there to encoders, and results come back.

No study is lost with a process or a machine. Ray itself reads a study again whose reader died, or whose prepared form
was on a machine that died. A study whose encoder died is read and encoded again, on another machine if necessary.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.engine.prepare import StudyReader, StudyRequest
from prima_features.embedding.engine.ray.encoders import READER_CPUS, Encoders, cannot_run
from prima_features.embedding.engine.ray.workers import Receipt, read_study, sees_scans
from prima_features.embedding.file.records import FailedStudy, Result
from prima_features.encoders.base import Encoder
from prima_features.encoders.checks import preparer_of
from prima_features.errors import SourceError
from prima_features.studies.study import Failure, Study

logger = logging.getLogger(__name__)

_WINDOW_BATCHES = 8
"""Batches that are read before they are encoded together."""
_READ_TRIES = 3
"""How often Ray reads a study whose process or machine dies."""
_ENCODE_TRIES = 3
"""How often a study is read and encoded whose encoder dies; after the first time in a window of its own."""
POLL_S = 0.5
_PATIENCE_S = 30.0
"""Seconds without progress before the warning that Ray may have no free resources."""


@dataclass
class OnItsWay:
    """A study that is being read or was read for one encoder: its state, and how often an encoder was lost with it."""

    study: Study
    encoder: int
    """Position in the sequence of encoders of the run."""
    lost: int = 0
    prepared: Any = None
    """Reference to the prepared study."""
    weight: int = 0


class StudiesOnRay:
    """One call of the engine: studies to readers, what was read to encoders, and their answers back."""

    def __init__(
        self,
        processes: Encoders[list[OnItsWay]],
        encoders: Sequence[Encoder],
        options: EngineOptions,
        on_gpus: bool,
        times: Sequence[StageTimes],
    ):
        self._encoders, self._times = processes, times
        self._window_size = _WINDOW_BATCHES * options.batch_for("cuda" if on_gpus else "cpu")
        read = StudyReader(tuple(map(preparer_of, encoders)), options.read, options.pictures)
        self._how = ray.put(read)
        self._n_readers, self._cpus = options.workers, 1 if on_gpus else READER_CPUS
        self._task: Any = ray.remote(read_study)
        # What Ray reports of a task contains neither results nor paths: logs contain only its name.
        self._task_options = {"num_cpus": self._cpus, "max_retries": _READ_TRIES - 1, "name": "read_study"}
        self._reading: dict[Any, list[OnItsWay]] = {}
        self._read: list[list[OnItsWay]] = [[] for _ in encoders]
        self._again: deque[OnItsWay] = deque()
        self._windows: deque[list[OnItsWay]] = deque()
        self._exhausted = False

    def results(
        self, first: StudyRequest, requests: Iterator[StudyRequest], stopping: Callable[[], bool]
    ) -> Iterator[tuple[int, Result]]:
        """Read, encode, and yield what comes back, until there is no more or it is to stop."""
        requests, patience, stopped = chain([first], requests), Patience(), False
        while True:
            if not stopped and stopping():
                stopped = True
                self._encoders.cancel_waiting()
            if not stopped:
                self._encoders.look()
                self._read_more(requests)
                self._fill_windows()
                self._hand_out()
            if not self._encoders.busy and (stopped or not (self._reading or self._windows or self._again)):
                return
            for reference in self._one_done([] if stopped else list(self._reading)):
                patience = Patience()
                if reference in self._reading:
                    yield from self._was_read(reference)
                else:
                    yield from self._was_encoded(reference)
            patience.look()

    def _one_done(self, reading: list[Any]) -> list[Any]:
        if not (references := reading + self._encoders.references):
            time.sleep(POLL_S)
            return []
        return ray.wait(references, num_returns=1, timeout=POLL_S)[0]

    def _read_more(self, requests: Iterator[StudyRequest]) -> None:
        while self._has_room():
            if self._again:
                self._submit([self._again.popleft()])
            elif (request := next(requests, None)) is not None:
                self._submit([OnItsWay(request.study, encoder) for encoder in request.encoders])
            else:
                self._exhausted = True
                return

    def abandon(self) -> None:
        """Give up what is on its way."""
        if self._encoders.busy:
            self._encoders.close()
        for reference in self._reading:
            with suppress(RayError):
                ray.cancel(reference)
        self._reading.clear()

    def _has_room(self) -> bool:
        """Whether another study may be read: readers are free, and encoders will want it."""
        waiting = chain(*self._read, *self._windows)
        held = [0] * len(self._read)
        for one in waiting:
            held[one.encoder] += one.weight
        if max(held) >= self._window_size * (self._encoders.count + 1):
            return False
        return len(self._reading) < (self._n_readers or max(1, self._encoders.n_cpus / self._cpus))

    def _submit(self, together: list[OnItsWay]) -> None:
        """Have a study read for one or more encoders."""
        # Whose study it is stays here: what is sent may be written to the disks of other machines.
        study = replace(together[0].study, identity=None)
        request = StudyRequest(study, tuple(one.encoder for one in together))
        task = self._task.options(num_returns=1 + len(together), **self._task_options)
        receipt, *prepared = task.remote(self._how, request, Path.cwd())
        for one, reference in zip(together, prepared, strict=True):
            one.prepared = reference
        self._reading[receipt] = together

    def _was_read(self, reference: Any) -> Iterator[tuple[int, Result]]:
        together = self._reading.pop(reference)
        study = together[0].study
        try:
            receipt: Receipt = ray.get(reference)
        except RayTaskError as error:
            if isinstance(error.cause, SourceError):
                raise error.cause from error
            raise cannot_run(error) from error
        except RayError as error:
            logger.debug("A reader process was lost", exc_info=error)
            if len(together) > 1:  # the preparer of one of them may end the process
                self._again.extend(together)
            else:
                yield together[0].encoder, _died(study, "read", _READ_TRIES)
            return
        if not receipt.sees_scans and sees_scans(study):
            raise SourceError(
                f"{receipt.host}, a machine of the Ray cluster, cannot read the scans: mount their disk there "
                f"under the same path as here"
            )
        for one, weight, seconds in zip(together, receipt.weights, receipt.seconds, strict=True):
            self._times[one.encoder].read += seconds
            one.weight = weight
            if one.lost:
                self._windows.append([one])
            else:
                self._read[one.encoder].append(one)

    def _fill_windows(self) -> None:
        last = self._exhausted and not self._reading and not self._again
        for read in self._read:
            while read and (last or sum(one.weight for one in read) >= self._window_size):
                window: list[OnItsWay] = []
                while read and sum(one.weight for one in window) < self._window_size:
                    window.append(read.pop(0))
                self._windows.append(window)

    def _hand_out(self) -> None:
        while self._windows:
            window = self._windows[0]
            place = self._encoders.free(alone=bool(window[0].lost))
            if place is None:
                return
            references = [one.prepared for one in window]
            self._encoders.give(place, self._windows.popleft(), window[0].encoder, references)

    def _was_encoded(self, reference: Any) -> Iterator[tuple[int, Result]]:
        answer, lost = self._encoders.take(reference)
        if answer is not None:
            encoder, results, measured = answer
            self._times[encoder].add(measured)
            for result in results:
                yield encoder, result
        for one in (one for window in lost for one in window):
            if one.lost + 1 < _ENCODE_TRIES:
                self._again.append(OnItsWay(one.study, one.encoder, one.lost + 1))
            else:
                yield one.encoder, _died(one.study, "encode", _ENCODE_TRIES)


class Patience:
    """Warns, once, if there has been no progress for a while."""

    def __init__(self) -> None:
        self._since, self._warned = time.monotonic(), False

    def look(self) -> None:
        if not self._warned and time.monotonic() - self._since > _PATIENCE_S:
            self._warned = True
            logger.warning(
                "No progress for %d s: Ray may have no free resources (check `ray status`)", _PATIENCE_S
            )


def _died(study: Study, stage: str, tries: int) -> FailedStudy:
    verb = {"read": "read", "encode": "encoded"}[stage]
    failure = Failure(
        study.id,
        "",
        stage,
        f"the process that {verb} it died, {tries} times",
        "the machine may be out of memory: give Ray fewer CPUs per machine, and exclude the study if it fails again",
    )
    return FailedStudy(study.id, (failure,))
