"""The runs that made a file, as the page shows them: durations of the stages, and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prima_features.page import percent

STAGES = {
    "read": ("Reading", "reading and preparing series, summed over all reader processes"),
    "wait": ("Waiting for scans", "the network was idle"),
    "tokenizer": ("Tokenizer", "subvolumes to latents"),
    "transformers": ("Transformers", "tokens to vectors of series and studies"),
    "encode": ("Encoder", "voxels to vectors of series and studies"),
    "write": ("Writing", "parts and the embeddings file"),
}
_MOST_RUNS = 50


@dataclass(frozen=True)
class Bar:
    """One stage."""

    label: str
    meaning: str
    seconds: str
    share: str
    """Of all stages' time."""
    width: float
    """Percent of the longest."""


@dataclass(frozen=True)
class Course:
    """All runs."""

    sentence: str
    bars: tuple[Bar, ...]
    head: tuple[str, ...]
    runs: tuple[tuple[str, ...], ...]
    n_runs: int


def course(document: dict[str, Any]) -> Course:
    """Durations and settings of the runs in a run file."""
    total, runs = document["total"], document["runs"]
    stages = {
        name: seconds
        for name in STAGES
        if (seconds := total["stages"].get(name, 0)) or name not in ("tokenizer", "transformers", "encode")
    }
    total_time, longest = sum(stages.values()), max(stages.values(), default=0)
    bars = tuple(
        Bar(
            *STAGES[name],
            duration(seconds),
            percent(seconds, total_time),
            100 * seconds / longest if longest else 0,
        )
        for name, seconds in stages.items()
    )
    head, rows = _rows(runs[-_MOST_RUNS:])
    return Course(_sentence(total, runs), bars, head, rows, len(runs))


def duration(seconds: float) -> str:
    """`3 h 12 min`, `4 min 5 s`, `12.3 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {seconds % 60:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _sentence(total: dict[str, Any], runs: Sequence[dict[str, Any]]) -> str:
    n_runs = f"{len(runs)} runs" if len(runs) > 1 else "One run"
    embedded, seconds = total["counts"].get("embedded", 0), total["seconds"]
    text = f"{n_runs} took {duration(seconds)}{' in total' if len(runs) > 1 else ''}"
    if embedded and seconds:
        studies = "1 study" if embedded == 1 else f"{embedded:,} studies"
        text += f" for {studies}: {60 * embedded / seconds:,.1f} per minute"
    items, stages = total["counts"].get("items", 0), total["stages"]
    what = "tokenizer" if stages.get("tokenizer") else "encoder"
    if items and (encoding := stages.get("tokenizer") or stages.get("encode")):
        unit = next((run["unit"] for run in reversed(runs) if "unit" in run), "items")
        text += f". The {what} encoded {items:,} {unit}, {items / encoding:,.0f} per second"
    return text + "."


def _rows(runs: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    head = (
        "Started (UTC)",
        "What",
        "Ended",
        "Studies",
        "Failed",
        "Series",
        "Duration",
        "Studies per minute",
        "Peak memory",
    )
    rows = []
    for run in runs:
        counts, memory = run.get("counts", {}), run.get("peak_memory_bytes")
        shard = run.get("shard", "1/1")
        what = "merge" if run["kind"] == "merge" else "embed" if shard == "1/1" else f"shard {shard}"
        rows.append(
            (
                run["started"][:19].replace("T", " "),
                what,
                run["ended"],
                *(f"{counts[name]:,}" if name in counts else "" for name in ("embedded", "failed", "series")),
                duration(run["seconds"]),
                f"{run['per_minute']['studies']:,.1f}" if "per_minute" in run else "",
                f"{memory / 1e9:.1f} GB" if memory else "",
            )
        )
    return head, tuple(rows)


def settings(document: dict[str, Any] | None) -> list[tuple[str, str]]:
    """How the last run that embedded something was set and where it ran, as names and values."""
    runs = [run for run in (document or {}).get("runs", ()) if run["kind"] == "embed"]
    if not runs:
        return []
    last = next((run for run in reversed(runs) if run["counts"]["embedded"]), runs[-1])
    options, machine = last.get("options", {}), last.get("machine", {})
    shown = {
        "Source": options.get("source_format", ""),
        "Precision": f"{options.get('precision', '')} on {', '.join(options.get('devices', ()))}",
        "Reader processes": str(options.get("workers", 0)),
        "Machine": f"{machine.get('processor', '')}, {machine.get('cores', '')} cores, {machine.get('system', '')}",
        "Versions": ", ".join(f"{name} {number}" for name, number in last.get("versions", {}).items()),
    }
    return [(name, value) for name, value in shown.items() if value]
