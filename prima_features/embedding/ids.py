"""`OUTPUT.ids.tsv`: whom the pseudonyms of a DICOM run stand for. The one file that identifies patients."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from prima_features.embedding.claims import Claims
from prima_features.embedding.disk import replacing
from prima_features.errors import UsageError
from prima_features.studies.pseudonyms import Pseudonyms
from prima_features.studies.study import Study

_COLUMNS = ("study", "patient_id", "study_instance_uid", "folder", "key")


def ids_path(output: Path) -> Path:
    """`OUTPUT.ids.tsv` beside `OUTPUT.h5`."""
    return output.with_name(output.name.removesuffix(".h5") + ".ids.tsv")


def load_pseudonyms(output: Path, keep_patient_id: bool = False) -> Pseudonyms:
    """The pseudonyms of an earlier run to this output, so that resuming gives the same; else new ones.

    Raises:
        UsageError: the file of that name is not one of ours, and must not be replaced.
    """
    path = ids_path(output)
    if not path.exists():
        return Pseudonyms(keep_patient_id=keep_patient_id)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            first = next(csv.DictReader(file, delimiter="\t"))
        return Pseudonyms(bytes.fromhex(first["key"]), keep_patient_id)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise UsageError(
            f"{path} is not a table of identities that an earlier run wrote; move it or name another output"
        ) from error


def agree_on_pseudonyms(folder: Path, keep_patient_id: bool = False) -> Pseudonyms:
    """The same new pseudonyms for all processes that begin a run together: the first leaves its key for the others.

    Args:
        folder: where parts are kept. The key is in a file of its own there, for its owner only, until the end.

    Raises:
        OutputError: the folder cannot be written to.
    """
    path = _key_path(folder)
    with Claims(folder) as claims, claims.waiting_for("key"):
        if not path.exists():
            with replacing(path) as temporary, _open_private(temporary) as file:
                file.write(secrets.token_hex(32))
        return Pseudonyms(bytes.fromhex(path.read_text()), keep_patient_id)


def forget_key(folder: Path) -> None:
    """Delete the key of a run that found nothing, with its folder, unless other processes or parts are in it."""
    with suppress(OSError):
        if [entry.name for entry in folder.iterdir()] == [_key_path(folder).name]:
            _key_path(folder).unlink()
            folder.rmdir()


def write_ids(
    output: Path, studies: Iterable[Study], pseudonyms: Pseudonyms, scratch: Path | None = None
) -> None:
    """Write the link from pseudonyms to patients, with the secret key, for its owner only (mode 0600).

    Args:
        scratch: folder of the temporary file (see `replacing`). One that is deleted in the end leaves no trace of
            patients where this process is killed.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(ids_path(output), scratch) as temporary, _open_private(temporary) as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for study in studies:
            if (who := study.identity) is not None:
                writer.writerow((study.id, who.patient_id, who.study_uid, who.folder, pseudonyms.key.hex()))


def _key_path(folder: Path) -> Path:
    return folder / "key"


def _open_private(path: Path) -> TextIO:
    """A new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")
