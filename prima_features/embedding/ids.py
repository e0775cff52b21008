"""`OUTPUT.ids.tsv`: whom the pseudonyms of a DICOM run stand for. The one file that identifies patients."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from prima_features.embedding.write import replacing
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


def write_ids(output: Path, studies: Iterable[Study], pseudonyms: Pseudonyms) -> None:
    """Write the link from pseudonyms to patients, with the secret key, for its owner only (mode 0600).

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(ids_path(output)) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(_COLUMNS)
            for study in studies:
                if (who := study.identity) is not None:
                    writer.writerow(
                        (study.id, who.patient_id, who.study_uid, who.folder, pseudonyms.key.hex())
                    )
