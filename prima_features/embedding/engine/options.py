"""Options of the engines, and the times that they measure."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
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
    """How studies are read and encoded."""

    read: ReadOptions = ReadOptions()
    batch_size: int | None = None
    """Maximum number of items in one call of the network, in the encoder's unit (`Prepared.weight`; Prima counts
    subvolumes). Reduced if GPU memory does not suffice. None depends on the device, see `batch_for`."""
    precision: Precision = "auto"
    """Number type that the network computes in; `auto` is bf16 on a GPU that has it, else fp32."""
    workers: int | None = None
    """Number of reader processes; 0 reads in the main process, None depends on the number of cores."""
    devices: tuple[str, ...] = ()
    """Devices to compute on, each with one window of studies at a time; empty for the model's own device."""
    keep_tokens: bool = False
    pictures: bool = True
    """Draw each series for the HTML report."""

    def batch_for(self, device_type: str) -> int:
        """Batch size on a device of torch's type `device_type`: as given, otherwise 256 on `cuda` and 32 on others."""
        return self.batch_size or (256 if device_type == "cuda" else 32)

    @property
    def n_workers(self) -> int:
        """Number of reader processes: `workers` if given, otherwise one per core, at most 4 on the CPU or 8 per GPU."""
        if self.workers is not None:
            return self.workers
        gpus = sum(device.startswith("cuda") for device in self.devices)
        return min(usable_cores(), 8 * gpus if gpus else 4)


Stage = Literal["read", "wait", "tokenizer", "transformers", "write"]


@dataclass
class StageTimes:
    """Seconds per stage, and the amount of work done in them. Engines add to it; `embed()` returns it."""

    read: float = 0.0
    """Reading and preparing series, summed over all processes."""
    wait: float = 0.0
    """The network had nothing to do because nothing was read yet."""
    tokenizer: float = 0.0
    """Prima: subvolumes to latents."""
    transformers: float = 0.0
    """Prima: sequence ViT, study ViT and the names."""
    encode: float = 0.0
    """All encoding, of encoders without these two stages."""
    write: float = 0.0
    """Parts, and the file made of them."""
    n_items: int = 0
    """Items that the network encoded, in the encoder's unit (`EncoderInfo.unit`)."""
    n_tokens: int = 0
    """Sum of `Prepared.n_tokens`."""
    gflop: float = 0.0
    """Operations of the networks, in 10^9 (`encoders.operations`); NaN if an encoder does not say."""

    @property
    def busy(self) -> float:
        """Seconds of work, without `wait`."""
        return self.read + self.tokenizer + self.transformers + self.encode + self.write

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the block's time by the clock to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.monotonic() - start)

    def add_encoding(self, by_stage: Mapping[str, float], total: float) -> None:
        """Add the time of encoding, by the stages that the encoder measured.

        Args:
            by_stage: seconds by name. If none of them is `tokenizer` or `transformers`, all the time is `encode`.
            total: seconds of encoding, by the clock.
        """
        known = {name: seconds for name, seconds in by_stage.items() if name in ("tokenizer", "transformers")}
        for name, seconds in known.items():
            setattr(self, name, getattr(self, name) + seconds)
        if not known:
            self.encode += total

    def add(self, other: StageTimes) -> None:
        """Add what another engine, process or machine measured."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
