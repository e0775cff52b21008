"""Models on this machine and on the Hub: listing, downloading and uploading model directories."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from prima_features._version import __version__
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.hub.repositories import check_access, fetch_files, has_file, snapshot, upload
from prima_features.models import bundled, directory
from prima_features.models.published import HubFile, PublishedModel, WebFile


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


def known_models(model_types: Collection[str]) -> list[KnownModel]:
    """The bundled models, then those of the given types in the Hub client's cache."""
    inside = [KnownModel(name, __version__, bundled.path(name)) for name in bundled.names()]
    return [*inside, *_cached(model_types)]


def _cached(model_types: Collection[str]) -> Iterator[KnownModel]:
    from huggingface_hub import constants, scan_cache_dir

    if not Path(constants.HF_HUB_CACHE).is_dir():
        return
    for repository in sorted(
        scan_cache_dir(constants.HF_HUB_CACHE).repos, key=lambda repository: repository.repo_id
    ):
        for revision in sorted(repository.revisions, key=lambda revision: revision.last_modified):
            if _is_model(revision.snapshot_path, model_types):
                yield KnownModel(repository.repo_id, revision.commit_hash, revision.snapshot_path)


def _is_model(folder: Path, model_types: Collection[str]) -> bool:
    # Other models in the cache have a config.json, too.
    if not directory.is_model_directory(folder):
        return False
    try:
        return directory.read_config(folder)["model_type"] in model_types
    except UsageError:
        return False


def download(hub_id: str, revision: str | None = None, output: Path | None = None) -> Path:
    """Fetch a whole model, text tower and heads included; see `snapshot`."""
    return snapshot(hub_id, revision, directory.FILES, directory.MODEL, "a model", output)


def drive_file(drive_id: str, output: Path, on_bytes: Callable[[int, int | None], None]) -> None:
    """Fetch a public file of Google Drive; see `hub.web.download`."""
    from prima_features.hub.web import download

    download(drive_id, output, on_bytes=on_bytes)


def fetch_published(
    model: PublishedModel,
    folder: Path,
    on_bytes: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Download the file of a published model, and the configuration that goes with it, and compare the checksum.

    Args:
        model: with a source on the Hub or at a public address.
        folder: existing; what is there from an earlier call is continued.
        on_bytes: of files that are not on the Hub, see `hub.web.download`.

    Returns:
        The file.

    Raises:
        UsageError: it cannot be downloaded, or is another file than the authors' checksum says.
    """
    from prima_features.hub.web import download_url

    source = model.source
    if isinstance(source, HubFile):
        fetch_files(source.repository, source.revision, (source.file, *source.others), folder, model.name)
        there = [one for one in source.optional if has_file(source.repository, source.revision, one)]
        fetch_files(source.repository, source.revision, there, folder, model.name)
    elif isinstance(source, WebFile):
        download_url(source.url, folder / source.file, on_bytes=on_bytes)
    else:
        raise UsageError(f"{model.name} has no single published file")
    path = folder / source.file
    if source.sha256 and (found := sha256(path)) != source.sha256:
        path.unlink()
        raise UsageError(
            f"{path.name} has the SHA-256 {found}, not {source.sha256} as expected, and was removed: the authors may "
            f"have changed it; see {source.page}"
        )
    return path


def check_gate(source: HubFile) -> None:
    """Ask the Hub whether the user's account may download a published file; raises `UsageError` if not."""
    check_access(source.repository, source.revision, source.file)


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
