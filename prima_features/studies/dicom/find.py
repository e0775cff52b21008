"""The DICOM finder: from a tree to studies, their series, and what is left out and why."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.index import read_index
from prima_features.studies.dicom.options import DicomOptions
from prima_features.studies.dicom.read import quiet_pydicom
from prima_features.studies.dicom.series import find_series
from prima_features.studies.pseudonyms import Pseudonyms
from prima_features.studies.study import DEFAULT_DESCRIPTION, Found, Identity, LeftOut, Series, Study


def find_dicom(
    root: Path,
    options: DicomOptions = DicomOptions(),
    pseudonyms: Pseudonyms | None = None,
) -> Found:
    """Find the series in a tree of DICOM files, by their content.

    Files are grouped by StudyInstanceUID and SeriesInstanceUID and split where orientation, matrix, echo or
    kind differ; slices are sorted by position. Neither the names of files and folders nor instance numbers
    play a part.

    Args:
        root: a folder; or one file, which stands for its whole series: the files beside it with the same
            SeriesInstanceUID.
        options: what is embedded.
        pseudonyms: names for subjects and sessions; by default under a new random key.

    Returns:
        Studies with at least one series, by patient and date; and what is left out. Nothing in it
        identifies a patient but `Study.identity`, the files' paths, and the UID in the name of a series
        without a description.

    Raises:
        UsageError: `root` does not exist.
        NothingUsableError: `root` is a file that is no DICOM image.
    """
    pseudonyms = pseudonyms or Pseudonyms()
    with quiet_pydicom():
        index = read_index(root)
        ordered = sorted(index.headers, key=_order)
        groups = _groups(ordered, lambda header: header.study_uid)
        found = [_find_study(headers, options, pseudonyms) for headers in groups]
    return Found(
        format="dicom",
        studies=tuple(study for study, _ in found if study.series),
        left_out=(*index.left_out, *(item for _, left_out in found for item in left_out)),
    )


def _groups(headers: Sequence[Header], key: Callable[[Header], str]) -> list[list[Header]]:
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        groups[key(header)].append(header)
    return list(groups.values())


def _find_study(
    headers: Sequence[Header], options: DicomOptions, pseudonyms: Pseudonyms
) -> tuple[Study, list[LeftOut]]:
    first = headers[0]
    subject = pseudonyms.subject(first.patient_id or first.study_uid)
    session = pseudonyms.session(first.study_uid)
    name = f"sub-{subject}_ses-{session}"
    series: list[Series] = []
    left_out: list[LeftOut] = []
    for group in sorted(_groups(headers, lambda header: header.series_uid), key=_series_order):
        found, rest = find_series(group, options, name)
        series += found
        left_out += rest
    descriptions = [header.study_description for header in headers if header.study_description]
    study = Study(
        id=name,
        subject=subject,
        session=session,
        description=next(iter(descriptions), DEFAULT_DESCRIPTION),
        series=tuple(series),
        identity=Identity(
            patient_id=first.patient_id,
            study_uid=first.study_uid,
            folder=os.path.commonpath([header.file.parent for header in headers]),
        ),
    )
    return study, left_out


def _order(header: Header) -> tuple[str | int, ...]:
    # Nothing of the files' names, so that renamed files give the same studies in the same order.
    uids = (header.study_uid, header.series_uid, header.instance_number or 0, header.sop_uid)
    return header.patient_id, header.study_date, *uids


def _series_order(headers: Sequence[Header]) -> tuple[float, str]:
    number = headers[0].series_number
    return float("inf") if number is None else number, headers[0].series_uid
