"""Repositories on the Hub: fetching files through the client's cache, downloading, uploading."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.new_directory import new_directory
from prima_features.files.safe import read_text
from prima_features.files.text import bounded
from prima_features.hub.client import talking

log = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_CLIENT_FOLDER = ".cache"


def split_revision(name: str, revision: str | None = None) -> tuple[str, str | None]:
    """OWNER/NAME and the revision of `OWNER/NAME[@REVISION]`.

    Raises:
        UsageError: no Hub id, or another revision in the name than next to it.
    """
    hub_id, _, inside = name.partition("@")
    if not _HUB_ID.fullmatch(hub_id) or not _is_allowed(hub_id):
        raise UsageError(f"{bounded(name, 128)} is not a Hub id: write OWNER/NAME or OWNER/NAME@REVISION")
    if inside and revision and inside != revision:
        raise UsageError(f"{name} contains a revision other than {revision}: give only one")
    return hub_id, revision or inside or None


def _is_allowed(hub_id: str) -> bool:
    """Whether the Hub's client takes the name: at most 96 characters, not every dot and hyphen."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(hub_id)
    except HFValidationError:
        return False
    return True


def fetch(hub_id: str, revision: str | None, names: Sequence[str]) -> Path:
    """The cached snapshot of a Hub model that holds some files; what is not in the cache is downloaded.

    A cached file is taken without asking the Hub whether there is a newer one.

    Raises:
        UsageError: the Hub does not have them or cannot be reached.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    # Not hf_hub_download with local_files_only, which may ask the Hub about other things all the same.
    cached = [try_to_load_from_cache(hub_id, name, revision=revision) for name in names]
    found = [Path(path) for path in cached if isinstance(path, str)]
    if len(found) < len(names):
        log.info("%s is not in the Hub cache: downloading it", hub_id)
        with talking(hub_id, revision):
            found = [Path(hf_hub_download(hub_id, name, revision=revision)) for name in names]
        for path in found:
            _check_content(path, path.resolve().name, hub_id)
    return found[0].parent


def fetch_files(
    hub_id: str, revision: str | None, names: Sequence[str], folder: Path, called: str = ""
) -> None:
    """Download files of a repository into a folder, under their names there. Whole ones are not downloaded again.

    Args:
        hub_id: the repository.
        revision: branch, tag or commit.
        names: of the files.
        folder: existing.
        called: what `prima weights download` calls the model; see `client.talking`.

    Raises:
        UsageError: the Hub does not have them, refuses them, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    for name in names:
        with talking(hub_id, revision, called):
            path = Path(hf_hub_download(hub_id, name, revision=revision, local_dir=folder))
        _check_content(path, _tag(folder, name), hub_id)


def has_file(hub_id: str, revision: str | None, name: str) -> bool:
    """Whether a repository has a file.

    Raises:
        UsageError: the Hub refuses the repository, or cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with talking(hub_id, revision):
        try:
            get_hf_file_metadata(hf_hub_url(hub_id, name, revision=revision))
        except RemoteEntryNotFoundError:
            return False
        return True


def check_access(hub_id: str, revision: str | None, name: str) -> None:
    """Ask the Hub whether a file may be downloaded, without downloading it.

    Raises:
        UsageError: it may not, or the Hub cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with talking(hub_id, revision):
        get_hf_file_metadata(hf_hub_url(hub_id, name, revision=revision))


def snapshot(
    hub_id: str,
    revision: str | None,
    patterns: Sequence[str],
    needed: str,
    kind: str,
    output: Path | None = None,
) -> Path:
    """Fetch those files of a repository that match.

    Args:
        hub_id: OWNER/NAME.
        revision: branch, tag or commit; the default branch if None.
        patterns: names of the files wanted.
        needed: the file without which the repository is not what was asked for.
        kind: what was asked for, e.g. `a Prima model`.
        output: a new directory to put them in; the Hub client's cache if None.

    Returns:
        The directory.

    Raises:
        UsageError: the Hub does not have it or cannot be reached, it lacks `needed`, or `output` holds something.
    """
    from huggingface_hub import snapshot_download

    if output is None:
        with talking(hub_id, revision):
            made = Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns)))
        for path in filter(Path.is_file, made.iterdir()):
            _check_content(path, path.resolve().name, hub_id)
        _check_contains(made, needed, hub_id, kind)
        return made
    with new_directory(output) as made:
        with talking(hub_id, revision):
            snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns), local_dir=made)
        for path in filter(Path.is_file, made.iterdir()):
            _check_content(path, _tag(made, path.name), hub_id)
        shutil.rmtree(made / _CLIENT_FOLDER, ignore_errors=True)
        _check_contains(made, needed, hub_id, kind)
    return output


def upload(source: Path, hub_id: str, patterns: Sequence[str], message: str, private: bool = False) -> str:
    """Upload those files of a directory that match, in one commit, making the repository if there is none.

    Returns:
        The commit's address.

    Raises:
        UsageError: the Hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    with talking(hub_id, None):
        api = HfApi()
        api.create_repo(hub_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=hub_id, folder_path=source, allow_patterns=list(patterns), commit_message=message
        )
    return commit.commit_url


def _check_content(path: Path, tag: str, hub_id: str) -> None:
    """Refuse a large file that is not the one whose SHA-256 the Hub gave as its tag; the client checks its length only.

    Small files, and caches without links, have other tags, of which nothing is known here.
    """
    if re.fullmatch(r"[0-9a-f]{64}", tag) and sha256(path) != tag:
        path.resolve().unlink()
        raise UsageError(
            f"{path.name} of {hub_id} does not match its checksum on the Hub and was removed: "
            "try again, or check the proxy and HF_ENDPOINT"
        )


def _tag(made: Path, name: str) -> str:
    """The tag of a file that the client has put into a folder: the second line of what it noted of it."""
    try:
        noted = read_text(made / _CLIENT_FOLDER / "huggingface" / "download" / f"{name}.metadata")
    except (OSError, ValueError):
        return ""
    return [*noted.splitlines(), "", ""][1].strip()


def _check_contains(folder: Path, needed: str, hub_id: str, kind: str) -> None:
    if not (folder / needed).is_file():
        raise UsageError(f"{hub_id} contains no {needed}: it is not {kind}")
