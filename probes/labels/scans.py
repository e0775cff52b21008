"""The studies of an embeddings file as a join sees them: their names, and when they were scanned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.ids import bare_session, normalise, pattern
from prima_features.probes.labels.tables import read_table
from prima_features.probes.labels.times import Time, to_ordinal, visit_days


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

    @property
    def is_pseudonym(self) -> bool:
        """Whether the subject is a pseudonym in all likelihood, in which digits mean nothing."""
        return not self.is_dicom and _PSEUDONYM.fullmatch(self.subject) is not None


def is_private(scans: Iterable[Scan]) -> bool:
    """Whether ids in label tables can be PatientIDs, which belong in no message."""
    return any(scan.is_dicom or scan.is_pseudonym for scan in scans)


_PSEUDONYM = re.compile(r"(?=[0-9a-f]*[a-f])[0-9a-f]{12}")


@dataclass(frozen=True)
class _Identity:
    patient_id: str
    folder: str


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
    # Only a cohort's own patterns can tell an id from the other folders on the way to a scan.
    paths = (study.source, identity.folder if identity else "") if cohort.name else ()
    folders = tuple(part for path in paths for part in _parts(path))
    time = _time((study.session, *names, *folders), study.session, cohort)
    subject = _bare(study.subject)
    keys = ((_bare(study.id), ""), (subject, bare_session(study.session)), (subject, ""))
    date = next((dates[key] for key in keys if key in dates), time.date)
    time = replace(time, date=date)
    known = bool(study.source or identity)
    return Scan(row, study.id, study.subject, study.session, names, time, known, folders, is_dicom)


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
    """Whom each DICOM study belongs to, where the file that links pseudonyms to patients was kept."""
    path = embeddings.with_name(embeddings.name.removesuffix(".h5") + ".ids.tsv")
    if not path.is_file():
        return {}
    table = read_table(path)
    if missing := {"study", "patient_id", "folder"} - set(table.columns):
        raise UsageError(
            f"{path} has no column {min(missing)}: it is not the table of identities of this file; move it away"
        )
    rows = table.to_dict("records")
    return {row["study"]: _Identity(row["patient_id"], row["folder"]) for row in rows}


def _bare(text: str) -> str:
    return normalise(text, ("bare",))
