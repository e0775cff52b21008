"""Which files belong to one patient: StudyInstanceUIDs are not trusted, because anonymisers repeat them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from prima_features.studies.dicom.header import Header, by_depth, depth_in, is_even, orientations
from prima_features.wording import count

_EVEN = 0.05
"""Largest deviation of the distance between slices, as a fraction of it."""


class Person(NamedTuple):
    """What a file states about its patient, in a comparable form. Missing values are empty."""

    patient_id: str
    name: frozenset[str]
    """Words of PatientName in any order, without case, accents and separators."""
    birth_date: str
    """Digits only."""
    sex: str
    """M or F; other codes do not distinguish people."""

    def may_be(self, other: "Person") -> bool:
        """Whether both could be one patient: no stated value contradicts it."""
        return (
            (not self.patient_id or not other.patient_id or self.patient_id == other.patient_id)
            and (self.name <= other.name or other.name <= self.name)
            and _starts_alike(self.birth_date, other.birth_date)
            and (not self.sex or not other.sex or self.sex == other.sex)
        )

    def joined(self, other: "Person") -> "Person":
        """The more complete value of each field."""
        return Person(
            self.patient_id or other.patient_id,
            self.name | other.name,
            max(self.birth_date, other.birth_date, key=len),
            self.sex or other.sex,
        )

    @property
    def key(self) -> str:
        """Text that distinguishes the patient from others with the same PatientID."""
        return "\0".join(("^".join(sorted(self.name)), self.birth_date, self.sex))


class Visit(NamedTuple):
    """The files of one patient under one StudyInstanceUID, of one date."""

    headers: list[Header]
    patient_id: str
    person: str = ""
    """Distinguishes patients that share the StudyInstanceUID and the PatientID; otherwise empty."""
    date: str = ""
    """StudyDate, if the StudyInstanceUID covers visits on several dates; otherwise empty."""


class Visits(NamedTuple):
    """The files under one StudyInstanceUID."""

    visits: list[Visit]
    undecided: list[Header]
    """Files that could belong to more than one of the patients."""
    n_patients: int
    divided: frozenset[str] = frozenset()
    """SeriesInstanceUIDs whose slices form a volume only together with those of other patients."""


def find_visits(headers: Sequence[Header]) -> Visits:
    """Split the files of one StudyInstanceUID by patient and, if whole series differ in it, by StudyDate.

    PatientIDs must be identical. If they are, names, birth dates and sexes may be missing or differ in spelling (case,
    accents, separators, order and number of words, a birth date cut to its year).
    """
    by_person: dict[Person, list[Header]] = defaultdict(list)
    for header in headers:
        by_person[person_of(header)].append(header)
    if len(by_person) == 1:
        person, found = next(iter(by_person.items()))
        return Visits(_by_date(found, person.patient_id, ""), [], 1)
    patients: list[tuple[Person, list[Header]]] = []
    unclear: list[tuple[Person, list[Header]]] = []
    for person, found in sorted(by_person.items(), key=lambda one: (-_known(one[0]), one[0].key)):
        fits = [i for i, (other, _) in enumerate(patients) if person.may_be(other)]
        if len(fits) == 1:
            known, theirs = patients[fits[0]]
            patients[fits[0]] = (known.joined(person), theirs + found)
        elif fits:
            unclear.append((person, found))
        else:
            patients.append((person, list(found)))
    undecided = _assign_by_series(patients, unclear)
    ids = [person.patient_id for person, _ in patients]
    visits = [
        visit
        for person, theirs in patients
        for visit in _by_date(
            theirs, person.patient_id, person.key if ids.count(person.patient_id) > 1 else ""
        )
    ]
    return Visits(
        visits, undecided, len(patients), frozenset(_divided_series([theirs for _, theirs in patients]))
    )


def _divided_series(patients: Sequence[Sequence[Header]]) -> Iterator[str]:
    """SeriesInstanceUIDs whose slices are in different places for each patient, and together form one volume."""
    series: dict[str, list[list[Header]]] = defaultdict(list)
    for theirs in patients:
        by_uid: dict[str, list[Header]] = defaultdict(list)
        for header in theirs:
            if header.has_place and not header.block:
                by_uid[header.series_uid].append(header)
        for uid, found in by_uid.items():
            series[uid].append(found)
    for uid, parts in series.items():
        images = [header for part in parts for header in part]
        if len(parts) > 1 and len(orientations(header.orientation for header in images)) == 1:
            where = depth_in(images)
            filled = by_depth(images, where)
            apart = all(len({*map(person_of, place)}) == 1 for place in filled)
            if apart and is_even([where(place[0]) for place in filled], _EVEN):
                yield uid


def _assign_by_series(
    patients: Sequence[tuple[Person, list[Header]]], unclear: Iterable[tuple[Person, list[Header]]]
) -> list[Header]:
    """Assign files that name no patient to the one patient of their series. Returns files without exactly one."""
    owners: dict[str, set[int]] = defaultdict(set)
    for i, (_, theirs) in enumerate(patients):
        for header in theirs:
            owners[header.series_uid].add(i)
    undecided: list[Header] = []
    for person, found in unclear:
        for header in found:
            fits = [i for i in owners[header.series_uid] if person.may_be(patients[i][0])]
            (patients[fits[0]][1] if len(fits) == 1 else undecided).append(header)
    return undecided


def _by_date(headers: list[Header], patient_id: str, person: str) -> list[Visit]:
    dates: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        dates[header.series_uid].update({header.study_date} - {""})
    if not all(len(one) == 1 for one in dates.values()) or _are_one_night(set().union(*dates.values())):
        return [Visit(headers, patient_id, person)]
    by_date: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_date[next(iter(dates[header.series_uid]))].append(header)
    return [Visit(by_date[date], patient_id, person, date) for date in sorted(by_date)]


def _are_one_night(dates: set[str]) -> bool:
    """Whether there is one date, or an examination that continued past midnight."""
    return len(dates) == 1 or _night(dates) is not None


def _night(dates: set[str]) -> date | None:
    """The first of dates that are at most a day apart; None if they are not, or one is not a date."""
    try:
        days = sorted(date(int(text[:4]), int(text[4:6]), int(text[6:8])) for text in dates)
    except ValueError:
        return None
    return days[0] if days and (days[-1] - days[0]).days <= 1 else None


def day_of(visit: Visit) -> date | None:
    """When the visit's files say that it was: StudyDate; None if they name none, or several."""
    return _night({header.study_date for header in visit.headers} - {""})


def warn_of_identities(stated: Iterable[tuple[str, Person]], n_shared: int, n_dates: int) -> tuple[str, ...]:
    """Warnings about the patients of the whole source. They name nobody.

    Args:
        stated: each patient, by PatientID as written and by what files state about the patient.
        n_shared: number of StudyInstanceUIDs that several patients share.
        n_dates: number of StudyInstanceUIDs that were split by date.
    """
    people: dict[str, set[Person]] = defaultdict(set)
    for patient_id, person in stated:
        people[patient_id].add(person)
    several = sum(_are_several(known) for patient_id, known in people.items() if patient_id)
    warnings = []
    if n_shared:
        warnings.append(
            f"{count(n_shared, 'StudyInstanceUID is', 'StudyInstanceUIDs are')} shared by several patients; "
            f"each patient's files become a separate study: check how the files were anonymised"
        )
    if n_dates:
        warnings.append(
            f"{count(n_dates, 'StudyInstanceUID covers', 'StudyInstanceUIDs cover')} several dates; each date "
            f"becomes a separate study: check how the files were anonymised"
        )
    if several:
        warnings.append(
            f"{count(several, 'PatientID is', 'PatientIDs are')} used with different names, birth dates or sexes, so "
            f"that one subject may be several people: check the PatientIDs before splitting by subject"
        )
    return tuple(warnings)


def _are_several(people: set[Person]) -> bool:
    """Whether birth dates or sexes contradict each other, or there are more names than a marriage explains."""
    known = {person._replace(name=frozenset()) for person in people}
    if any(not one.may_be(other) for one in known for other in known):
        return True
    names: list[frozenset[str]] = []
    for name in (person.name for person in people):
        if name and not any(name <= other or other <= name for other in names):
            names.append(name)
    return len(names) > 2


def person_of(header: Header) -> Person:
    """The patient of a file."""
    return _person(header.patient_id, header.patient_name, header.birth_date, header.sex)


@lru_cache(maxsize=4096)
def _person(patient_id: str, name: str, birth_date: str, sex: str) -> Person:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    words = frozenset(word for word in re.split(r"[\W_]+", plain.casefold()) if word)
    sex = sex.strip().upper()[:1]
    return Person(
        patient_id.strip(" \0"),
        words,
        "".join(filter(str.isdigit, birth_date)),
        sex if sex in ("M", "F") else "",
    )


def _starts_alike(a: str, b: str) -> bool:
    return a.startswith(b) or b.startswith(a)


def _known(person: Person) -> int:
    return sum(map(bool, person))
