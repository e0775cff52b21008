"""The items of each batch, drawn as a whole and divided among the processes; and reading batches ahead."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import DataLoader, Dataset

from prima_features.errors import OutputError, PrimaError, UsageError
from prima_features.pretraining.data.draws import generator


class Sampler:
    """Shuffled passes over items, some of which come several times a pass.

    Items with the same key are never in one batch: the second copy of a study would be a wrong
    answer to its own report. The items of a batch depend only on the seed and its number.

    Args:
        keys: of each item.
        repeats: how often each item comes in a pass.
        batch: items of a batch, over all processes.
        seed: of the run.
        what: the items, for messages.

    Raises:
        UsageError: there are fewer different keys than a batch holds.
    """

    def __init__(
        self, keys: Sequence[Hashable], repeats: Sequence[int], batch: int, seed: int, what: str = "studies"
    ) -> None:
        check_batch(keys, batch, what)
        self._keys, self._batch, self._seed = list(keys), batch, seed
        self._entries = np.repeat(np.arange(len(keys)), repeats)
        self.batches_per_pass = max(1, len(self._entries) // batch)
        self._pass: tuple[int, list[list[int]]] = (-1, [])

    def batch(self, number: int) -> list[int]:
        """Items of a batch, in order."""
        turn, place = divmod(number, self.batches_per_pass)
        if self._pass[0] != turn:
            self._pass = (turn, self._draw(turn))
        return self._pass[1][place]

    def _draw(self, turn: int) -> list[list[int]]:
        order = generator(self._seed, "order", turn)
        waiting = deque(order.permutation(self._entries).tolist())
        return [self._fill(waiting, order) for _ in range(self.batches_per_pass)]

    def _fill(self, waiting: deque[int], order: np.random.Generator) -> list[int]:
        """Take the next items, leaving for the next batch those whose key is in this one already."""
        batch: list[int] = []
        keys: set[Hashable] = set()
        later: list[int] = []
        while waiting and len(batch) < self._batch:
            item = waiting.popleft()
            if self._keys[item] in keys:
                later.append(item)
            else:
                batch.append(item)
                keys.add(self._keys[item])
        waiting.extendleft(reversed(later))
        if len(batch) < self._batch:  # at the end of a pass only copies are left
            for item in order.permutation(len(self._keys)).tolist():
                if self._keys[item] not in keys and len(batch) < self._batch:
                    batch.append(item)
                    keys.add(self._keys[item])
        return batch


def check_batch(keys: Iterable[Hashable], batch: int, what: str) -> None:
    """Raise UsageError if there are fewer different keys than a batch has items; `what` names the items."""
    if (count := len(set(keys))) < batch:
        raise UsageError(
            f"batch is {batch}, but there are only {count} different {what} to train on; lower batch"
        )


def share_of(batch: Sized, rank: int, processes: int) -> range:
    """Places in a batch that one process computes; the batch divides evenly, which a run checks before it starts."""
    each = len(batch) // processes
    return range(rank * each, (rank + 1) * each)


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
