"""Sharing the cores: pieces of work in parallel, or one after the other with all threads for each.

Small products gain nothing from several threads and lose much if these have to wait for each other, on a busy
machine above all. So if memory allows it, each piece of work gets a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from prima_features.probes.linalg.rows import CHUNK_BYTES


@dataclass(frozen=True)
class Parallelism:
    """How many pieces of work run at once, and the BLAS threads of each."""

    workers: int
    threads: int

    @classmethod
    def plan(cls, n_pieces: int, bytes_each: int, bytes_allowed: int) -> Parallelism:
        """As many pieces at once as there are threads for BLAS and as memory allows.

        Args:
            n_pieces: pieces of work.
            bytes_each: memory that a piece needs in addition to two chunks of rows.
            bytes_allowed: for all that go on at once.
        """
        threads = max((library["num_threads"] for library in _blas().info()), default=1)
        room = bytes_allowed // (bytes_each + 2 * CHUNK_BYTES)
        workers = max(1, min(n_pieces, threads, room))
        return cls(workers, threads // workers)

    def limits(self) -> AbstractContextManager[Any]:
        """Limits the BLAS threads of the process; the limit is lifted at the end."""
        return nullcontext() if self.workers == 1 else _blas().limit(limits=self.threads)

    def run(self, work: Callable[[Any], None], pieces: Iterable[Any]) -> None:
        """Do all pieces of work. What they raise is raised here."""
        if self.workers == 1:
            for piece in pieces:
                work(piece)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(work, pieces))


def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")
