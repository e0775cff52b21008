"""How many cores there are for this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may use, which a job's limit can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cpus(processes: int) -> int:
    """CPUs that this process may use, divided among the run's processes on this machine; at least 1."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return max(1, usable_cores() // local)
