"""`OUTPUT.ids.tsv`: which patients the pseudonyms of a DICOM run stand for. The only file that identifies patients."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from prima_features.embedding.resume.claims import Claims
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.errors import UsageError
from prima_features.files.disk import replacing
from prima_features.files.paths import resolved
from prima_features.files.safe import TABLE_BYTES, read_text
from prima_features.files.text import STORED_CHARACTERS, bounded, from_cell, to_cell
from prima_features.studies.labels import Pseudonyms, split_id
from prima_features.studies.study import Identity, Study

_COLUMNS = ("study", "patient_id", "study_instance_uid", "folder", "day", "key")
_WITHOUT_DAY = tuple(name for name in _COLUMNS if name != "day")
"""Tables written before studies had a day."""
_KEY_BYTES = 32

Rows = dict[str, tuple[str, ...]]
"""Rows of the table by study, cells in the order of the columns."""


def ids_path(output: Path) -> Path:
    """`OUTPUT.ids.tsv` for `OUTPUT.h5`."""
    return output.with_name(output.name.removesuffix(".h5") + ".ids.tsv")


def load_pseudonyms(output: Path, keep_patient_id: bool = False) -> Pseudonyms:
    """The pseudonyms of an earlier run to this output, or new ones if there was none.

    Call `check_key` once the studies of the source are known.

    Raises:
        UsageError: the file of that name was not written by this tool, is damaged, or has several keys.
    """
    path = ids_path(output)
    if not path.exists():
        return Pseudonyms(keep_patient_id=keep_patient_id)
    rows = read_ids(path)
    keys = {row[-1].lower() for row in rows.values()}
    if len(keys) > 1:
        raise UsageError(
            f"{path} contains the keys of {len(keys)} runs, because prima merge wrote it; name another output, "
            f"and merge "
            "again"
        )
    return Pseudonyms(bytes.fromhex(keys.pop()), keep_patient_id)


def check_key(output: Path, pseudonyms: Pseudonyms, studies: Iterable[Study]) -> None:
    """Check that the key in `OUTPUT.ids.tsv`, if it exists, is the one that made the pseudonyms in it.

    Patients that share a PatientID, and visits that share a UID, have further text in their pseudonyms that the table
    does not keep, and texts in it are escaped and cut. A row of that kind proves nothing by itself; that a study of
    the source has its pseudonym does.

    Args:
        studies: of the source, under these pseudonyms.

    Raises:
        UsageError: it is another key.
    """
    path = ids_path(output)
    rows = _known_ids(path)
    if any(study.id in rows for study in studies) or any(_is_of(row, pseudonyms) for row in rows.values()):
        return
    subjects, sessions = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for study, patient_id, study_uid, *_ in rows.values():
        subject, session = split_id(study)
        subjects[patient_id].add(subject)
        sessions[study_uid].add(session)
    if any(
        len(subjects[patient_id]) == len(sessions[study_uid]) == 1 and _is_verbatim(patient_id + study_uid)
        for _, patient_id, study_uid, *_ in rows.values()
    ):
        raise UsageError(
            f"{path} contains a damaged key, which does not match the pseudonyms in the table; restore the file, or "
            "move it and name another output"
        )


def _is_of(row: tuple[str, ...], pseudonyms: Pseudonyms) -> bool:
    """Whether the key gives a row's pseudonyms."""
    study, patient_id, study_uid = row[:3]
    subject, session = split_id(study)
    return session == pseudonyms.session(study_uid) or subject in (
        pseudonyms.subject(patient_id),
        pseudonyms.unknown_subject(study_uid),
    )


def _is_verbatim(text: str) -> bool:
    """Whether texts of the table are surely as they were, neither escaped nor cut."""
    return "\\" not in text and len(text) < STORED_CHARACTERS


def read_ids(path: Path) -> Rows:
    """The rows of a table of identities.

    Raises:
        UsageError: it was not written by this tool, has no rows or different rows for one study, or contains an
            invalid key.
    """
    try:
        text = read_text(path, TABLE_BYTES, "utf-8-sig")
        header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
        known = tuple(header) in (_COLUMNS, _WITHOUT_DAY)
        if not known or not lines or any(len(line) != len(header) for line in lines):
            raise ValueError("other columns")
        if tuple(header) == _WITHOUT_DAY:
            lines = [[*line[:-1], "", line[-1]] for line in lines]
        rows = {line[0]: tuple(map(from_cell, line)) for line in lines}
        if len(rows) < len(set(map(tuple, lines))):
            raise ValueError("two rows of one study")
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            f"{path} is not a table of identities that an earlier run wrote; move it or name another output"
        ) from error
    for row in rows.values():
        _key(row[-1], path)
    return rows


def _known_ids(path: Path) -> Rows:
    """As `read_ids`; no rows if there is no table."""
    return read_ids(path) if path.exists() else {}


def earlier_pseudonyms(outputs: Iterable[Path], keep_patient_id: bool = False) -> Pseudonyms | None:
    """The pseudonyms of earlier runs to these outputs; None if there were none.

    The outputs of one run have the same key, so a study has the same id in all of them.

    Raises:
        UsageError: two of them have different keys, or as `load_pseudonyms`.
    """
    keys = {path: load_pseudonyms(output).key for output in outputs if (path := ids_path(output)).exists()}
    for output in outputs:
        path = _key_path(PartsFolder.of(output).folder)
        if not ids_path(output).exists() and path.exists():
            keys[path] = _key(path.read_text(errors="replace"), path)
    if not keys:
        return None
    (first, key), *others = keys.items()
    for path, other in others:
        if other != key:
            raise _other_key(first, path)
    return Pseudonyms(key, keep_patient_id)


def _other_key(one: Path, other: Path) -> UsageError:
    return UsageError(
        f"{one} and {other} contain different keys, so the same patient has different pseudonyms in the two outputs: "
        "embed these models in separate runs, or name another output to embed them together"
    )


def agree_on_pseudonyms(
    folders: Iterable[Path], known: Pseudonyms | None = None, keep_patient_id: bool = False
) -> Pseudonyms:
    """The same new pseudonyms for all processes that begin a run together: the first leaves its key for the others.

    Args:
        folders: where parts are kept. The key is in a file of its own in each, for its owner only, until the end.
        known: pseudonyms that other outputs of the run already have.

    Raises:
        UsageError: the file with the key is damaged, or another process began a run with another key.
        OutputError: a folder cannot be written to.
    """
    for folder in sorted(folders):  # in the same order in all processes
        path = _key_path(folder)
        with Claims(folder) as claims, claims.waiting_for("key"):
            if not path.exists():
                key = known.key.hex() if known is not None else secrets.token_hex(_KEY_BYTES)
                with replacing(path) as temporary, _open_private(temporary) as file:
                    file.write(key)
            found = Pseudonyms(_key(path.read_text(errors="replace"), path), keep_patient_id)
        if known is not None and found.key != known.key:
            raise UsageError(
                f"{path} contains another key than the other outputs of this run, because another process began to "
                "write it: wait until that process ends, or name another output"
            )
        known = found
    return known or Pseudonyms(keep_patient_id=keep_patient_id)


def forget_key(folder: Path) -> None:
    """Delete the key of a run that found nothing, with its folder, unless other processes or parts are in it."""
    with suppress(OSError):
        if [entry.name for entry in folder.iterdir()] == [_key_path(folder).name]:
            _key_path(folder).unlink()
            folder.rmdir()


def add_ids(
    output: Path, studies: Iterable[Study], pseudonyms: Pseudonyms, scratch: Path | None = None
) -> Rows:
    """Add the link from pseudonyms to patients, with the secret key, to `OUTPUT.ids.tsv` (mode 0600).

    Rows of other studies stay: the output that is there may hold them until it is replaced.

    Args:
        scratch: folder of the temporary file (see `replacing`). One that is deleted in the end leaves no trace of
            patients if this process is killed.

    Returns:
        The rows that were there.

    Raises:
        UsageError: the file of that name was not written by this tool.
        OutputError: it cannot be written.
    """
    path = ids_path(output)
    before = _known_ids(path)
    key = pseudonyms.key.hex()
    added = {
        study.id: (study.id, who.patient_id, who.study_uid, who.folder, _day(who), key)
        for study in studies
        if (who := study.identity) is not None
    }
    write_ids(output, before | added, scratch)
    return before


def keep_ids(output: Path, studies: Collection[str], scratch: Path | None = None) -> None:
    """Drop the rows of studies that a complete output does not hold.

    Raises:
        UsageError, OutputError: as `add_ids`.
    """
    rows = _known_ids(ids_path(output))
    kept = {study: row for study, row in rows.items() if study in studies}
    if kept and len(kept) < len(rows):
        write_ids(output, kept, scratch)


def write_ids(output: Path, rows: Mapping[str, tuple[str, ...]], scratch: Path | None = None) -> None:
    """Write the table for its owner only (mode 0600); without rows there is none.

    Raises:
        OutputError: it cannot be written.
    """
    if not rows:
        with suppress(OSError):
            ids_path(output).unlink(missing_ok=True)
        return
    path = ids_path(output)
    if path.is_symlink():  # such as to an encrypted disk, where it is to stay
        path, scratch = resolved(path), None
    with replacing(path, scratch) as temporary, _open_private(temporary) as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([to_cell(bounded(cell)) for cell in row] for row in rows.values())


def ids_of(path: Path) -> Path:
    """The table next to an embeddings file or a folder of parts."""
    return ids_path(path.with_name(path.name.removesuffix(".parts")))


def keys_of(folder: Path) -> frozenset[str]:
    """The keys of the table next to a folder of parts; none if there is no table.

    Raises:
        UsageError: it was not written by this tool.
    """
    path = ids_of(folder)
    return frozenset(row[-1].lower() for row in _known_ids(path).values())


def merge_ids(output: Path, inputs: Iterable[Path], studies: Collection[str]) -> None:
    """Write the table of a merged output: what is there, and the rows of its studies in the tables of the inputs.

    An input that is a link has its table next to the file that it leads to.

    Args:
        inputs: embeddings files and folders of parts.
        studies: ids of the studies in the merged output.

    Raises:
        UsageError: a table was not written by this tool.
        OutputError: it cannot be written.
    """
    tables = [ids_of(one) for path in inputs for one in (path, path.resolve())]
    rows = _known_ids(ids_path(output))
    for path in dict.fromkeys(tables):
        if path.exists() and path != ids_path(output):
            rows |= {study: row for study, row in read_ids(path).items() if study in studies}
    if rows:
        write_ids(output, rows)


def _day(who: Identity) -> str:
    return "" if who.day is None else str(who.day)


def _key_path(folder: Path) -> Path:
    return folder / "key"


def _key(text: str, path: Path) -> bytes:
    """A key in hexadecimal digits. A short one, or one of zeros, could be guessed."""
    with suppress(ValueError):
        if len(key := bytes.fromhex(text)) == _KEY_BYTES and len(set(key)) >= _KEY_BYTES // 4:
            return key
    raise UsageError(
        f"{path} contains a damaged key (expected {2 * _KEY_BYTES} hexadecimal digits); restore the file, or "
        f"move it and "
        "name another output"
    )


def _open_private(path: Path) -> TextIO:
    """A new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")
