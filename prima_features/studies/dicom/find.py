"""The DICOM finder: from a tree to studies, their series, and what is left out and why."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.dicom.acquisitions import find_acquisitions
from prima_features.studies.dicom.copies import flag_copies
from prima_features.studies.dicom.header import Header, grouped
from prima_features.studies.dicom.identity import Visit, Visits, find_visits, warn_of_identities
from prima_features.studies.dicom.index import Listing, list_tree, recall, remember
from prima_features.studies.dicom.read import Unusable, quiet_pydicom, read_headers
from prima_features.studies.dicom.rules import DicomOptions, Rejection
from prima_features.studies.dicom.series import find_series
from prima_features.studies.files import FileKind, kind_of
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.study import (
    COPY,
    DEFAULT_DESCRIPTION,
    Failure,
    Found,
    Identity,
    Series,
    Study,
    not_embedded,
)

logger = logging.getLogger(__name__)

_OTHER_FORMATS = (FileKind.NIFTI, FileKind.OTHER_IMAGE, FileKind.UNREAD, FileKind.ARCHIVE)
_SEVERAL_PATIENTS = Rejection(
    "its slices form one volume but name different patients",
    hint="check which patient they belong to, and anonymise again with one PatientID per patient",
    defect=True,
)


def find_dicom(
    root: Path,
    options: DicomOptions = DicomOptions(),
    pseudonyms: Pseudonyms | None = None,
    index: Path | None = None,
) -> Found:
    """Find the series in a tree of DICOM files, by their content.

    Files are grouped by StudyInstanceUID and patient, then by acquisition. Slices whose positions tile one volume are
    one series, whatever else their headers state; several images in each place are separated by echo, kind, b-value
    and time. Names of files and folders play no part.

    Args:
        root: a folder; or one file, which stands for its whole series: all files of its folder with the same
            SeriesInstanceUID.
        options: what is embedded.
        pseudonyms: names for subjects and sessions; by default under a new random key.
        index: file that remembers what a folder contained between runs (see `dicom.index`).

    Returns:
        Studies with at least one series, by patient and date; and what is left out. Only `Study.identity`, the files'
        paths, and the UID in the name of a series without a description identify a patient.

    Raises:
        UsageError: `root` does not exist.
        NothingUsableError: `root` is a file that is not a DICOM image.
    """
    pseudonyms = pseudonyms or Pseudonyms()
    with quiet_pydicom():
        if not root.is_dir():
            return _find(_read_one_series(root), [], options, pseudonyms)
        listing = list_tree(root, pseudonyms.key)
        if index is not None and (known := recall(index, listing, options, pseudonyms)) is not None:
            return known
        headers, unusable = _read_files(listing)
        found = _find(headers, unusable, options, pseudonyms)
        if index is not None and not any(one.error == Unusable.UNREADABLE.reason for one in unusable):
            remember(index, found, headers, listing, options, pseudonyms)
        return found


def _find(
    headers: Sequence[Header], unusable: Sequence[Failure], options: DicomOptions, pseudonyms: Pseudonyms
) -> Found:
    studies = [find_visits(one) for one in grouped(sorted(headers, key=_order), lambda one: one.study_uid)]
    found = [
        _find_study(visit, study.divided, options, pseudonyms)
        for study in studies
        for visit in sorted(study.visits, key=lambda visit: (visit.patient_id, visit.date, visit.person))
    ]
    return Found(
        format="dicom",
        studies=tuple(study for study, _ in found if study.series),
        left_out=(
            *unusable,
            *_undecided(studies),
            *(item for _, left_out in found for item in left_out),
        ),
        warnings=(
            *warn_of_identities(
                headers,
                n_shared=sum(study.n_patients > 1 for study in studies),
                n_dates=sum(any(visit.date for visit in study.visits) for study in studies),
            ),
            *_warn_of_copies(study for study, _ in found),
        ),
    )


def _read_files(listing: Listing) -> tuple[list[Header], list[Failure]]:
    """Headers of all DICOM images of a tree; other files by number, because a file's name can name a patient."""
    headers: list[Header] = []
    unusable: Counter[Unusable] = Counter({Unusable.UNREADABLE: listing.n_unreadable})
    for file in listing.files:
        read = read_headers(file)
        if read is Unusable.NOT_DICOM and kind_of(file.name) in _OTHER_FORMATS:
            unusable[Unusable.OTHER_FORMAT] += 1
        elif isinstance(read, Unusable):
            unusable[read] += 1
        else:
            headers += read
    logger.info("%d DICOM records, %d other files", len(headers), sum(unusable.values()))
    return headers, [
        not_embedded(
            study="",
            series=f"{n} {kind.one if n == 1 else kind.many}",
            error=kind.reason,
            hint=kind.hint,
            defect=kind.is_defect,
        )
        for kind in Unusable
        if (n := unusable[kind]) and kind is not Unusable.DIRECTORY  # every exported disc has one
    ]


def _read_one_series(file: Path) -> list[Header]:
    """Headers of the series of one file: all files of its folder with the same SeriesInstanceUID."""
    if not file.exists():
        raise UsageError(f"{file} does not exist: name a folder of DICOM files, or one file of a series")
    first = read_headers(file)
    if isinstance(first, Unusable):
        raise NothingUsableError(f"{file} contains no usable DICOM image: {first.reason}")
    series: list[Header] = []
    for path in sorted(path for path in file.parent.iterdir() if path.is_file()):
        read = read_headers(path)
        if not isinstance(read, Unusable):
            series += [header for header in read if header.series_uid == first[0].series_uid]
    return series


def _warn_of_copies(studies: Iterable[Study]) -> Iterator[str]:
    if n := sum(COPY in series.flags for study in studies for series in study.series):
        what = "1 series has" if n == 1 else f"{n} series have"
        yield f"{what} the same content as another series of the same study: remove the copies from the source"


def _undecided(studies: Sequence[Visits]) -> Iterator[Failure]:
    if number := sum(len(study.undecided) for study in studies):
        yield not_embedded(
            study="",
            series=f"{number} DICOM {'file' if number == 1 else 'files'} of unknown patients",
            error="several patients share the StudyInstanceUID, and these files do not state their patient",
            hint="anonymise again with one PatientID per patient, or embed each patient's folder separately",
            defect=True,
        )


def _find_study(
    visit: Visit, divided: frozenset[str], options: DicomOptions, pseudonyms: Pseudonyms
) -> tuple[Study, list[Failure]]:
    headers = visit.headers
    study_uid = headers[0].study_uid
    subject = (
        pseudonyms.subject(visit.patient_id, visit.person)
        if visit.patient_id
        else pseudonyms.unknown_subject(study_uid, visit.person)
    )
    session = pseudonyms.session(study_uid, visit.date)
    name = f"sub-{subject}_ses-{session}"
    series: list[Series] = []
    left_out: list[Failure] = []
    acquisitions = find_acquisitions(headers, options.slice_tolerance)
    for acquisition in sorted(acquisitions, key=lambda one: _series_order(one.headers)):
        if any(header.series_uid in divided for header in acquisition.headers):
            acquisition = replace(acquisition, rejection=_SEVERAL_PATIENTS)
        found, rest = find_series(acquisition, options, name)
        series += found
        left_out += rest
    descriptions = [header.study_description for header in headers if header.study_description]
    study = Study(
        id=name,
        subject=subject,
        session=session,
        description=next(iter(descriptions), DEFAULT_DESCRIPTION),
        series=tuple(flag_copies(series)),
        identity=Identity(
            patient_id=visit.patient_id,
            study_uid=study_uid,
            folder=os.path.commonpath({header.file.parent for header in headers}),
        ),
    )
    return study, left_out


def _order(header: Header) -> tuple[str | int, ...]:
    # File names play no part, so renamed files give the same studies in the same order.
    uids = (header.study_uid, header.series_uid, header.instance_number or 0, header.sop_uid)
    return header.patient_id, header.study_date, *uids


def _series_order(headers: Sequence[Header]) -> tuple[float, str]:
    number = headers[0].series_number
    return float("inf") if number is None else number, min(header.series_uid for header in headers)
