"""`OUTPUT.index`: what a DICOM tree contained, remembered between runs for as long as none of its files changes.

It names files by their number in the tree and states neither paths, PatientIDs nor UIDs: these are read again from one
file per study. It is valid for one key of pseudonyms, by which it is signed, so that a damaged or foreign file is never
used.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prima_features.errors import OutputError
from prima_features.files.disk import replacing
from prima_features.files.safe import MIB, open_regular
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.identity import person_of
from prima_features.studies.dicom.read import read_headers
from prima_features.studies.dicom.rules import DicomOptions
from prima_features.studies.files import walk_status
from prima_features.studies.labels import NAMELESS, Pseudonyms, is_named
from prima_features.studies.study import DicomFrames, DicomSlices, Failure, Found, Identity, Series, Study

logger = logging.getLogger(__name__)

LEAST_FILES = 1_000
"""Smaller trees are not remembered: they are read in less than a second."""
_UNSETTLED_NS = 2_000_000_000
"""A file that changed this shortly before it was read may change again without another time: some disks keep times of
two seconds."""
_MOST_BYTES = 1024 * MIB
_FORMAT, _FORMAT_VERSION = "prima-index", 1


@dataclass
class Listing:
    """The files of a tree, and a digest of their names, sizes, times and inodes."""

    root: Path
    key: bytes = field(repr=False)
    files: list[Path] = field(default_factory=list)
    n_unreadable: int = 0
    """Folders that cannot be listed, and broken links."""
    is_settled: bool = True
    """Whether no file changed shortly before or while it was listed."""
    digest: str = ""


def list_tree(root: Path, key: bytes) -> Listing:
    """List the regular files below a folder, in the order in which they are read."""
    listing = Listing(root, key)
    limit = time.time_ns() - _UNSETTLED_NS

    def count_unreadable() -> None:
        listing.n_unreadable += 1

    digest = hashlib.blake2b(os.fsencode(root), key=key[:64])
    start = len(os.fspath(root))
    for file, status in walk_status(root, count_unreadable):
        listing.files.append(file)
        if max(status.st_mtime_ns, status.st_ctime_ns) > limit:
            listing.is_settled = False
        state = f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\0"
        digest.update(os.fsencode(file)[start:] + state.encode())
    digest.update(str(listing.n_unreadable).encode())
    listing.digest = digest.hexdigest()
    return listing


def recall(path: Path, listing: Listing, options: DicomOptions, pseudonyms: Pseudonyms) -> Found | None:
    """What an earlier run found in the same files with the same options and rules, or None.

    A file that is damaged, or signed by another key, is ignored with a warning.
    """
    if not path.is_file():
        return None
    try:
        with open_regular(path) as file:
            content = file.read(_MOST_BYTES)
        signature, _, body = content.partition(b"\n")
        if not hmac.compare_digest(signature, _sign(body, pseudonyms.key)):
            raise ValueError("not signed by this key")
        document = json.loads(body)
        if document["bound"] != _bound(listing, options, pseudonyms):
            return None
        return _decode(document, listing)
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.debug("%s is not used", path, exc_info=error)
        logger.warning("%s is damaged or belongs to another output; the source is searched again", path.name)
        return None


def remember(
    path: Path,
    found: Found,
    headers: Sequence[Header],
    listing: Listing,
    options: DicomOptions,
    pseudonyms: Pseudonyms,
) -> None:
    """Write what was found, for the owner only (mode 0600), unless files changed too recently or could not be read.

    An index that cannot be written costs nothing but time, and gives a warning.
    """
    if len(listing.files) < LEAST_FILES or not (listing.is_settled and found.studies) or listing.n_unreadable:
        return
    if path.exists() and not _is_index(path):  # a file of somebody else
        return
    try:
        document = _encode(found, headers, listing)
        if _decode(document, listing) != found:
            return
    except (LookupError, ValueError):
        return
    body = json.dumps(document | {"bound": _bound(listing, options, pseudonyms)}).encode()
    try:
        with replacing(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_sign(body, pseudonyms.key) + b"\n" + body)
    except OutputError as error:
        logger.warning("%s (the next run searches the whole source again)", error)


def _is_index(path: Path) -> bool:
    """Whether a file is empty or starts like an index."""
    with path.open("rb") as file:
        start = file.read(66)
    return not start or re.match(rb"[0-9a-f]{64}\n\{", start) is not None


def _sign(body: bytes, key: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).hexdigest().encode()


def _bound(listing: Listing, options: DicomOptions, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """What must be the same for an index to be used."""
    return {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "rules": _rules(),
        "options": asdict(options),
        "keep_patient_id": pseudonyms.keep_patient_id,
        "tree": listing.digest,
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


def _encode(found: Found, headers: Sequence[Header], listing: Listing) -> dict[str, Any]:
    """What was found, without identities. Raises LookupError if they could not be read back."""
    number = {file: i for i, file in enumerate(listing.files)}
    patients: dict[tuple[str, str], Path] = {}
    series: dict[str, Path] = {}
    for header in headers:
        patients.setdefault((header.study_uid, person_of(header).patient_id), header.file)
        series.setdefault(header.series_uid, header.file)
    return {
        "studies": [_encode_study(study, number, patients, series, listing) for study in found.studies],
        "left_out": [
            [item.study, item.series, item.error, item.hint, item.defect] for item in found.left_out
        ],
        "warnings": list(found.warnings),
    }


def _encode_study(
    study: Study,
    number: Mapping[Path, int],
    patients: Mapping[tuple[str, str], Path],
    series: Mapping[str, Path],
    listing: Listing,
) -> dict[str, Any]:
    if study.identity is None:
        raise LookupError("a study without identity")
    who = study.identity
    return {
        "names": [study.id, study.subject, study.session, study.description],
        "patient": number[patients[who.study_uid, who.patient_id]],
        "levels": len(Path(who.folder).parts) - len(listing.root.parts),
        "series": [
            {
                "name": one.name if is_named(one.name) else NAMELESS,
                "of": None if is_named(one.name) else number[series[one.name.removeprefix(NAMELESS)]],
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


def _decode(document: Mapping[str, Any], listing: Listing) -> Found:
    """What was found. Raises LookupError, TypeError or ValueError if it is damaged."""
    return Found(
        format="dicom",
        studies=tuple(_decode_study(study, listing) for study in document["studies"]),
        left_out=tuple(
            Failure(study, series, "find", error, hint, defect)
            for study, series, error, hint, defect in document["left_out"]
        ),
        warnings=tuple(document["warnings"]),
    )


def _decode_study(study: Mapping[str, Any], listing: Listing) -> Study:
    id, subject, session, description = study["names"]
    series = tuple(
        Series(
            name=one["name"]
            if one["of"] is None
            else one["name"] + _header(listing.files[one["of"]]).series_uid,
            image=_decode_image(one["image"], listing.files),
            flags=tuple(one["flags"]),
        )
        for one in study["series"]
    )
    patient = _header(listing.files[study["patient"]])
    n_parts = len(listing.root.parts) + study["levels"]
    return Study(
        id=id,
        subject=subject,
        session=session,
        description=description,
        series=series,
        identity=Identity(
            patient_id=person_of(patient).patient_id,
            study_uid=patient.study_uid,
            folder=str(Path(*series[0].files[0].parts[:n_parts])),
        ),
    )


def _decode_image(image: Sequence[Any], files: Sequence[Path]) -> DicomSlices | DicomFrames:
    kind, numbers, frames = image
    if kind == "frames":
        return DicomFrames(tuple(files[i] for i in numbers), tuple(frames))
    stacks = tuple(tuple(files[i] for i in stack) for stack in numbers)
    return DicomSlices(stacks, tuple(map(tuple, frames)))


def _header(file: Path) -> Header:
    headers = read_headers(file)
    if not isinstance(headers, list):
        raise ValueError("a file cannot be read any more")
    return headers[0]
