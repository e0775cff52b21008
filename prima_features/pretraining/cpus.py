"""How many processes one process of a run may start."""

from __future__ import annotations

import os

from prima_features.embedding.engine.cores import usable_cores


def share_of_cpus(processes: int) -> int:
    """CPUs that this process may use, divided among the run's processes on this machine; at least 1."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return max(1, usable_cores() // local)
