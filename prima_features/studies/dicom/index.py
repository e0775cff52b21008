"""`OUTPUT.index`: what the files of a DICOM tree contained, remembered between runs for as long as they do not change.

The unit is the examination (all files of one StudyInstanceUID), because nothing smaller can be judged by itself: it is
searched again if one of its files changed, disappeared or was added. Other examinations are not read again.

The index refers to files by number and contains neither paths, PatientIDs nor UIDs: these are read again from one file
per examination. It is valid for one key of pseudonyms, by which it is signed, so that a damaged or foreign file is
never used.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from prima_features.errors import OutputError
from prima_features.files.disk import replacing
from prima_features.files.safe import MIB, open_regular, read_bytes
from prima_features.studies.dicom.examinations import Examination
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.identity import person_of
from prima_features.studies.dicom.read import Unusable, read_headers
from prima_features.studies.dicom.rules import DicomOptions
from prima_features.studies.files import walk_status
from prima_features.studies.labels import NAMELESS, Pseudonyms, is_named
from prima_features.studies.study import DicomFrames, DicomSlices, Failure, Identity, Series, Study

logger = logging.getLogger(__name__)

LEAST_FILES = 1_000
"""Smaller trees are not remembered: they are read in less than a second."""
_UNSETTLED_NS = 2_000_000_000
"""A file that changed this shortly before it was read may change again without another time: some disks keep times of
two seconds."""
_MOST_BYTES = 1024 * MIB
_FORMAT, _FORMAT_VERSION = "prima-index", 3
_STATE_BYTES = 12
_UNKNOWN_STATE = bytes(_STATE_BYTES)
_START = re.compile(rb"[0-9a-f]{64}\n\{")


@dataclass
class Listing:
    """The files of a tree and their states."""

    names: list[str] = field(default_factory=list)
    """Paths of the files, as strings."""
    states: list[bytes] = field(default_factory=list)
    """Digest of each file's path, size, times and inode, with the secret key; `_UNKNOWN_STATE` for a file that changed
    shortly before or while it was listed."""
    n_unreadable: int = 0
    """Folders that cannot be listed, and broken links."""
    _paths: dict[int, Path] = field(default_factory=dict)

    def file(self, number: int) -> Path:
        """Path of a file. Made when it is needed, because that takes longer than listing it."""
        if (path := self._paths.get(number)) is None:
            path = self._paths[number] = Path(self.names[number])
        return path


@dataclass(frozen=True)
class Known:
    """An examination whose files have not changed."""

    examination: Examination
    files: Sequence[int]
    """Numbers of all its files."""


@dataclass(frozen=True)
class Remembered:
    """What is known of the files of a tree, by their numbers."""

    examinations: Sequence[Known] = ()
    unusable: Mapping[int, Unusable] = field(default_factory=dict)
    """Files that give no header."""
    is_current: bool = False
    """Whether the index states exactly the files of the tree."""

    def unread(self, n_files: int) -> list[int]:
        """Numbers of the files of which nothing is known."""
        known = set(self.unusable).union(*(one.files for one in self.examinations))
        return [number for number in range(n_files) if number not in known]


def list_tree(root: Path, key: bytes) -> Listing:
    """List the regular files below a folder, in the order in which they are read."""
    listing = Listing()
    limit = time.time_ns() - _UNSETTLED_NS

    def count_unreadable() -> None:
        listing.n_unreadable += 1

    keyed = hashlib.blake2b(key=key[:64], digest_size=_STATE_BYTES)
    for name, status in walk_status(root, count_unreadable):
        listing.names.append(name)
        if max(status.st_mtime_ns, status.st_ctime_ns) > limit:
            listing.states.append(_UNKNOWN_STATE)
            continue
        digest = keyed.copy()
        state = (
            f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_dev}"
        )
        digest.update(os.fsencode(name) + state.encode())
        listing.states.append(digest.digest())
    return listing


def recall(path: Path, listing: Listing, options: DicomOptions, pseudonyms: Pseudonyms) -> Remembered:
    """What an earlier run with the same options and rules found in files that have not changed.

    A file that is damaged, or signed by another key, is ignored with a warning.
    """
    if not _is_index(path):
        return Remembered()
    try:
        signature, _, body = read_bytes(path, _MOST_BYTES).partition(b"\n")
        if not hmac.compare_digest(signature, _sign(body, pseudonyms.key)):
            raise ValueError("not signed by this key")
        document = json.loads(body)
        if document["bound"] != _bound(options, pseudonyms):
            return Remembered()
        return _select(document, listing)
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.debug("%s is not used", path, exc_info=error)
        logger.warning("%s is damaged or belongs to another output; the source is searched again", path.name)
        return Remembered()


def _select(document: Mapping[str, Any], listing: Listing) -> Remembered:
    """What a document states of files that have not changed."""
    number = {state: i for i, state in enumerate(listing.states)}
    number.pop(_UNKNOWN_STATE, None)
    states = bytes.fromhex(document["states"])
    now = [number.get(states[start : start + _STATE_BYTES]) for start in range(0, len(states), _STATE_BYTES)]
    known: list[Known] = []
    for one in document["examinations"]:
        files = [i for i in map(now.__getitem__, _numbers(one["files"])) if i is not None]
        if len(files) < sum(length for _, length in one["files"]):
            continue
        try:
            known.append(Known(_decode(one, lambda i: listing.file(now[i])), files))  # type: ignore[arg-type]
        except (LookupError, ValueError):  # changed since it was listed
            continue
    unusable = {
        i: Unusable[name]
        for name, runs in document["unusable"].items()
        for i in map(now.__getitem__, _numbers(runs))
        if i is not None
    }
    is_current = b"".join(listing.states) == states and len(known) == len(document["examinations"])
    return Remembered(known, unusable, is_current)


def remember(
    path: Path,
    examinations: Iterable[Examination],
    unusable: Mapping[int, Unusable],
    listing: Listing,
    options: DicomOptions,
    pseudonyms: Pseudonyms,
) -> None:
    """Write what was found, for the owner only (mode 0600), unless the file states it already.

    Files that changed too recently or cannot be opened are not remembered. An index that cannot be written costs
    nothing but time, and gives a warning.

    Args:
        path: the index.
        examinations: what was found.
        unusable: files that give no header, by number.
        listing: all files.
        options: what is embedded.
        pseudonyms: names, and the key that signs.
    """
    path = Path(os.path.realpath(path))
    encoded = _encode_all(examinations, listing) if len(listing.names) >= LEAST_FILES else []
    if not any(one["studies"] for one in encoded):
        return
    if path.exists() and not _is_index(path):
        logger.warning(
            "%s cannot be read as an index: it is left as it is, and no index is written; delete it to get a new one",
            path.name,
        )
        return
    numbers: dict[str, list[int]] = {}
    for number in sorted(unusable):
        if (kind := unusable[number]) is not Unusable.UNREADABLE:
            numbers.setdefault(kind.name, []).append(number)
    document = {
        "bound": _bound(options, pseudonyms),
        "states": b"".join(listing.states).hex(),
        "examinations": encoded,
        "unusable": {name: _runs(found) for name, found in numbers.items()},
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    try:
        with replacing(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_sign(body, pseudonyms.key) + b"\n" + body)
    except OutputError as error:
        logger.warning("%s (the next run searches the whole source again)", error)


def _is_index(path: Path) -> bool:
    """Whether a file is empty or starts like an index."""
    try:
        with open_regular(path) as file:
            start = file.read(66)
    except (OSError, ValueError):
        return False
    return not start or _START.match(start) is not None


def _sign(body: bytes, key: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).hexdigest().encode()


def _bound(options: DicomOptions, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """What must be the same for an index to be used."""
    return {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "rules": _rules(),
        "options": asdict(options),
        "keep_patient_id": pseudonyms.keep_patient_id,
    }


@cache
def _rules() -> str:
    """Digest of the code that finds studies, and of what it relies on."""
    digest = hashlib.sha256(
        f"{version('prima-features')} {version('pydicom')} {version('SimpleITK')}".encode()
    )
    folder = Path(__file__).parents[1]
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as runs of consecutive ones: [first, how many]."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    return runs


def _numbers(runs: Iterable[Sequence[int]]) -> Iterable[int]:
    return chain.from_iterable(range(first, first + length) for first, length in runs)


def _encode_all(examinations: Iterable[Examination], listing: Listing) -> list[dict[str, Any]]:
    """Examinations without identities. One that could not be read back is left out."""
    number = {listing.file(i): i for i in range(len(listing.names))}
    encoded: list[dict[str, Any]] = []
    for one in examinations:
        try:
            document = _encode(one, number)
            if _decode(json.loads(json.dumps(document)), listing.file) == one:
                encoded.append(document)
        except (LookupError, ValueError):
            continue
    return encoded


def _encode(one: Examination, number: Mapping[Path, int]) -> dict[str, Any]:
    patients: dict[str, int] = {}
    for i, (_, person) in enumerate(one.people):
        patients.setdefault(person.patient_id, i)
    places = {NAMELESS + uid: i for i, uid in enumerate(one.nameless)}
    return {
        "files": _runs(number[file] for file in one.files),
        "first": number[one.first],
        "people": [number[file] for file in one.people.values()],
        "unnamed": [number[file] for file in one.nameless.values()],
        "counts": [one.n_undecided, one.is_shared, one.is_dated],
        "studies": [_encode_study(study, number, patients, places) for study in one.studies],
        "left_out": [[item.study, item.series, item.error, item.hint, item.defect] for item in one.left_out],
    }


def _encode_study(
    study: Study, number: Mapping[Path, int], patients: Mapping[str, int], places: Mapping[str, int]
) -> dict[str, Any]:
    if study.identity is None:
        raise LookupError("a study without identity")
    return {
        "names": [study.id, study.subject, study.session, study.description],
        "patient": patients[study.identity.patient_id],
        "folder": len(study.identity.folder),
        "day": study.identity.day,
        "series": [
            {
                "name": one.name if is_named(one.name) else places[one.name],
                "flags": one.flags,
                "image": _encode_image(one, number),
            }
            for one in study.series
        ],
    }


def _encode_image(series: Series, number: Mapping[Path, int]) -> list[Any]:
    match series.image:
        case DicomSlices(stacks, frames):
            return ["slices", [[number[file] for file in stack] for stack in stacks], frames]
        case DicomFrames(files, volumes):
            return ["frames", [number[file] for file in files], volumes]
    raise LookupError("an image of another format")


def _decode(document: Mapping[str, Any], file_of: Callable[[int], Path]) -> Examination:
    """An examination, its identities read from its files.

    Raises:
        LookupError, ValueError: it cannot be read, or is damaged.
    """

    @cache
    def header(number: int) -> Header:
        headers = read_headers(file_of(number))
        if isinstance(headers, Unusable):
            raise LookupError("a file cannot be read any more")
        return headers[0]

    first = header(document["first"])
    people = {(header(i).patient_id, person_of(header(i))): file_of(i) for i in document["people"]}
    nameless = {header(i).series_uid: file_of(i) for i in document["unnamed"]}
    patient_ids = [person.patient_id for _, person in people]
    n_undecided, is_shared, is_dated = document["counts"]
    return Examination(
        order=(first.patient_id, first.study_date, first.study_uid),
        files=tuple(map(file_of, _numbers(document["files"]))),
        first=first.file,
        people=people,
        nameless=nameless,
        n_undecided=n_undecided,
        is_shared=is_shared,
        is_dated=is_dated,
        studies=tuple(
            _decode_study(one, file_of, list(nameless), patient_ids[one["patient"]], first.study_uid)
            for one in document["studies"]
        ),
        left_out=tuple(
            Failure(study, series, "find", error, hint, defect)
            for study, series, error, hint, defect in document["left_out"]
        ),
    )


def _decode_study(
    study: Mapping[str, Any],
    file_of: Callable[[int], Path],
    nameless: Sequence[str],
    patient_id: str,
    study_uid: str,
) -> Study:
    id, subject, session, description = study["names"]
    series = tuple(
        Series(
            name=one["name"] if isinstance(one["name"], str) else NAMELESS + nameless[one["name"]],
            image=_decode_image(one["image"], file_of),
            flags=tuple(one["flags"]),
        )
        for one in study["series"]
    )
    folder = str(series[0].files[0])[: study["folder"]]
    identity = Identity(patient_id, study_uid, folder, study["day"])
    return Study(id, subject, session, description, series, identity=identity)


def _decode_image(image: Sequence[Any], file_of: Callable[[int], Path]) -> DicomSlices | DicomFrames:
    kind, numbers, frames = image
    if kind == "frames":
        return DicomFrames(tuple(map(file_of, numbers)), tuple(frames))
    return DicomSlices(tuple(tuple(map(file_of, stack)) for stack in numbers), tuple(map(tuple, frames)))
