"""The memory of this process and of all that it started."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_PAUSE = 1.0
"""Seconds between two looks."""


class PeakMemory:
    """Looks once a second, from a thread, at what the process and all below it hold, and keeps the most.

    Only Linux tells this without help. What came and went between two looks is not seen.
    """

    def __init__(self, pause: float = _PAUSE) -> None:
        self.bytes: int | None = None
        """The most that was seen so far; None where the system does not tell."""
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, and no more."""
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Look now."""
        if found := tree_memory(os.getpid()):
            self.bytes = max(self.bytes or 0, found)

    def _watch(self) -> None:
        while True:
            self.look()
            if self._over.wait(self._pause):
                return self.look()


def tree_memory(pid: int) -> int:
    """Bytes in memory of a process and all below it, a page that n of them share counted as 1/n in each (PSS).

    0 if /proc does not say.
    """
    # psutil reads the state of every process of the machine to find children: 39 ms a look with 400 of them, not 1 ms.
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with suppress(OSError, ValueError):  # it has ended meanwhile
            for file in Path(f"/proc/{one}/task").glob("*/children"):
                waiting += map(int, file.read_text().split())
            total += 1024 * _proportional_kb(Path(f"/proc/{one}/smaps_rollup").read_text())
    return total


def _proportional_kb(rollup: str) -> int:
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
