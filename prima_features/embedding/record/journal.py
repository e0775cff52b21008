"""The record of one process's run: its options, times, counts and memory, kept up to date in the parts folder.

Runs that were stopped or killed, and the shards of a run, leave their records there; `run_file` puts the records of all
runs together when the output is complete. No record contains a host name, nor a path or command if the source is DICOM.
"""

from __future__ import annotations

import math
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from prima_features._version import __version__
from prima_features.embedding.engine.options import EngineOptions, StageTimes, usable_cores
from prima_features.errors import PrimaError, StoppedError
from prima_features.files.disk import write_json

if TYPE_CHECKING:
    import torch

    from prima_features.embedding.resume.options import RunOptions
    from prima_features.studies import FindOptions, Found

Ended = Literal["running", "finished", "stopped", "failed"]
Record = dict[str, Any]
RECORD_SUFFIX = ".run"
"""Ending of a record's file in the parts folder."""
_PACKAGES = ("torch", "numpy", "scipy", "SimpleITK", "nibabel", "pydicom", "dcm2niix", "h5py", "safetensors")
_SAVE_INTERVAL = 60.0
"""Seconds between two saves while the run goes on."""
_LOOK_INTERVAL = 1.0
"""Seconds between two looks at the memory."""


class Journal:
    """The record of this process's run, kept up to date in a parts folder.

    A context manager: on leaving, the record is saved with how the run ended, if the folder is still there.

    Attributes:
        times: seconds per stage; each stage adds to it.

    Args:
        folder: the parts.
        settings: hash of the settings that change the vectors; records with another hash belong to another output.
        facts: further entries of the record, JSON types.
        together: the times of the journals of one run, one per output, to which this one is added.
    """

    def __init__(self, folder: Path, settings: str, facts: Record, together: list[StageTimes] | None = None):
        self.times = StageTimes()
        self._together = [] if together is None else together
        self._together.append(self.times)
        self._folder, self._memory = folder, PeakMemory()
        self._start = self._saved = time.monotonic()
        self._record = new_record("embed") | {"settings_hash": settings} | facts
        self._counts = {"embedded": 0, "failed": 0, "kept": 0, "series": 0}

    def __enter__(self) -> Journal:
        self._memory.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.stop()
        if self._folder.exists():
            with suppress(PrimaError):  # which must not hide the error that brought us here
                self.save("finished" if kind is None else _how(kind))

    def study_done(self, n_series: int, here: bool) -> None:
        """Count a study that is finished; save the record now and then.

        Args:
            n_series: 0 if it failed.
            here: whether this process has embedded it.
        """
        if not here:
            self._counts["kept"] += 1
            return
        self._counts["embedded" if n_series else "failed"] += 1
        self._counts["series"] += n_series
        if time.monotonic() - self._saved > _SAVE_INTERVAL:
            self.save("running")

    def save(self, ended: Ended) -> None:
        """Keep the record as it is now.

        Raises:
            OutputError: the disk is full or the folder cannot be written to.
        """
        self._saved = time.monotonic()
        write_json(self._folder / (self._record["id"] + RECORD_SUFFIX), self.record(ended), indent=None)

    def record(self, ended: Ended) -> Record:
        """The record as it is now."""
        self._memory.look()
        seconds = time.monotonic() - self._start
        stages = asdict(self.times)
        work = {name.removeprefix("n_"): stages.pop(name) for name in ("n_items", "n_tokens")}
        if math.isfinite(gflop := stages.pop("gflop")):
            work["gflop"] = round(gflop, 3)
        return self._record | {
            "ended": ended,
            "seconds": round(seconds, 2),
            **self._share(),
            "counts": self._counts | work,
            "stages": {name: round(seconds, 3) for name, seconds in stages.items()},
            "per_minute": {
                name: round(60 * count / seconds, 2)
                for name, count in (
                    ("studies", self._counts["embedded"]),
                    ("series", self._counts["series"]),
                    ("items", work["items"]),
                )
            },
            "peak_memory_bytes": self._memory.bytes,
            "peak_gpu_memory_bytes": _peak_gpu_memory(),
        }

    def _share(self) -> Record:
        """The fraction of the run's work that was done for this output, if there are others."""
        if len(self._together) == 1:
            return {}
        work = sum(times.busy for times in self._together)
        return {"share": round(self.times.busy / work if work else 1 / len(self._together), 4)}


def new_record(kind: Literal["embed", "merge"]) -> Record:
    """The beginning of a record: when, on what machine, with which versions."""
    return {
        "id": secrets.token_hex(8),
        "kind": kind,
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),  # two runs may share a second
        "versions": {"prima-features": __version__, "python": platform.python_version()} | _versions(),
        "machine": {"system": _system(), "processor": _processor(), "cores": usable_cores()},
    }


def options_record(
    found: Found, find: FindOptions, engine: EngineOptions, run: RunOptions, device: torch.device, dtype: str
) -> dict[str, Any]:
    """The options of a run, as JSON types.

    Of a selection only the number of labels is recorded: a label may be a PatientID.

    Args:
        found: the result of searching the source.
        device: the model's device, used if the options name none.
        dtype: number type of the stored vectors.
    """
    import torch

    from prima_features.embedding.engine.device import computation

    computes = computation(engine, device)
    special: Any = {"dicom": find.dicom, "bids": find.bids}.get(found.format)
    return {
        "source_format": found.format,
        "studies_found": len(found.studies),
        "participants_asked_for": len(find.selection.participants),
        "sessions_asked_for": len(find.selection.sessions),
        "find": asdict(special) if special is not None else {},
        "derivatives_given": len(find.derivatives),
        "level": "token" if engine.keep_tokens else "study",
        "dtype": dtype,
        "slice_axis": engine.read.slice_axis,
        "min_slices": engine.read.min_slices,
        "nan": engine.read.nan,
        "max_subvolumes_action": engine.read.max_subvolumes_action,
        "devices": [
            f"{one} ({torch.cuda.get_device_name(one)})" if one.type == "cuda" else str(one)
            for one in computes.devices
        ],
        "precision": str(computes.dtype).removeprefix("torch."),
        "workers": engine.n_workers,
        "batch_size": computes.batch_size,
        "threads": torch.get_num_threads(),
        "retry_failed": run.retry_failed,
        "force": run.force,
        "fail_fast": run.fail_fast,
        "pictures": engine.pictures,
    }


def _how(kind: type[BaseException]) -> Ended:
    return "stopped" if issubclass(kind, StoppedError | KeyboardInterrupt) else "failed"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _system() -> str:
    # platform.platform() and platform.processor() run a program that they look for in PATH.
    return f"{platform.system()}-{platform.release()}-{platform.machine()}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _peak_gpu_memory() -> int | None:
    import torch

    if not torch.cuda.is_initialized():
        return None
    return sum(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))


class PeakMemory:
    """Samples the memory of this process and its children once per second, in a thread, and keeps the maximum.

    Linux only. Peaks between two samples are missed.
    """

    def __init__(self, pause: float = _LOOK_INTERVAL) -> None:
        self.bytes: int | None = None
        """Maximum so far, in bytes; None if the system does not report it."""
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
