"""`OUTPUT.run.json`: the records of all runs that made an output, and its failures by reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.record.journal import RECORD_SUFFIX, Record
from prima_features.files.disk import write_json
from prima_features.files.safe import MIB, load_json, read_text
from prima_features.studies.study import Failure

FORMAT, FORMAT_VERSION = "prima-run", 2
"""Version 2 counts `items` in the encoder's own `unit`; version 1 counted `subvolumes` (`_upgraded`)."""
_MOST_RECORDS = 1000
_MOST_FILES = 10_000
_MOST_BYTES = 64 * MIB
_MODEL = {
    "encoder": "encoder",
    "name": "model",
    "revision": "model_revision",
    "sha256": "model_sha256",
    "caveat": "caveat",
    "licence": "licence",
    "citation": "citation",
}


def run_path(output: Path) -> Path:
    """`OUTPUT.run.json` next to `OUTPUT.h5`."""
    return output.with_name(output.name.removesuffix(".h5") + ".run.json")


def write_run_file(output: Path, runs: Iterable[Record], failures: Sequence[Failure]) -> None:
    """Write `OUTPUT.run.json` for an output that is complete.

    Args:
        runs: records of all runs that made it; duplicates are dropped.
        failures: what is missing in it.

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
            "tokens": int(file.series_columns["n_tokens"].sum()),
            "studies_failed": len(_failed(failures) - set(file.study_columns["id"])),
            "studies_incomplete": len(_failed(failures) & set(file.study_columns["id"])),
        },
        "warnings": warnings_of(records),
        "flags": file.flags,
        "left_out": [_as_json(reason) for reason in grouped(failures)],
        "total": _total(records),
        "runs": records,
    }
    write_json(run_path(output), document, indent=1)


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
    if any(record["counts"].get("items") and "gflop" not in record["counts"] for record in embedding):
        total["counts"].pop("gflop", None)  # known of some runs only
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


def records_in(folder: Path, settings: str) -> list[Record]:
    """The records that processes have left in a parts folder, of runs with these settings, in order of time."""
    found = []
    for path in islice(folder.glob(f"*{RECORD_SUFFIX}"), _MOST_FILES):
        with suppress(OSError, ValueError):
            found.append(_upgraded(load_json(read_text(path, _MOST_BYTES))))
    return _in_time(
        record for record in found if _is_record(record) and record.get("settings_hash") == settings
    )


def earlier_records(output: Path, settings: str) -> list[Record]:
    """The records of an output that is there, of runs with these settings."""
    document = read_run_file(output) or {}
    return [record for record in document.get("runs", ()) if record.get("settings_hash") == settings]


def read_run_file(output: Path) -> Record | None:
    """An output's `run.json`; None if there is none that can be read."""
    try:
        document = load_json(read_text(run_path(output), _MOST_BYTES))
    except (OSError, ValueError):
        return None
    known = isinstance(document, dict) and document.get("format") == FORMAT
    if not known or document.get("format_version") not in (1, FORMAT_VERSION):
        return None
    runs, left_out, total = document.get("runs"), document.get("left_out"), _upgraded(document.get("total"))
    if not isinstance(runs, list) or not isinstance(left_out, list) or not _is_total(total):
        return None
    document |= {"format_version": FORMAT_VERSION, "total": total, "runs": list(map(_upgraded, runs))}
    return document if all(map(_is_record, document["runs"])) and all(map(_is_reason, left_out)) else None


def _upgraded(record: Any) -> Any:
    """A record or total of version 1 as one of version 2; everything else as it is."""
    if not isinstance(record, dict):
        return record
    made = dict(record)
    for name in ("counts", "per_minute"):
        if isinstance(counts := record.get(name), dict) and "subvolumes" in counts:
            made[name] = {("items" if key == "subvolumes" else key): value for key, value in counts.items()}
            by_prima = isinstance(stages := record.get("stages"), dict) and stages.get("tokenizer")
            made["unit"] = "subvolumes" if by_prima else "items"
    return made


def _is_record(record: Any) -> bool:
    """Whether it is the record of a run as this package writes it."""
    return (
        _is_total(record, stages=record.get("kind") == "embed" if isinstance(record, dict) else True)
        and record.get("kind") in ("embed", "merge")
        and all(isinstance(record.get(name), str) for name in ("id", "started", "ended", "settings_hash"))
        and all(isinstance(record.get(name, ""), str) for name in ("shard", "unit"))
        and isinstance(share := record.get("share", 1), int | float)
        and 0 <= share <= 1
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
    """Of each reason in a run file (`key`): whether it is a rule that leaves things out by design."""
    reasons = (document or {}).get("left_out", ())
    return {key(one["stage"], one["reason"], one["hint"]): one["by_design"] for one in reasons}


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ANY = "\u2026"


@dataclass(frozen=True)
class Reason:
    """Failures with one reason and one remedy."""

    stage: str
    reason: str
    """Numbers in which they differ are left out."""
    hint: str
    by_design: bool
    """A rule leaves such things out: nothing is wrong with them."""
    rows: int
    """Series, or whole studies, that were left out."""
    studies: tuple[str, ...]
    """Ids, each once."""


def grouped(failures: Iterable[Failure]) -> list[Reason]:
    """Failures by reason: what is wrong first, and then the most frequent."""
    groups: dict[tuple[object, ...], list[Failure]] = defaultdict(list)
    for one in failures:
        groups[(*key(one.stage, one.error, one.hint), one.defect)].append(one)
    reasons = [
        Reason(
            stage=members[0].stage,
            reason=_common([one.error for one in members]),
            hint=_common([one.hint for one in members]),
            by_design=not members[0].defect,
            rows=len(members),
            studies=tuple(dict.fromkeys(one.study for one in members if one.study)),
        )
        for members in groups.values()
    ]
    return sorted(reasons, key=lambda reason: (reason.by_design, -reason.rows))


def key(stage: str, error: str, hint: str) -> tuple[str, str, str]:
    """What failures of one reason have in common: all but numbers."""
    return stage, _pattern(error), _pattern(hint)


def _pattern(text: str) -> str:
    return _NUMBER.sub(_ANY, text)


def _common(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else _pattern(texts[0])
