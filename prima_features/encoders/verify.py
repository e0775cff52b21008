"""Checking a model directory: recorded checksums, and that every part loads."""

from __future__ import annotations

from pathlib import Path

from prima_features.encoders.registry import load_encoder
from prima_features.errors import UsageError
from prima_features.models.directory import CHECKSUMS
from prima_features.models.verify import CheckedFile, check_files


def verify(directory: Path) -> tuple[list[CheckedFile], list[str]]:
    """Check a model directory: `check_files`, then load every part.

    Returns:
        The files, and what was loaded, in words.

    Raises:
        UsageError: a file is missing, is not as recorded, or does not load.
    """
    checked = check_files(directory)
    if bad := [file.name for file in checked if not file.ok]:
        raise UsageError(
            f"the content of {', '.join(bad)} in {directory} does not match {CHECKSUMS}: download the model again"
        )
    return checked, load_encoder(directory).check_parts()
