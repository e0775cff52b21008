"""How many processes one process of a run may start."""

from __future__ import annotations

import os


def share_of_cpus(processes: int) -> int:
    """CPUs that this process may use, divided among the run's processes on this machine; at least 1."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cpus = os.cpu_count() or 1
    return max(1, cpus // max(1, local))
