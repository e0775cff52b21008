"""What a cohort's label table looks like, as data: a preset, or a user's TOML file of the same shape.

Each preset is a file in `presets/`. Its encodings are those of the cohort's own tables; what rests on a single source
is listed in `unverified`. A user's file (`--cohort FILE.toml`) has the fields of `Cohort`, alone or on top of a preset:

name = "my-adni"
base = "adni"                                  # optional: a preset that the rest changes
ids = [{column = "subject", rules = ["bare"]}]
date = "exam_date"

[[targets.dementia]]
column = "diagnosis"
classes = {0 = "cn", 1 = "mci", 2 = "ad"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from prima_features.errors import UsageError
from prima_features.files.safe import TOML_BYTES, UnsafeFileError, load_toml, read_text
from prima_features.probes.labels.records import label_task
from prima_features.probes.labels.values import code, pattern, rule


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
    """A column with the label of a task."""

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
class SurvivalColumns:
    """Columns with a time to an event."""

    time: str = ""
    event: str = ""
    """Empty if the column of times says who was censored (`censored_pattern`)."""
    unit: str = ""
    """`days`, `months` or `years`."""
    events: tuple[str, ...] = ()
    """Values of `event` that mean the event; empty: words that do so by themselves."""
    censored: tuple[str, ...] = ()
    """Values that mean censoring, likewise."""
    censored_time: str = ""
    """Column of the time of censoring, for rows without a `time`."""
    censored_pattern: str = ""
    """Pattern that matches the times of censored rows and captures the number; other rows had the event."""

    def __post_init__(self) -> None:
        if self.censored_pattern:
            pattern(self.censored_pattern)
        _check_choice("survival.unit", [self.unit] if self.unit else [], ("days", "months", "years"))


@dataclass(frozen=True)
class Cohort:
    """A cohort's label table. Columns that it lacks are passed over; a tuple's first present one counts."""

    name: str = ""
    title: str = ""
    files: tuple[str, ...] = ()
    """Patterns of the label tables' file names, the main one first."""
    ids: tuple[IdColumn, ...] = ()
    person: tuple[str, ...] = ()
    """Rules from a matched id to the person, if one person has several ids (visits, follow-ups)."""
    targets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """Task to the columns that can contain its label; the first present one counts unless a column is named."""
    constant: Mapping[str, str] = field(default_factory=dict)
    """Task to the class that every case of the cohort has: all patients, all grade 4."""
    survival: SurvivalColumns = field(default_factory=SurvivalColumns)
    age: tuple[str, ...] = ()
    age_at: Literal["visit", "baseline"] = "visit"
    """When the age column was true: on the row's visit, or when the subject joined."""
    years_since_baseline: str = ""
    birth: str = ""
    """Column of the date or year of birth, from which ages follow if there is no age column."""
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
    visit_time: str = ""
    """Column of the time of the visit since any start, of longitudinal tasks."""
    scan_day: str = ""
    """Pattern that captures the scan's day since entry in a study's names."""
    scan_date: str = ""
    """Pattern that captures the scan's date (ISO 8601) in a study's names."""
    split: str = ""
    scanner: str = ""
    field_strength: str = ""
    icv: str = ""
    """Column of the intracranial volume."""
    grade: str = ""
    """Column of a tumour's grade, for a baseline of survival."""
    missing: tuple[str, ...] = ()
    """Codes of missing values beyond those of `values.MISSING`; ids are exempt."""
    duplicates: Literal["refuse", "leave-out"] = "refuse"
    """What is done with an id whose rows disagree about the label."""
    contains: tuple[str, ...] = ()
    """Cohorts whose scans this one contains under other ids."""
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    """What rests on a single source: reported on every use."""

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
        """Tasks that the cohort has labels for. `health`, which marks controls, is not a task."""
        ages = ("brain-age",) if self.age or self.birth else ()
        labelled = dict.fromkeys((*self.targets, *self.constant))
        survival = ("survival",) if self.survival.time else ()
        return (*ages, *(task for task in labelled if task != "health"), *survival)


def _check_choice(field_name: str, values: Iterable[str], choices: tuple[str, ...]) -> None:
    for value in values:
        if value not in choices:
            raise UsageError(f"the cohort's {field_name} is {value!r}: expected {' or '.join(choices)}")


def read_cohort(path: Path, presets: Mapping[str, Cohort]) -> Cohort:
    """The cohort that a TOML file describes.

    Raises:
        UsageError: it does not exist, is not TOML, or a field is unknown or of another kind than in `Cohort`.
    """
    if not path.is_file():
        raise UsageError(
            f"the cohort file {path} does not exist or is not a file: give a TOML file or the name of a preset"
        )
    try:
        content = load_toml(read_text(path, TOML_BYTES))
    except UnsafeFileError as error:
        raise UsageError(f"the cohort file {path} {error}: expected a cohort as TOML") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"the cohort file {path} is not TOML: {error}") from error
    base = content.pop("base", "")
    if base and base not in presets:
        raise UsageError(
            f"the cohort file {path} has the base {base!r}: expected one of {', '.join(presets)}"
        )
    try:
        return replace(presets.get(base, Cohort()), **{"name": path.stem, **_fields(content)})
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"the cohort file {path} has a field of the wrong type: {error}") from error


def _fields(content: dict[str, Any]) -> dict[str, Any]:
    defaults = Cohort()
    kinds: dict[str, type] = {field.name: type(getattr(defaults, field.name)) for field in fields(Cohort)}
    values = {}
    for name, value in content.items():
        if name not in kinds:
            raise UsageError(f"unknown field {name!r} in a cohort file: expected some of {', '.join(kinds)}")
        convert = _CONVERTERS.get(name, kinds[name])
        values[name] = convert(_checked(name, value, kinds[name]))
    return values


def _checked(name: str, value: Any, kind: type) -> Any:
    expected: type = {tuple: list, SurvivalColumns: dict}.get(kind, kind)
    good = isinstance(value, expected)
    if good and expected is list and name != "ids":
        good = all(isinstance(item, str) for item in value)
    if not good:
        raise UsageError(f"the cohort's field {name} is {value!r}: expected {_TOML_NAMES[expected]}")
    return value


def _targets(value: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[Target, ...]]:
    return {task: tuple(_target(**column) for column in columns) for task, columns in value.items()}


def _target(
    column: str, classes: dict[str, str], blank: str = "", blank_under: float = 0.0, blank_source: str = ""
) -> Target:
    return Target(column, _coded(classes), blank, float(blank_under), blank_source)


def _ids(value: list[dict[str, Any]]) -> tuple[IdColumn, ...]:
    return tuple(IdColumn(**item | {"rules": tuple(item.get("rules", ("bare",)))}) for item in value)


def _survival_columns(value: dict[str, Any]) -> SurvivalColumns:
    fields: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in value.items()
    }
    return SurvivalColumns(**fields)


def _coded(mapping: dict[str, str]) -> dict[str, str]:
    return {code(text): value for text, value in mapping.items()}


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "targets": _targets,
    "ids": _ids,
    "sex_codes": _coded,
    "missing": lambda value: tuple(map(code, value)),
    "survival": _survival_columns,
}
_TOML_NAMES: dict[type, str] = {str: "a string", list: "a list of strings", dict: "a table"}

PRESETS: dict[str, Cohort] = {
    path.stem: read_cohort(path, {}) for path in sorted(Path(__file__).with_name("presets").glob("*.toml"))
}
"""Presets by name."""

ANY_TABLE = Cohort(
    ids=tuple(
        IdColumn(column)
        for column in (
            "participant_id",
            "subject_id",
            "subject",
            "patient_id",
            "participant",
            "sub",
            "id",
            "study_id",
            "study_instance_uid",
        )
    ),
    age=("age",),
    sex=("sex", "gender"),
    site=("site", "site_id", "center", "centre"),
    session=("session_id", "session"),
    split="split",
    scanner="scanner",
    field_strength="magnetic_field_strength",
    icv="tiv",
)
"""Used if no cohort is named: the column names of BIDS and of most labs. Targets are columns that the user names."""


def get(name: str | Path) -> Cohort:
    """A preset by its name, or a cohort from a TOML file with the same fields.

    Raises:
        UsageError: no preset has the name and it is no TOML file, or the file does not describe a cohort.
    """
    if str(name).endswith(".toml"):
        return read_cohort(Path(name), PRESETS)
    if str(name) in PRESETS:
        return PRESETS[str(name)]
    near = get_close_matches(str(name), PRESETS, n=1)
    hint = f"did you mean {near[0]}?" if near else "or give a TOML file that describes the cohort"
    raise UsageError(f"unknown cohort {str(name)!r}: expected one of {', '.join(PRESETS)}; {hint}")


def overlap(first: str, second: str) -> str:
    """Why a probe trained on one of these cohorts must not be tested on the other; empty if no overlap is known."""
    if first == second:
        return f"the probe was trained on the same cohort ({first}): check that no subject is in both sets"
    for outer, inner in ((first, second), (second, first)):
        if inner in _contained(outer):
            return (
                f"{outer} contains scans of {inner} under other ids, so subjects of the training set may be in the "
                "test set"
            )
    common = sorted(_contained(first) & _contained(second))
    return f"{first} and {second} both contain scans of {', '.join(common)} under other ids" if common else ""


def _contained(name: str) -> set[str]:
    return set(PRESETS[name].contains) if name in PRESETS else set()
