"""Hashes of what an embedding was made of: the settings, and a study's texts and files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from prima_features.studies.study import Study


def settings_hash(settings: dict[str, Any]) -> str:
    """Hash of the model, preprocessing and whatever else changes the numbers of every study; JSON types."""
    return _digest(settings)[:16]


def input_hash(study: Study, settings: str) -> str:
    """What a study's embedding depends on: the hash of the settings, and one of its texts and files.

    Of files, names, sizes and times are hashed, and not the folders they are in: the same scans may be mounted
    elsewhere on the next machine. A file that is not there is hashed as such.

    Args:
        settings: from `settings_hash`; the result begins with it.
    """
    files = []
    for series in study.series:
        states = [path.stat() if path.exists() else None for path in series.files]
        sizes = [(state.st_size, state.st_mtime_ns) if state else None for state in states]
        files.append((series.name, asdict(series.image), sizes))
    return f"{settings}:{_digest([study.id, study.subject, study.session, study.description, files])[:32]}"


def settings_of(input_hash: str) -> str:
    """The hash of the settings that an input hash begins with."""
    return input_hash.partition(":")[0]


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, default=_name)
    return hashlib.sha256(text.encode()).hexdigest()


def _name(path: PurePath) -> str:
    return path.name
