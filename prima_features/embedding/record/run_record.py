"""What happened: a record of each process's run, and `OUTPUT.run.json`, which tells of all that made a file.

While a run goes on, each process keeps its record in the parts folder, so that what was stopped, killed or shared
out is told of too. Whoever completes the output puts the records together. No record holds a host's name, nor a path
or a command where the source is DICOM.
"""

from __future__ import annotations

import json
import platform
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from prima_features._version import __version__
from prima_features.embedding.engine.options import usable_cores
from prima_features.embedding.engine.stages import StageTimes
from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.record.memory import PeakMemory
from prima_features.embedding.record.reasons import Reason, grouped, key
from prima_features.errors import PrimaError, StoppedError
from prima_features.files.disk import replacing
from prima_features.files.safe import MIB, load_json, read_text
from prima_features.files.text import printable_json
from prima_features.studies.study import Failure

FORMAT, FORMAT_VERSION = "prima-run", 1
Ended = Literal["running", "finished", "stopped", "failed"]
Record = dict[str, Any]
_PACKAGES = ("torch", "numpy", "scipy", "SimpleITK", "nibabel", "pydicom", "dcm2niix", "h5py", "safetensors")
_PAUSE = 60.0
"""Seconds between two times that the record is saved on the way."""
_SUFFIX = ".run"
_MOST_RECORDS = 1000
_MOST_FILES = 10_000
_MOST_BYTES = 64 * MIB


def run_path(output: Path) -> Path:
    """`OUTPUT.run.json` beside `OUTPUT.h5`."""
    return output.with_name(output.name.removesuffix(".h5") + ".run.json")


class Journal:
    """The record of this process's run, kept up to date in a parts folder.

    A context manager: on leaving, the record is saved with how the run ended, if the folder is still there.

    Attributes:
        times: where the time goes; whoever spends it adds to it.

    Args:
        folder: the parts.
        settings: hash of what the numbers depend on; records of others are not of the same output.
        facts: what else is to be in the record, JSON types.
    """

    def __init__(self, folder: Path, settings: str, facts: Record):
        self.times = StageTimes()
        self._folder, self._memory = folder, PeakMemory()
        self._began = self._saved = time.monotonic()
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
            n_series: 0 where it failed.
            here: whether this process has embedded it.
        """
        if not here:
            self._counts["kept"] += 1
            return
        self._counts["embedded" if n_series else "failed"] += 1
        self._counts["series"] += n_series
        if time.monotonic() - self._saved > _PAUSE:
            self.save("running")

    def save(self, ended: Ended) -> None:
        """Keep the record as it is now.

        Raises:
            OutputError: the disk is full or the folder cannot be written to.
        """
        self._saved = time.monotonic()
        with replacing(self._folder / (self._record["id"] + _SUFFIX)) as temporary:
            temporary.write_text(json.dumps(printable_json(self.record(ended))), encoding="utf-8")

    def record(self, ended: Ended) -> Record:
        """The record as it is now."""
        self._memory.look()
        seconds = time.monotonic() - self._began
        stages = asdict(self.times)
        work = {name.removeprefix("n_"): stages.pop(name) for name in ("n_subvolumes", "n_tokens")}
        return self._record | {
            "ended": ended,
            "seconds": round(seconds, 2),
            "counts": self._counts | work,
            "stages": {name: round(spent, 3) for name, spent in stages.items()},
            "per_minute": {
                name: round(60 * count / seconds, 2)
                for name, count in (
                    ("studies", self._counts["embedded"]),
                    ("series", self._counts["series"]),
                    ("subvolumes", work["subvolumes"]),
                )
            },
            "peak_memory_bytes": self._memory.bytes,
            "peak_gpu_memory_bytes": _peak_gpu_memory(),
        }


def new_record(kind: Literal["embed", "merge"]) -> Record:
    """The beginning of a record: when, on what machine, with which versions."""
    return {
        "id": secrets.token_hex(8),
        "kind": kind,
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),  # two runs may share a second
        "versions": {"prima-features": __version__, "python": platform.python_version()} | _versions(),
        "machine": {"system": _system(), "processor": _processor(), "cores": usable_cores()},
    }


def records_in(folder: Path, settings: str) -> list[Record]:
    """The records that processes have left in a parts folder, of runs with these settings, in order of time."""
    found = []
    for path in islice(folder.glob(f"*{_SUFFIX}"), _MOST_FILES):
        with suppress(OSError, ValueError):
            found.append(load_json(read_text(path, _MOST_BYTES)))
    return _in_time(
        record for record in found if _is_record(record) and record.get("settings_hash") == settings
    )


def earlier_records(output: Path, settings: str) -> list[Record]:
    """The records of an output that is there, of runs with these settings."""
    document = read_run_file(output) or {}
    return [record for record in document.get("runs", ()) if record.get("settings_hash") == settings]


def read_run_file(output: Path) -> Record | None:
    """An output's `run.json`; None where there is none that can be read."""
    try:
        document = load_json(read_text(run_path(output), _MOST_BYTES))
    except (OSError, ValueError):
        return None
    known = isinstance(document, dict) and document.get("format") == FORMAT
    if not known or document.get("format_version") != FORMAT_VERSION or not _is_total(document.get("total")):
        return None
    runs, left_out = document.get("runs"), document.get("left_out")
    if not isinstance(runs, list) or not isinstance(left_out, list):
        return None
    return document if all(map(_is_record, runs)) and all(map(_is_reason, left_out)) else None


def _is_record(record: Any) -> bool:
    """Whether it is the record of a run as this package writes it."""
    return (
        _is_total(record, stages=record.get("kind") == "embed" if isinstance(record, dict) else True)
        and record.get("kind") in ("embed", "merge")
        and all(isinstance(record.get(name), str) for name in ("id", "started", "ended", "settings_hash"))
        and isinstance(record.get("shard", ""), str)
        and all(_are(str | int | float, record.get(name, {})) for name in ("versions", "machine"))
        and _are_options(record.get("options", {}))
        and ("per_minute" not in record or "studies" in record["per_minute"])
        and _are(int | float, record.get("per_minute", {}))
        and (record["kind"] == "merge" or "embedded" in record["counts"])
    )


def _is_total(total: Any, stages: bool = True) -> bool:
    if not isinstance(total, dict) or not _are(int | float, {"seconds": total.get("seconds")}):
        return False
    memory = [total.get(name) or 0 for name in ("peak_memory_bytes", "peak_gpu_memory_bytes")]
    return (
        _are(int | float, dict(enumerate(memory)))
        and _are(int | float, total.get("counts"))
        and (not stages or _are(int | float, total.get("stages")))
    )


def _are_options(options: Any) -> bool:
    if not isinstance(options, dict):
        return False
    devices = options.get("devices", [])
    return isinstance(devices, list) and all(isinstance(one, str) for one in devices)


def _is_reason(reason: Any) -> bool:
    return (
        isinstance(reason, dict)
        and all(isinstance(reason.get(name), str) for name in ("stage", "reason", "hint"))
        and isinstance(reason.get("by_design"), bool)
    )


def _are(kind: Any, values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(value, kind) for value in values.values())


def by_design(document: Record | None) -> dict[tuple[str, ...], bool]:
    """Of each reason in a run file (`reasons.key`): whether it is a rule that leaves things out by design."""
    reasons = (document or {}).get("left_out", ())
    return {key(one["stage"], one["reason"], one["hint"]): one["by_design"] for one in reasons}


def write_run_file(output: Path, runs: Iterable[Record], failures: Sequence[Failure]) -> None:
    """Write `OUTPUT.run.json` for an output that is complete.

    Args:
        runs: records of all runs that made it; one that occurs twice is told once.
        failures: what is not in it.

    Raises:
        OutputError: it cannot be written.
    """
    file = Embeddings(output)
    records = _in_time({record["id"]: record for record in runs}.values())[-_MOST_RECORDS:]
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {key: file.attributes[name] for key, name in _MODEL.items()},
        "preprocessing": file.preprocessing,
        "counts": {
            "studies": file.n_studies,
            "series": file.n_series,
            "tokens": int(file.series["n_tokens"].sum()),
            "studies_failed": len(_failed(failures) - set(file.studies["id"])),
            "studies_incomplete": len(_failed(failures) & set(file.studies["id"])),
        },
        "warnings": warnings_of(records),
        "flags": file.flags,
        "left_out": [_as_json(reason) for reason in grouped(failures)],
        "total": _total(records),
        "runs": records,
    }
    with replacing(run_path(output)) as temporary:
        temporary.write_text(
            json.dumps(printable_json(document), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )


_MODEL = {"name": "model", "revision": "model_revision", "sha256": "model_sha256"}


def warnings_of(records: Iterable[Record]) -> list[str]:
    """What the runs found suspicious about their sources (`Found.warnings`), each once."""
    return list(dict.fromkeys(warning for record in records for warning in record.get("warnings", ())))


def _total(records: Sequence[Record]) -> Record:
    """Sums over the runs; of memory, the most that one of them held."""
    embedding = [record for record in records if record["kind"] == "embed"]
    total: Record = {"seconds": round(sum(record["seconds"] for record in records), 2)}
    for group in ("counts", "stages"):
        names = dict.fromkeys(name for record in embedding for name in record[group])
        total[group] = {
            name: round(sum(record[group].get(name, 0) for record in embedding), 3) for name in names
        }
    total["counts"].pop("kept", None)  # of several runs, each counts what the others have done
    for name in ("peak_memory_bytes", "peak_gpu_memory_bytes"):
        total[name] = max((record.get(name) or 0 for record in records), default=0) or None
    return total


def _failed(failures: Iterable[Failure]) -> set[str]:
    return {failure.study for failure in failures if failure.defect and failure.study}


def _as_json(reason: Reason) -> Record:
    return asdict(reason) | {"studies": len(reason.studies)}


def _in_time(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record["started"])


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
