"""Checkpoints: one file each, that appears whole, holds no code, and from which a run goes on exactly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import replacing

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_BEST = "best.pt"


class Checkpoints:
    """The checkpoints of a run.

    Each is written to a temporary name, fsynced and renamed, so that whatever has a checkpoint's name is whole,
    whenever the process is killed. They are read with torch's loader for tensors and plain containers, which runs
    nothing that a file says.

    Args:
        folder: where they lie; made at the first.
        keep: newest ones that are kept beside the best.
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
        """The newest checkpoint that loads, or None where there is none at all.

        Raises:
            UsageError: there are some, and none loads.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return load(path)
            except UsageError as error:
                logger.warning("%s; the one before it is taken", error)
        if paths:
            raise UsageError(f"no checkpoint in {self.folder} can be read: start anew with --fresh")
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
            raise OutputError(f"{self.folder} cannot be made ({error.strerror})") from error
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
        raise UsageError(f"{path} is not a whole checkpoint ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        raise UsageError(f"{path} is a checkpoint of another release")
    return state
