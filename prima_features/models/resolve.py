"""Resolving names of models to model directories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prima_features._version import __version__
from prima_features.errors import UsageError
from prima_features.files.paths import expanded, is_file, is_folder
from prima_features.hub import repositories as hub
from prima_features.models import bundled, directory
from prima_features.models.published import CONVERTIBLE

LOCAL_REVISION = "local"


@dataclass(frozen=True)
class ModelSource:
    """Name, revision and directory of a model."""

    name: str
    """Bundled name, Hub id, or the directory's own name."""
    revision: str
    """Commit on the Hub, this package's version for a bundled model, or `local`."""
    directory: Path


def resolve(
    name: str | Path, revision: str | None = None, files: Sequence[str] = (directory.CONFIG, directory.MODEL)
) -> ModelSource:
    """Find a model: first as a directory, then inside the package, then on the Hub, its cache first.

    Args:
        name: path, bundled name, or Hub id, the latter also as `OWNER/NAME@REVISION`.
        revision: of a Hub id.
        files: what is needed of it; only that is downloaded.

    Raises:
        UsageError: there is no such model, or it lacks a file.
    """
    path = expanded(Path(name))
    if is_folder(path):
        found = ModelSource(path.resolve().name, LOCAL_REVISION, path)
    elif str(name) in bundled.names():
        found = ModelSource(str(name), __version__, bundled.path(str(name)))
    else:
        return _from_hub(name, path, revision, files)
    if revision is not None:
        raise UsageError(f"{name} is not on the Hub, so it has no revision {revision!r}: leave it out")
    for file in files:
        if not (found.directory / file).is_file():
            raise UsageError(
                f"{name} contains no {file}: give a model directory that `prima weights convert` made"
            )
    return found


def is_on_hub(name: str | Path) -> bool:
    """Whether a name is a Hub id, since it is neither a directory nor a bundled model. The Hub is not asked.

    Raises:
        UsageError: it is none of these.
    """
    path = expanded(Path(name))
    if is_folder(path) or str(name) in bundled.names():
        return False
    _hub_id(name, path)
    return True


def _hub_id(name: str | Path, path: Path, revision: str | None = None) -> tuple[str, str | None]:
    """Hub id and revision of a name that is no directory."""
    if is_file(path):
        raise UsageError(
            f"{name} is a file: give a model directory; `prima weights convert` makes one from a .pt file"
        )
    if path.is_absolute() or "/" not in str(name):
        known = ", ".join(bundled.names())
        if published := [row.name for row in CONVERTIBLE if row.name.casefold() == str(name).casefold()]:
            raise UsageError(
                f"{name} is a published model that is not in the package: run `prima weights download "
                f"{published[0]} --output {published[0]}` (or `prima weights convert`), and give that directory"
            )
        raise UsageError(
            f"no model {name}: give a directory, a bundled model ({known}), or a Hub id OWNER/NAME"
        )
    return hub.split_revision(str(name), revision)


def _from_hub(name: str | Path, path: Path, revision: str | None, files: Sequence[str]) -> ModelSource:
    hub_id, revision = _hub_id(name, path, revision)
    snapshot = hub.fetch(hub_id, revision, files)
    return ModelSource(hub_id, snapshot.name, snapshot)
