"""Whether a checkpoint belongs to a run: the same settings, the same data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.safe import load_json
from prima_features.pretraining.settings import Training

FREE = frozenset({
    "output", "device", "prefetch", "readers", "nan_limit", "export", "export_type", "chunk", "model",
    "data.source", "data.reports", "data.cache", "data.workers", "data.embeddings", "data.labels", "data.participants",
    "data.sessions", "text.source",
})  # fmt: skip
FREE_TABLES = ("log.", "checkpoint.", "validation.")
"""Settings and tables that are not recorded, and that a resumed run may change: they do not change the numbers, or
name data and models whose content is compared. A path or a participant can tell a patient's name, and a checkpoint
must not."""


def settings_record(settings: Training) -> str:
    """The settings that matter, as JSON, for a checkpoint."""
    flat = dict(_flat(asdict(settings)))
    free = FREE | settings.free
    bound = {key: value for key, value in flat.items() if key not in free and not key.startswith(FREE_TABLES)}
    return json.dumps(bound, sort_keys=True)


def check_settings(record: str, settings: Training, folder: Path) -> None:
    """Refuse to go on from a checkpoint of a run with other settings.

    Args:
        record: `settings_record` of the checkpoint.
        settings: of this run.
        folder: of the run, for the message.

    Raises:
        UsageError: with each setting that differs; or the record is damaged.
    """
    new = json.loads(settings_record(settings))
    try:
        old = load_json(record, finite=False)
        if not isinstance(old, dict):
            raise ValueError("is not a JSON object")
    except ValueError as error:
        raise UsageError(
            f"{folder} has a checkpoint whose settings cannot be read (its record {error}): start over with --fresh"
        ) from error
    # A setting that a later release has brought had its default before; one that left meant nothing if it was off.
    old = {key: _default(settings, key) for key in new} | {
        key: value for key, value in old.items() if key in new or settings.moved.get(key, MISSING) != value
    }
    changed = [
        f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if changed:
        raise _other_run(folder, "; ".join(changed))


def check_data(recorded: str, digest: str, folder: Path) -> None:
    """Refuse to go on from a checkpoint of a run on other studies, or from another model.

    Raises:
        UsageError: the hashes differ.
    """
    if recorded != digest:
        raise _other_run(folder, "the studies, or the model it starts from, are others")


def _default(settings: Any, key: str) -> Any:
    """The default of a setting; None where it has none, as the sizes in `network`."""
    first, _, rest = key.partition(".")
    if rest:
        return _default(getattr(settings, first), rest) if is_dataclass(settings) else None
    known = {field.name: field.default for field in fields(settings)} if is_dataclass(settings) else {}
    default = known.get(first, MISSING)
    return None if default is MISSING else default


def _other_run(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"{folder} holds a run with other settings ({what}): set them back, name another output, or start anew with "
        "--fresh"
    )


def _flat(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value
