"""Reading batches ahead in threads, while the networks compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Prefetch(Generic[Batch]):
    """Batches `start` to `stop`, in order. Each is a pure function of its number, so reading ahead changes none.

    Args:
        load: gives a batch; its errors are raised where the batch is asked for.
        start, stop: numbers, as of `range`.
        ahead: how many are read before they are asked for; 0 reads each when it is.
    """

    def __init__(self, load: Callable[[int], Batch], start: int, stop: int, ahead: int) -> None:
        self._load, self._numbers, self._ahead = load, range(start, stop), ahead

    def __iter__(self) -> Iterator[Batch]:
        if not self._ahead:
            yield from map(self._load, self._numbers)
            return
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
