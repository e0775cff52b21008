"""Model directories to and from the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.hub.repositories import snapshot, upload
from prima_features.models import directory


def download(hub_id: str, revision: str | None = None, output: Path | None = None) -> Path:
    """Fetch a whole model, text tower and heads included; see `snapshot`."""
    return snapshot(hub_id, revision, directory.FILES, directory.MODEL, "a model", output)


def drive_file(drive_id: str, output: Path, on_bytes: Callable[[int, int | None], None]) -> None:
    """Fetch a public file of Google Drive; see `hub.drive.download`."""
    from prima_features.hub.drive import download

    download(drive_id, output, on_bytes=on_bytes)


def push(
    source: Path, hub_id: str, private: bool = False, check: Callable[[Path], object] = directory.read_config
) -> str:
    """Upload a model directory in one commit; see `upload`.

    Args:
        check: raises UsageError if the model cannot be used, such as `encoders.registry.load_encoder`.

    Raises:
        UsageError: no model directory, or as `upload`.
    """
    directory.read_config(source)
    if not directory.is_model_directory(source):
        raise UsageError(f"{source} contains no {directory.MODEL}: give a model directory")
    check(source)
    return upload(source, hub_id, directory.FILES, "Upload model", private)
