"""The studies of an embeddings file with the names and scan times that labels are matched by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.tables import first, read_table, subject_sessions
from prima_features.probes.labels.times import Time, date_formats, to_ordinal, visit_days
from prima_features.probes.labels.values import bare_session, normalise, number, pattern
from prima_features.studies.labels import Pseudonyms, split_id

if TYPE_CHECKING:
    import pandas as pd


_DATE_COLUMNS = ("acq_time", "scan_date", "date", "acquisition_date", "study_date", "examdate")
_STUDY_COLUMNS = ("study", "participant_id", "subject", "subject_id", "id")


def scan_dates(
    table: Path | None, folders: tuple[Path, ...], date_format: str = ""
) -> dict[tuple[str, str], float]:
    """Scans' dates in days by (study or subject, session): from a table, else from a BIDS dataset's sessions.

    `date_format` is used for a column whose dates have two readings.

    Raises:
        UsageError: the table has no column of studies or of dates, or several dates for a study.
    """
    if table is not None:
        return _dates(read_table(table), str(table), date_format)
    dates: dict[tuple[str, str], float] = {}
    for folder in folders:
        nested = sorted(folder.glob("sub-*/sub-*_sessions.tsv"))
        sessions = [read_table(path) for path in (folder / "sessions.tsv",) if path.is_file()]
        for frame in sessions + ([subject_sessions(nested)] if nested else []):
            if "acq_time" in frame.columns:
                dates |= _dates(frame, "sessions.tsv", date_format)
    return dates


def _dates(table: pd.DataFrame, label: str, date_format: str) -> dict[tuple[str, str], float]:
    who, when = first(table.columns, _STUDY_COLUMNS), first(table.columns, _DATE_COLUMNS)
    if not who or not when:
        raise UsageError(
            f"{label} contains no scan dates: expected a column {' or '.join(_STUDY_COLUMNS[:2])} and a column "
            f"{' or '.join(_DATE_COLUMNS[:3])}, found {', '.join(table.columns[:12])}"
        )
    session = first(table.columns, ("session_id", "session", "ses"))
    sessions = table[session] if session else [""] * len(table)
    try:
        formats = date_formats(list(table[when]))
    except UsageError:
        if not date_format:
            raise
        formats = (date_format,)
    days = (to_ordinal(cell, formats) for cell in table[when])
    keys = zip(table[who].map(_bare), map(bare_session, sessions), strict=True)
    found: dict[tuple[str, str], float] = {}
    for line, (key, day) in enumerate(zip(keys, days, strict=True), 1):
        if day is not None and found.setdefault(key, day) != day:
            raise UsageError(
                f"{label} has different dates for the same scan (row {line} below the header, and an earlier one): "
                "add a column session, or use ids of studies"
            )
    return found


@dataclass(frozen=True)
class Scan:
    """One study."""

    row: int
    """Row of `Embeddings.studies`."""
    id: str
    subject: str
    session: str
    names: tuple[str, ...]
    """Texts that an id may be found in, the likeliest first: PatientID if it is known, id, subject."""
    time: Time
    is_traceable: bool
    """False for a study from DICOM whose pseudonym nothing links to a patient."""
    folders: tuple[str, ...] = ()
    """If a cohort has patterns for its ids: the parts of the path to the scan, the innermost first."""
    is_dicom: bool = False
    """Its PatientID is known: the first of `names`."""
    uid: str = ""
    """Its StudyInstanceUID, if it is known."""

    @property
    def ids(self) -> tuple[str, ...]:
        """What a cell of a table can be if it is an id of this study or its subject: `names`, and `uid`."""
        return (*self.names, self.uid) if self.uid else self.names

    @property
    def is_pseudonym(self) -> bool:
        """Whether the subject is a pseudonym in all likelihood, in which digits mean nothing."""
        return not self.is_dicom and _PSEUDONYM.fullmatch(self.subject) is not None


def is_private(scans: Iterable[Scan]) -> bool:
    """Whether ids in label tables can be PatientIDs, which belong in no message."""
    return any(scan.is_dicom or scan.is_pseudonym for scan in scans)


_UID = re.compile(r"[0-2](\.\d+){3,}")
"""A StudyInstanceUID. Shorter ones are not looked up: without their points they could be numbers of subjects."""
_PSEUDONYM = re.compile(r"(?=[0-9a-f]*[a-f])[0-9a-f]{12}")


@dataclass(frozen=True)
class _Identity:
    patient_id: str
    folder: str
    date: float | None
    uid: str


def scans(embeddings: Embeddings, cohort: Cohort, dates: Mapping[tuple[str, str], float]) -> tuple[Scan, ...]:
    """The studies of a file; `dates` as `scan_dates` gives them."""
    identities = _identities(embeddings.path)
    return tuple(
        _scan(row, study, identities.get(str(study.id)), cohort, dates)
        for row, study in enumerate(embeddings.studies.itertuples(index=False))
    )


def _scan(
    row: int, study: Any, identity: _Identity | None, cohort: Cohort, dates: Mapping[tuple[str, str], float]
) -> Scan:
    is_dicom = identity is not None and bool(identity.patient_id)
    names = (*([identity.patient_id] if identity and is_dicom else []), study.id, study.subject)
    # Only a cohort's own patterns distinguish an id from other folder names in the path of a scan.
    paths = (study.source, identity.folder if identity else "") if cohort.name else ()
    folders = tuple(part for path in paths for part in _parts(path))
    time = _time((study.session, *names, *folders), study.session, cohort)
    subject = _bare(study.subject)
    keys = ((_bare(study.id), ""), (subject, bare_session(study.session)), (subject, ""))
    date = next((dates[key] for key in keys if key in dates), time.date)
    if date is None and identity is not None:
        date = identity.date
    time = replace(time, date=date)
    known = bool(study.source or identity)
    uid = identity.uid if identity else ""
    return Scan(row, study.id, study.subject, study.session, names, time, known, folders, is_dicom, uid)


def _time(names: tuple[str, ...], session: str, cohort: Cohort) -> Time:
    day = _captured(cohort.scan_day or r"^(?:ses-)?d(\d{4,5})$", names)
    date = _captured(cohort.scan_date, names) if cohort.scan_date else ""
    return Time(to_ordinal(date), float(day) if day else None, visit_days(session))


def _captured(regex: str, names: tuple[str, ...]) -> str:
    found = next((match for name in names if (match := pattern(regex).search(name))), None)
    return next(group for group in found.groups() if group) if found else ""


def _parts(path: str) -> Iterator[str]:
    """Folder and file names of a path, the innermost first, without the endings of images."""
    for part in reversed(PurePosixPath(path).parts):
        yield re.sub(r"(\.nii)?(\.gz)?$", "", part)


def _identities(embeddings: Path) -> dict[str, _Identity]:
    """The patient of each DICOM study, if the file that links pseudonyms to patients exists."""
    path = embeddings.with_name(embeddings.name.removesuffix(".h5") + ".ids.tsv")
    if not path.is_file():
        return {}
    table = read_table(path)
    if missing := {"study", "patient_id", "folder"} - set(table.columns):
        raise UsageError(
            f"{path} has no column {min(missing)}, so it is not the table of identities of the embeddings: move it away"
        )
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    return {
        row["study"]: _Identity(row["patient_id"], row["folder"], _study_date(row), _uid(row)) for row in rows
    }


def _uid(row: Mapping[str, str]) -> str:
    uid = row.get("study_instance_uid", "").strip()
    return uid if _UID.fullmatch(uid) else ""


def _study_date(row: Mapping[str, str]) -> float | None:
    """StudyDate in days, as `date.toordinal` counts; None if it is unknown or the row has no key to find it by."""
    day = number(row.get("day", ""))
    if day is None:
        return None
    try:
        return Pseudonyms(bytes.fromhex(row["key"])).ordinal(split_id(row["study"])[0], day)
    except (KeyError, ValueError):
        return None


def _bare(text: str) -> str:
    return normalise(text, ("bare",))
