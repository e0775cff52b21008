"""Work in threads that each compute on one core with memory of their own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


class Workspace:
    """Buffers of one thread that are used again, since the system hands out new memory slowly."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """A contiguous float32 tensor with undefined values, valid until the same name is taken again."""
        n = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < n:
            buffer = self._buffers[name] = torch.empty(n)
        return buffer[:n].view(shape)


class OwnThreads:
    """Applies a function to several tensors at once, one core each.

    Args:
        n: number of threads; with one, the caller computes by itself.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._own = threading.local()
        self._pool = None
        if n > 1:
            all_began = threading.Barrier(n + 1)
            self._pool = ThreadPoolExecutor(n, "prima", self._begin, (all_began,))
            for _ in range(n):  # starts all threads: none of them is free before the last one began
                self._pool.submit(int)
            all_began.wait()
            torch.set_num_threads(n)  # `_begin` also changed what threads that start later use

    def map(self, work: Callable[[Tensor, Workspace], Tensor], items: Sequence[Tensor]) -> list[Tensor]:
        """The results of `work`, in the order of the items. An exception of one is raised once all have ended."""
        if self._pool is None:
            return [work(item, self._workspace()) for item in items]
        inference = torch.is_inference_mode_enabled()

        def call(item: Tensor) -> Tensor:
            with torch.inference_mode(inference):
                return work(item, self._workspace())

        return list(self._pool.map(call, items))

    def _workspace(self) -> Workspace:
        if not hasattr(self._own, "workspace"):
            self._own.workspace = Workspace()
        workspace: Workspace = self._own.workspace
        return workspace

    @staticmethod
    def _begin(all_began: threading.Barrier) -> None:
        torch.get_num_threads()  # the first call in a thread sets the common number, and would undo the next line
        torch.set_num_threads(1)
        all_began.wait()
