"""Reading batches ahead, in a thread or in processes, while the networks compute."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from prima_features.errors import OutputError, PrimaError

Batch = TypeVar("Batch")


class Prefetch(Generic[Batch]):
    """Batches `start` to `stop`, in order. Each is a pure function of its number, so reading ahead changes none.

    Args:
        load: gives a batch; its errors are raised where the batch is asked for.
        start, stop: numbers, as of `range`.
        ahead: how many a thread reads before they are asked for; 0 reads each when it is.
        readers: processes that read in its place, each one batch ahead. They are forks of this one.
        pin: put what they read where a GPU copies from without waiting.

    Raises:
        OutputError: a reader ended early.
    """

    def __init__(
        self,
        load: Callable[[int], Batch],
        start: int,
        stop: int,
        ahead: int,
        readers: int = 0,
        pin: bool = False,
    ) -> None:
        self._load, self._numbers = load, range(start, stop)
        self._ahead, self._readers, self._pin = ahead, readers, pin

    def __iter__(self) -> Iterator[Batch]:
        if self._readers:
            yield from self._from_processes()
        elif self._ahead:
            yield from self._from_thread()
        else:
            yield from map(self._load, self._numbers)

    def _from_thread(self) -> Iterator[Batch]:
        # One thread: a load may keep something of its own, such as the order of a pass.
        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[Batch]] = []
            try:
                for number in self._numbers:
                    waiting.append(pool.submit(self._load, number))
                    if len(waiting) > self._ahead:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def _from_processes(self) -> Iterator[Batch]:
        loader: DataLoader[Batch] = DataLoader(
            _Batches(self._load),
            batch_size=None,
            sampler=self._numbers,
            num_workers=self._readers,
            prefetch_factor=1,
            pin_memory=self._pin,
            multiprocessing_context="fork",
            worker_init_fn=_ignore_interrupts,
        )
        try:
            for batch in loader:
                if isinstance(batch, PrimaError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise OutputError(
                "A process that reads batches ended early, for want of memory or of shared memory (/dev/shm): set "
                "fewer readers; the same command goes on from the last checkpoint"
            ) from error


class _Batches(Dataset[Batch]):
    def __init__(self, load: Callable[[int], Batch]) -> None:
        self._load = load

    def __getitem__(self, number: int) -> Batch | PrimaError:  # type: ignore[override]
        try:
            return self._load(number)
        except PrimaError as error:  # raised in a worker, it would come with a traceback in its message
            return error


def _ignore_interrupts(worker: int) -> None:
    """The process that started the readers ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
