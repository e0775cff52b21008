"""Work in several processes, with one rule for signals, deaths and how much is submitted.

The processes are spawned, since threads of torch do not survive a fork. They import nothing from the current folder,
compute with one thread each, leave Ctrl-C to the process that started them, and end when it ends, even if it is killed.

pebble in place of `concurrent.futures` would save the line that ignores SIGINT and no more: its workers do not end with
a parent that is killed either, and a run ends here with the first worker that dies.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from prima_features.errors import OutputError
from prima_features.files.safe import safe_children

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable[[Any], Any]
"""Of a worker."""


def in_processes(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    died: str,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Result]:
    """Apply a function to each item in worker processes; yields the results in the order of the items.

    Args:
        work: sent to each worker once; it has to pickle.
        items: asked for one by one, as workers become free.
        workers: number of processes, at least 1.
        died: the error message if a worker dies, for example when the machine runs out of memory.
        stopping: asked before more items are submitted; if it says so, only those in progress are finished.

    Raises:
        OutputError: a worker died.
        Exception: what `work` raised.
    """
    left, running = iter(items), deque[Future[Result]]()
    arguments = (work, logging.getLogger().getEffectiveLevel())
    with safe_children(), ProcessPoolExecutor(workers, get_context("spawn"), _begin, arguments) as pool:
        try:
            while True:
                # No more than the workers can start now: what is submitted is finished even if the run stops.
                free = workers - sum(not one.done() for one in running)
                if not stopping():
                    with interrupts_held():
                        running.extend(pool.submit(_call, item) for item in islice(left, free))
                if not running:
                    return
                wait([one for one in running if not one.done()] or running, return_when=FIRST_COMPLETED)
                while running and running[0].done():
                    yield running.popleft().result()
        except BrokenProcessPool as error:
            raise OutputError(died) from error


@contextmanager
def interrupts_held() -> Iterator[None]:
    """SIGINT waits until the block ends; processes that are started in it never receive it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(work: Callable[[Any], Any], level: int) -> None:
    import torch

    global _work
    _work = work
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent was killed: a worker would wait for ever, and keep the GPU's memory."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _work(item)
