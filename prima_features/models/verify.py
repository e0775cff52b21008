"""Comparing the files of a model directory with their recorded checksums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models import directory as files


@dataclass(frozen=True)
class CheckedFile:
    """A file of a model directory."""

    name: str
    sha256: str
    recorded: str | None
    """Checksum in SHA256SUMS; None where none was recorded."""

    @property
    def ok(self) -> bool:
        """Whether it is as recorded, or was not recorded."""
        return self.recorded in (None, self.sha256)


def check_files(directory: Path) -> list[CheckedFile]:
    """Compare the files of a model directory with its SHA256SUMS.

    Raises:
        UsageError: it is no model directory, or a recorded file is missing.
    """
    files.read_config(directory)
    recorded = files.read_checksums(directory)
    for name in (files.MODEL, *recorded):
        if not (directory / name).is_file():
            raise UsageError(f"{directory} lacks {name}: download or convert the model again")
    names = [name for name in files.CHECKED if (directory / name).is_file()]
    return [CheckedFile(name, sha256(directory / name), recorded.get(name)) for name in names]
