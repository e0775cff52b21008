"""Reading a probe's directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.probes.persistence.document import Document, read_document
from prima_features.probes.persistence.files import check_size
from prima_features.probes.persistence.layout import (
    DOCUMENT,
    MAX_ARRAYS_BYTES,
    MAX_DOCUMENT_BYTES,
    SHARED,
    SUBJECTS,
)
from prima_features.probes.persistence.model import restore
from prima_features.probes.probe import Probe


def load(folder: Path) -> Probe:
    """Read a probe. Runs no code from its files, and refuses any that is not as it was written.

    Raises:
        UsageError: the folder holds no probe, one of a newer release, or a damaged one.
    """
    document = read_document(folder)
    _check_files(folder, document)
    probe = Probe(document.task, document.recipe)
    fitted = restore(folder, document)
    probe.fitted = replace(fitted, training=replace(document.training, subject_digests=_subjects(folder)))
    return probe


def is_probe(folder: Path) -> bool:
    """Whether a folder has what every probe has."""
    return (folder / DOCUMENT).is_file()


def locate(name: str | Path) -> Path:
    """The directory of a probe.

    Args:
        name: a directory, or `OWNER/NAME[@REVISION]` of a probe on the Hub; what is not in the Hub's cache is
            downloaded.

    Raises:
        UsageError: it is neither, or the Hub does not have it.
    """
    folder = Path(name)
    if folder.exists() or str(name).count("/") != 1:
        if not is_probe(folder):
            raise UsageError(f"{folder} holds no {DOCUMENT}: expected a folder that prima probe fit made")
        return folder
    from prima_features.hub import repositories as hub

    hub_id, revision = hub.split_revision(str(name))
    return hub.snapshot(hub_id, revision, SHARED, DOCUMENT, "a probe")


def _check_files(folder: Path, document: Document) -> None:
    for name, recorded in document.files.items():
        check_size(folder / name, MAX_ARRAYS_BYTES)
        if sha256(folder / name) != recorded:
            raise UsageError(
                f"{folder / name} is not the file that the probe was saved with: the probe is damaged or was changed"
            )


def _subjects(folder: Path) -> tuple[str, ...]:
    path = folder / SUBJECTS
    if not path.exists():
        return ()
    check_size(path, MAX_DOCUMENT_BYTES)
    return tuple(path.read_text(encoding="ascii", errors="replace").split())
