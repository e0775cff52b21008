"""Checkpoints: one file each, written atomically and without code; and the check that one belongs to a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import replacing
from prima_features.files.safe import load_json
from prima_features.pretraining.settings import Training

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_BEST = "best.pt"


class Checkpoints:
    """The checkpoints of a run.

    Each is written under a temporary name, fsynced and renamed, so that a checkpoint is always complete,
    whenever the process is killed. They are read with torch's loader for tensors and plain containers, which executes
    no code from the file.

    Args:
        folder: of the checkpoints; created with the first.
        keep: number of newest checkpoints to keep, in addition to the best.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self._keep = folder, keep

    def save(self, state: Mapping[str, Any], step: int) -> None:
        """Write the state after `step` steps, and drop what is older than the newest `keep`.

        Raises:
            OutputError: the disk is full or the folder cannot be written to.
        """
        self._write(self._path(step), state)
        for path in self.paths()[: -self._keep]:
            path.unlink(missing_ok=True)

    def save_best(self, state: Mapping[str, Any]) -> None:
        """Write the state of the best validation, over that of an earlier one. No run goes on from it."""
        self._write(self.folder / _BEST, state)

    def paths(self) -> list[Path]:
        """The checkpoints by their steps, oldest first; the best is not among them."""
        return sorted(self.folder.glob("step-*.pt"))

    def latest(self) -> dict[str, Any] | None:
        """The newest checkpoint that loads, or None if there is none.

        Raises:
            UsageError: there are checkpoints, but none loads.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return load(path)
            except UsageError as error:
                logger.warning("%s; using the previous one", error)
        if paths:
            raise UsageError(f"no checkpoint in {self.folder} can be read; start over with --fresh")
        return None

    def best(self) -> dict[str, Any] | None:
        """The state of the best validation, if there was one."""
        path = self.folder / _BEST
        return load(path) if path.exists() else None

    def clear(self) -> None:
        """Remove all, and what a killed process left half-written."""
        for path in [*self.paths(), self.folder / _BEST]:
            path.unlink(missing_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.pt"

    def _write(self, path: Path, state: Mapping[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot create {self.folder}: {error.strerror}") from error
        with replacing(path) as temporary:
            torch.save({"format_version": FORMAT_VERSION, **state}, temporary)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's state, on the CPU.

    Raises:
        UsageError: it is damaged, or of a newer release.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own
        raise UsageError(f"{path} is damaged or not a checkpoint ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        raise UsageError(f"{path} was written by an incompatible version of prima-features")
    return state


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
            f"{folder} has a checkpoint whose settings cannot be read (the record {error}); start over with --fresh"
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
        raise _other_run(folder, "the studies or the initial model differ")


def _default(settings: Any, key: str) -> Any:
    """The default of a setting; None if it has none, such as the sizes in `network`."""
    first, _, rest = key.partition(".")
    if rest:
        return _default(getattr(settings, first), rest) if is_dataclass(settings) else None
    known = {field.name: field.default for field in fields(settings)} if is_dataclass(settings) else {}
    default = known.get(first, MISSING)
    return None if default is MISSING else default


def _other_run(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"{folder} contains a run with different settings ({what}); restore them, choose another output, or start over "
        "with --fresh"
    )


def _flat(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value
