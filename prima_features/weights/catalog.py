"""Which models there are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prima_features._version import __version__
from prima_features.encoder.config import MODEL_TYPE
from prima_features.files.safe import SETTINGS_BYTES, read_bytes
from prima_features.weights import bundled, directory


@dataclass(frozen=True)
class KnownModel:
    """A model that can be named without downloading anything."""

    name: str
    revision: str
    directory: Path

    @property
    def megabytes(self) -> float:
        """Size of its files."""
        files = [self.directory / name for name in directory.FILES]
        return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def known_models() -> list[KnownModel]:
    """The bundled models, then those in the Hub client's cache."""
    inside = [KnownModel(name, __version__, bundled.path(name)) for name in bundled.names()]
    return [*inside, *_cached()]


def _cached() -> Iterator[KnownModel]:
    from huggingface_hub import constants, scan_cache_dir

    if not Path(constants.HF_HUB_CACHE).is_dir():
        return
    for repository in sorted(scan_cache_dir().repos, key=lambda repository: repository.repo_id):
        for revision in sorted(repository.revisions, key=lambda revision: revision.last_modified):
            if _is_prima(revision.snapshot_path):
                yield KnownModel(repository.repo_id, revision.commit_hash, revision.snapshot_path)


def _is_prima(snapshot: Path) -> bool:
    # Other models in the cache have a config.json too; only its words tell them apart.
    if not directory.is_model_directory(snapshot):
        return False
    try:
        text = read_bytes(snapshot / directory.CONFIG, SETTINGS_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return False
    return f'"model_type": "{MODEL_TYPE}"' in text
