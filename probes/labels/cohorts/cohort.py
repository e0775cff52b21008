"""What a cohort's label table looks like, as data: a preset, or a user's TOML file of the same shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from prima_features.errors import UsageError
from prima_features.probes.labels.records import label_task
from prima_features.probes.labels.values import pattern, rule


@dataclass(frozen=True)
class IdColumn:
    """A column that names the subject or scan, and the rules (see `ids`) for its ids and the studies'."""

    column: str
    rules: tuple[str, ...] = ("bare",)

    def __post_init__(self) -> None:
        for name in self.rules:
            rule(name)


@dataclass(frozen=True)
class Target:
    """A column that holds a task's label."""

    column: str
    classes: Mapping[str, str]
    """Value, as `values.code` writes it, to the task's finest class; `*` for every other value."""
    blank: str = ""
    """Class of subjects without a value who are younger than `blank_under` at the scan; empty: no class."""
    blank_under: float = 0.0
    """Years."""
    blank_source: str = ""
    """Where the cohort says so."""


@dataclass(frozen=True)
class Cohort:
    """A cohort's label table. Columns that it lacks are passed over; a tuple's first present one counts."""

    name: str = ""
    title: str = ""
    files: tuple[str, ...] = ()
    """Patterns of the label tables' file names, the main one first."""
    ids: tuple[IdColumn, ...] = ()
    person: tuple[str, ...] = ()
    """Rules from a matched id to the person, where one person has several ids (visits, follow-ups)."""
    targets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """Task to the columns that can hold its label; the first present one counts unless a column is named."""
    constant: Mapping[str, str] = field(default_factory=dict)
    """Task to the class that every case of the cohort has: all patients, all grade 4."""
    age: tuple[str, ...] = ()
    age_at: Literal["visit", "baseline"] = "visit"
    """When the age column was true: on the row's visit, or when the subject joined."""
    years_since_baseline: str = ""
    birth: str = ""
    """Column of the date or year of birth, from which ages follow where there is no age column."""
    sex: tuple[str, ...] = ()
    sex_codes: Mapping[str, str] = field(default_factory=dict)
    """Code to `F` or `M`, beyond the words that need none."""
    site: tuple[str, ...] = ()
    site_pattern: str = ""
    """Where no column has it: pattern that captures the site in a study's names."""
    family: str = ""
    session: tuple[str, ...] = ()
    """Column of the session's label, compared with the study's."""
    day: str = ""
    """Column of the visit's day since entry."""
    date: str = ""
    date_format: str = ""
    """As for `datetime.strptime`; ISO 8601 needs none."""
    visit: tuple[str, ...] = ()
    """Column of the visit's code: `bl`, `m06`."""
    scan_day: str = ""
    """Pattern that captures the scan's day since entry in a study's names."""
    scan_date: str = ""
    """Pattern that captures the scan's date (ISO 8601) in a study's names."""
    split: str = ""
    scanner: str = ""
    field_strength: str = ""
    icv: str = ""
    """Column of the intracranial volume."""
    missing: tuple[str, ...] = ()
    """Codes of missing values beyond those of `values.MISSING`; ids are exempt."""
    duplicates: Literal["refuse", "leave-out"] = "refuse"
    """What is done with an id whose rows disagree about the label."""
    contains: tuple[str, ...] = ()
    """Cohorts whose scans this one holds, under other ids."""
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    """What of this rests on one source: told on every use."""

    def __post_init__(self) -> None:
        _check_choice("age_at", [self.age_at], ("visit", "baseline"))
        _check_choice("duplicates", [self.duplicates], ("refuse", "leave-out"))
        _check_choice("sex_codes", self.sex_codes.values(), ("F", "M"))
        for name in self.person:
            rule(name)
        for regex in (self.site_pattern, self.scan_day, self.scan_date):
            if regex:
                pattern(regex)
        for task in (*self.targets, *self.constant):
            label_task(task)
        for task, target in ((task, target) for task, columns in self.targets.items() for target in columns):
            self._check_classes(task, filter(None, (*target.classes.values(), target.blank)))
        for task, name_of_class in self.constant.items():
            self._check_classes(task, [name_of_class])

    def _check_classes(self, task: str, classes: Iterable[str]) -> None:
        known = {*label_task(task).classes, *label_task(task).words.values()}
        for name in classes:
            if known and name not in known:
                raise UsageError(
                    f"cohort {self.name!r} maps a value of task {task} to the class {name!r}: "
                    f"expected one of {', '.join(sorted(known))}"
                )

    @property
    def has_times(self) -> bool:
        """Whether labels belong to visits, so that each scan has to find its own."""
        return bool(self.day or self.date or self.visit)

    def tasks(self) -> tuple[str, ...]:
        """Tasks that the cohort has labels for."""
        ages = ("brain-age",) if self.age or self.birth else ()
        return (*ages, *dict.fromkeys((*self.targets, *self.constant)))


def _check_choice(field_name: str, values: Iterable[str], choices: tuple[str, ...]) -> None:
    for value in values:
        if value not in choices:
            raise UsageError(f"a cohort's {field_name} is {value!r}: expected {' or '.join(choices)}")
