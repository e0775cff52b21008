"""Whether a checkpoint belongs to a run: the same settings, the same data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.pretraining.settings import Training

FREE = (
    "output", "device", "prefetch", "nan_limit", "export", "chunk", "log.", "checkpoint.", "validation.",
    "data.cache", "data.source", "data.reports", "data.embeddings", "data.labels", "model",
)  # fmt: skip
"""Settings that a resumed run may change: they do not change the numbers, or are paths whose content is compared."""


def settings_record(settings: Training) -> str:
    """The settings as JSON, for a checkpoint."""
    return json.dumps(asdict(settings), default=_plain, sort_keys=True)


def check_same(record: str, data: str, settings: Training, digest: str, folder: Path) -> None:
    """Refuse to go on from a checkpoint of another run.

    Args:
        record: `settings_record` of the checkpoint.
        data: its hash of the data.
        settings, digest: those of this run.
        folder: of the run, for the message.

    Raises:
        UsageError: with each setting that differs, or that the data do.
    """
    old, new = (dict(_flat(json.loads(text))) for text in (record, settings_record(settings)))
    changed = [
        f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(FREE)
    ]
    if not changed and data != digest:
        changed = ["the studies, or the model it starts from, are others"]
    if changed:
        raise UsageError(
            f"{folder} holds a run with other settings ({'; '.join(changed)}): set them back, name another output, "
            "or start anew with --fresh"
        )


def _flat(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no setting")
