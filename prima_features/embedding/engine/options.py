"""How studies are read and encoded, whichever engine does it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from prima_features.volumes import ReadOptions


def usable_cores() -> int:
    """Cores that this process may use: a job's CPU affinity can be less than the whole machine."""
    # Not psutil: it has no affinity on macOS either, and takes 25 ms to import in each reader process.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cpus(processes: int) -> int:
    """CPUs that this process may use, divided among the run's processes on this machine; at least 1."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return max(1, usable_cores() // local)


Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class EngineOptions:
    """How studies are encoded."""

    read: ReadOptions = ReadOptions()
    batch_size: int | None = None
    """Most items in one call of the network, in the encoder's unit (`Prepared.weight`; Prima counts subvolumes). A GPU
    without enough memory takes fewer. None chooses by device, see `batch_for`."""
    precision: Precision = "auto"
    """Number type that the network computes in; `auto` is bf16 on a GPU that has it, else fp32."""
    workers: int | None = None
    """Processes that read studies while the network computes; 0 reads in this one, None chooses by cores."""
    devices: tuple[str, ...] = ()
    """Devices that encode, one window of studies each at a time; none is the one that the model is on."""
    keep_tokens: bool = False
    pictures: bool = True
    """Draw each series for the report."""

    def batch_for(self, device_type: str) -> int:
        """Items in one call on a device of torch's type `device_type`: as given, else as many as keep it busy."""
        return self.batch_size or (256 if device_type == "cuda" else 32)

    @property
    def n_workers(self) -> int:
        """Processes that read: as told, else one a core, four at most where the CPU also computes."""
        if self.workers is not None:
            return self.workers
        gpus = sum(device.startswith("cuda") for device in self.devices)
        return min(usable_cores(), 8 * gpus if gpus else 4)
