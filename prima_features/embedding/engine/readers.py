"""Reader processes: studies are read and prepared by other processes while the network computes.

`read_ahead` hands studies to processes that run this module (`python -m prima_features.embedding.engine.readers`).
A reader starts in the time that numpy, nibabel and SimpleITK take (no torch). It receives studies on standard input and
returns prepared ones on standard output. It ignores SIGINT and SIGTERM, since its parent decides when to stop, and ends
when its input ends.

Own code, because a pool of `concurrent.futures` (as in `prima_features.processes`) loses all studies in progress when
one worker dies, runs the caller's script once more in each, and takes 0.07 s or more of this process per study of
42 MB, for which these pipes take 0.03 s.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader, StudyRequest
from prima_features.errors import UsageError
from prima_features.import_path import safe_path
from prima_features.studies.study import Failure, Study

_TRIES = 2
"""How often a study is read whose process dies: the first time it may have been another's memory."""
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def read_ahead(
    requests: Iterable[StudyRequest], read: StudyReader, workers: int, sizes: Sequence[int]
) -> Iterator[tuple[PreparedStudy, ...]]:
    """Read studies in order, ahead of their use.

    If a process dies, for example because memory is full, only its study fails. A single study is read without
    processes.

    Args:
        requests: taken one at a time. One more study than processes is requested ahead, or as many as are expected to
            fill a window of one of the encoders.
        read: reads a study for its encoders.
        workers: number of processes; 0 reads each study in this process when it is needed.
        sizes: the weight of a window of each encoder.

    Raises:
        SourceError: the disk with the scans is not available.
        UsageError: an encoder's preparer cannot be sent to another process.
    """
    requests = iter(requests)
    first = list(islice(requests, 2)) if workers else []
    if len(first) < 2:
        yield from map(read, chain(first, requests))
        return
    with _Readers(read, workers) as readers:
        waiting: deque[Future[tuple[PreparedStudy, ...]]] = deque()
        for request in chain(first, requests):
            waiting.append(readers.submit(request))
            while len(waiting) > workers and _expected(waiting, sizes) >= 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _expected(waiting: Sequence[Future[tuple[PreparedStudy, ...]]], sizes: Sequence[int]) -> float:
    """Expected size of the studies being read, in windows of the encoder that needs the fewest studies for one.

    Studies that are not read yet count as the average of the others.
    """
    shares = [
        max(one.weight / sizes[one.encoder] for one in future.result())
        for future in waiting
        if future.done() and not future.exception()
    ]
    return sum(shares) / len(shares) * len(waiting) if shares else float("inf")


class _Readers:
    """Reader processes, each with a thread in this process that communicates with it."""

    def __init__(self, read: StudyReader, count: int):
        try:
            pickle.dumps(read)
        except Exception as error:
            raise not_picklable("its preparer", error) from error
        self._readers = [_Reader(read) for _ in range(count)]
        self._idle: SimpleQueue[_Reader] = SimpleQueue()
        for reader in self._readers:
            self._idle.put(reader)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="read")

    def __enter__(self) -> _Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers:
            reader.close()
        self._threads.shutdown(cancel_futures=True)

    def submit(self, request: StudyRequest) -> Future[tuple[PreparedStudy, ...]]:
        return self._threads.submit(self._read, request)

    def _read(self, request: StudyRequest) -> tuple[PreparedStudy, ...]:
        reader = self._idle.get()
        try:
            return reader.read(request)
        finally:
            self._idle.put(reader)


class _Reader:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, read: StudyReader):
        self._how = read
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._closed = threading.Lock(), False

    def read(self, request: StudyRequest) -> tuple[PreparedStudy, ...]:
        for _ in range(_TRIES):
            try:
                result = self._ask(request)
            except (EOFError, OSError):
                status = self._bury()
                continue
            if isinstance(result, Exception):
                raise result
            found: tuple[PreparedStudy, ...] = result
            return found
        if len(request.encoders) > 1:  # the preparer of one of them may end the process
            alone = (self.read(StudyRequest(request.study, (encoder,))) for encoder in request.encoders)
            return tuple(chain.from_iterable(alone))
        (encoder,) = request.encoders
        return (PreparedStudy(request.study, (), (_died(request.study, status),), encoder=encoder),)

    def _ask(self, request: StudyRequest) -> Any:
        with self._lock:
            if self._closed:
                raise EOFError
            if self._process is None:
                self._process = _start()
                assert self._process.stdin is not None
                send(self._process.stdin, (logging.getLogger().level, self._how))  # type: ignore[arg-type]
            process = self._process
        assert process.stdin is not None and process.stdout is not None
        send(process.stdin, request)  # type: ignore[arg-type]
        try:
            return receive(process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError):
            raise
        except Exception as error:  # all of it was read; unpickling runs the code of the encoder's package
            return not_picklable("a series that its preparer returned", error)

    def _bury(self) -> int:
        """End a process that does not respond; returns its exit status."""
        with self._lock:
            process, self._process = self._process, None
        return _end(process) if process is not None else 0

    def close(self) -> None:
        """End the process; a thread that waits for it sees it as dead."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._bury()


def _start() -> subprocess.Popen[bytes]:
    # -P: with -m alone, Python would import from the current folder first, which may be one of scans.
    command = [sys.executable, "-P", "-m", __name__]
    environment = os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(safe_path())}
    # A process group of its own: Ctrl-C in a terminal goes to this process alone, which ends its readers.
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0 if os.name == "posix" else None,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    status = process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):
            if stream is not None:
                stream.close()
    return status


def _died(study: Study, status: int) -> Failure:
    how = f"signal {-status}" if status < 0 else f"exit code {status}"
    return Failure(
        study.id,
        "",
        "read",
        f"the process that read it died ({how}), {_TRIES} times",
        "the machine may be out of memory: try --workers 1, and exclude the study if it fails again",
    )


# ---- the reader process ----


def send(stream: BinaryIO, item: Any) -> None:
    """Write an object; its arrays go as they are, without being copied into a pickle."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(item, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    stream.write(struct.pack("<I", len(parts)))
    stream.write(struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts)))
    for part in parts:
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read what `send` wrote.

    Raises:
        EOFError: the other side is gone.
    """
    (count,) = struct.unpack("<I", _read(stream, 4))
    sizes = struct.unpack(f"<{count}Q", _read(stream, 8 * count))
    head, *buffers = [_read(stream, size) for size in sizes]
    return pickle.loads(head, buffers=buffers)


def _read(stream: BinaryIO, size: int) -> memoryview:
    view = np.empty(size, np.uint8).data  # unlike a bytearray, not filled with zeros first
    filled = 0
    while filled < size:
        n = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not n:
            raise EOFError
        filled += n
    return view


def main() -> None:
    """Read studies until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Results have standard output to themselves; what a library prints goes to standard error.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        level, read = receive(sys.stdin.buffer)
    except EOFError:
        return
    except Exception as error:  # it unpickles the preparer of an encoder, perhaps of another package
        level, read = logging.WARNING, _Unloadable(error)
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
    for request in _requests(sys.stdin.buffer):
        try:
            result = read(request)
        except Exception as error:  # a disk that went away: raised where the study is asked for
            result = error
        try:
            send(results, result)
        except BrokenPipeError:
            return
        except Exception as error:  # nothing was written: pickling comes first
            send(results, not_picklable("a series that its preparer returned", error))


class _Unloadable:
    """In place of a reader that could not be unpickled: fails with the reason."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, request: Any) -> Any:
        raise UsageError(
            f"A reader process cannot load the encoder's preparer ({type(self._error).__name__}: {self._error}): "
            "define it in an installed module, or use --workers 0"
        )


def not_picklable(what: str, error: Exception) -> UsageError:
    """The error for something of an encoder that cannot be sent to another process."""
    return UsageError(
        f"The encoder cannot be used with reader processes, since {what} cannot be pickled "
        f"({type(error).__name__}: {error}): use --workers 0, or update the encoder's package"
    )


def _requests(stream: BinaryIO) -> Iterator[Any]:
    while True:
        try:
            yield receive(stream)
        except EOFError:
            return


if __name__ == "__main__":
    main()
