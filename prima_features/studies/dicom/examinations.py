"""What is found under one StudyInstanceUID, apart from all others; and the result of a whole source made of these."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from prima_features.studies.dicom.acquisitions import find_acquisitions
from prima_features.studies.dicom.copies import flag_copies
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.identity import (
    Person,
    Visit,
    day_of,
    find_visits,
    person_of,
    warn_of_identities,
)
from prima_features.studies.dicom.read import Unusable
from prima_features.studies.dicom.rules import DicomOptions, Rejection
from prima_features.studies.dicom.series import find_series
from prima_features.studies.labels import NAMELESS, Pseudonyms, is_named
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

_SEVERAL_PATIENTS = Rejection(
    "its slices form one volume but name different patients",
    hint="check which patient they belong to, and anonymise again with one PatientID per patient",
    defect=True,
)


@dataclass(frozen=True)
class Examination:
    """What was found in the files of one StudyInstanceUID. It does not depend on other files."""

    order: tuple[str, str, str] = field(repr=False)
    """Sort key: PatientID and StudyDate of the first file, and the StudyInstanceUID."""
    files: tuple[Path, ...] = field(repr=False)
    """All its files, in the order in which they were read."""
    first: Path = field(repr=False)
    """A file that states `order`."""
    people: Mapping[tuple[str, Person], Path] = field(repr=False)
    """A file of each patient, by PatientID as written and by what the file states about its patient."""
    nameless: Mapping[str, Path] = field(repr=False)
    """A file of each series whose name is its SeriesInstanceUID, by this."""
    n_undecided: int
    """Number of files of unknown patients."""
    is_shared: bool
    """Whether several patients share the StudyInstanceUID."""
    is_dated: bool
    """Whether it covers visits on several dates."""
    studies: tuple[Study, ...]
    """Those with at least one series."""
    left_out: tuple[Failure, ...]

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID."""
        return self.order[2]


def find_examination(headers: Sequence[Header], options: DicomOptions, pseudonyms: Pseudonyms) -> Examination:
    """Find the studies in the files of one StudyInstanceUID.

    Args:
        headers: of all these files, in the order in which they were read.
        options: what is embedded.
        pseudonyms: names for subjects and sessions.
    """
    ordered = sorted(headers, key=_order)
    found = find_visits(ordered)
    studies: list[Study] = []
    left_out: list[Failure] = []
    for visit in sorted(found.visits, key=lambda visit: (visit.patient_id, visit.date, visit.person)):
        study, rest = _find_study(visit, found.divided, options, pseudonyms)
        studies += [study] if study.series else []
        left_out += rest
    first = ordered[0]
    people: dict[tuple[str, Person], Path] = {}
    series_files: dict[str, Path] = {}
    for header in ordered:
        people.setdefault((header.patient_id, person_of(header)), header.file)
        series_files.setdefault(header.series_uid, header.file)
    names = (series.name for study in studies for series in study.series)
    uids = [name.removeprefix(NAMELESS) for name in names if not is_named(name)]
    return Examination(
        order=(first.patient_id, first.study_date, first.study_uid),
        files=tuple(dict.fromkeys(header.file for header in headers)),
        first=first.file,
        people=people,
        nameless={uid: series_files[uid] for uid in uids},
        n_undecided=len(found.undecided),
        is_shared=found.n_patients > 1,
        is_dated=any(visit.date for visit in found.visits),
        studies=tuple(studies),
        left_out=tuple(left_out),
    )


def combine(examinations: Sequence[Examination], unusable: Counter[Unusable]) -> Found:
    """The result of a source, by patient and date.

    Args:
        examinations: of all StudyInstanceUIDs, in any order.
        unusable: numbers of the files that give no header.
    """
    ordered = sorted(examinations, key=lambda one: one.order)
    studies = tuple(study for one in ordered for study in one.studies)
    return Found(
        format="dicom",
        studies=studies,
        left_out=(
            *_unusable(unusable),
            *_undecided(sum(one.n_undecided for one in ordered)),
            *(item for one in ordered for item in one.left_out),
        ),
        warnings=(
            *warn_of_identities(
                {person for one in ordered for person in one.people},
                n_shared=sum(one.is_shared for one in ordered),
                n_dates=sum(one.is_dated for one in ordered),
            ),
            *_warn_of_copies(studies),
        ),
    )


def _unusable(numbers: Counter[Unusable]) -> Iterator[Failure]:
    for kind in Unusable:
        if (n := numbers[kind]) and kind is not Unusable.DIRECTORY:  # every exported disc has one
            yield not_embedded(
                study="",
                series=f"{n} {kind.one if n == 1 else kind.many}",
                error=kind.reason,
                hint=kind.hint,
                defect=kind.is_defect,
            )


def _warn_of_copies(studies: Sequence[Study]) -> Iterator[str]:
    if n := sum(COPY in series.flags for study in studies for series in study.series):
        what = "1 series has" if n == 1 else f"{n} series have"
        yield f"{what} the same content as another series of the same study: remove the copies from the source"


def _undecided(number: int) -> Iterator[Failure]:
    if number:
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
    when = day_of(visit)
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
            day=None if when is None else pseudonyms.day(subject, when),
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
