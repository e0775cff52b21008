"""Joining labels to the studies of an embeddings file: one table from all that is given, and a row of it per study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes import tasks
from prima_features.probes.labels.cells import Label
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.encode import asked_classes, constant_label, controls, encode, require_ages
from prima_features.probes.labels.findings import encode_findings, labels_here
from prima_features.probes.labels.matching import Choice, Match, choose, match
from prima_features.probes.labels.records import Joined, LabelRequest, label_task
from prima_features.probes.labels.results import (
    AMBIGUOUS,
    NO_ID,
    about_choices,
    about_rows,
    about_sessions,
    about_studies,
    about_visits,
    is_one_file,
    matched_frame,
    refuse_disagreement,
    refuse_empty,
    remarks,
    unmatched_labels,
    unmatched_studies,
    with_missing,
)
from prima_features.probes.labels.rows import LabelRow, Person, read_rows, with_age_as_target
from prima_features.probes.labels.scans import Scan, is_private, scan_dates, scans
from prima_features.probes.labels.survival import encode_survival, survival_task, time_unit
from prima_features.probes.labels.tables import (
    LEVELS,
    SESSIONS,
    WARNINGS,
    check_named,
    combine,
    effective,
    first,
    id_column,
    named,
    read_levels,
    read_table,
    subject_sessions,
)
from prima_features.probes.labels.times import Time
from prima_features.probes.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

Wanted = list[tuple[str, ...]]
"""Groups of column names: of each, one column is enough."""
_ENCODERS = {"survival": encode_survival, "findings": encode_findings}
"""By task; labels of others are in one column."""


def gather(request: LabelRequest, cohort: Cohort) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One table of text from all that is given, and warnings in a sentence each.

    The table's `attrs` have what its JSON files say of codes, under `tables.LEVELS`.

    The first table is the main one. The others add columns that it lacks, by id, and by visit or session
    if they have several rows per subject. A folder's tables are read until all needed columns are found; those
    of its sessions are read even then, since their values are nearer to the scan.

    Raises:
        UsageError: a path is missing, a folder contains no table, or a column of ids or a named one is absent.
    """
    (main, table), *others = _tables(request, cohort)
    warnings = list(table.attrs.get(WARNINGS, ()))
    id_column(table, main, [item.column for item in cohort.ids])
    for label, other in others:
        table, notes = combine(table, other, label, cohort)
        warnings += [*other.attrs.get(WARNINGS, ()), *notes]
    for folder in (path for path in request.labels if path.is_dir()):
        warnings += _about_versions(folder, cohort)
    check_named(table.columns, request)
    levels, unread = read_levels(_described(request.labels))
    table.attrs[LEVELS] = levels
    warnings += unread
    return table, tuple(warnings)


def _described(labels: Iterable[Path]) -> Iterator[Path]:
    """The tables that a JSON file of the same name can describe."""
    for path in labels:
        if path.is_dir():
            yield from (path / "participants.tsv", path / SESSIONS, *sorted(path.glob("phenotype/*.tsv")))
        else:
            yield path


def _about_versions(folder: Path, cohort: Cohort) -> Iterator[str]:
    """A sentence if a folder has several files of the cohort's main table: versions may differ."""
    found = sorted(folder.glob(cohort.files[0])) if cohort.files else []
    if len(found) > 1:
        others = ", ".join(path.name for path in found[1:])
        yield f"{folder.name} has several main tables: {found[0].name} was read first, and {others} only adds to it"


def _wanted(request: LabelRequest, cohort: Cohort) -> Wanted:
    """The columns to look for in a folder, each with its alternatives."""
    groups: Wanted = [(name,) for _, name in named(request)]
    ages = tuple(filter(None, (*cohort.age, cohort.birth)))
    if not cohort.name:
        # Of an unknown dataset's many tables only those that are needed: others may not even fit together.
        return [*groups, ages] if request.task in ("brain-age", "change") else groups
    if not request.target_column:
        groups.append(tuple(target.column for target in cohort.targets.get(request.task, ())))
    if request.task == "survival":
        own = cohort.survival
        groups += [(name,) for name in (own.time, own.event, own.censored_time) if name]
    times = tuple(filter(None, (cohort.date, cohort.day)))
    groups += [ages, cohort.sex, cohort.site, (cohort.family,), times]
    return [group for group in groups if any(group)]


def _of_visits(cohort: Cohort) -> Wanted:
    """Columns that change between visits and are worth reading whatever the task: ages, for the baseline."""
    ages = tuple(filter(None, (*cohort.age, cohort.birth)))
    return [ages] if ages else []


def _tables(request: LabelRequest, cohort: Cohort) -> Iterator[tuple[str, pd.DataFrame]]:
    wanted = unmet = _wanted(request, cohort)
    for path in request.labels:
        if not path.is_dir():
            yield path.name, read_table(path)
            continue
        for i, (name, read) in enumerate(_folder_tables(path, cohort)):
            # What a table of sessions says of a scan replaces what the table of subjects says.
            needed = [*wanted, *_of_visits(cohort)] if name == SESSIONS and not cohort.name else unmet
            if not needed and i:
                continue
            table = read()
            if not i or len(_still_unmet(needed, table)) < len(needed):
                yield name, table
            unmet = _still_unmet(unmet, table)


def _still_unmet(unmet: Wanted, table: pd.DataFrame) -> Wanted:
    return [group for group in unmet if not first(table.columns, group)]


def _folder_tables(folder: Path, cohort: Cohort) -> list[tuple[str, Callable[[], pd.DataFrame]]]:
    """Names and readers of a cohort's own tables if the folder has them, then of those of a BIDS dataset."""
    own = [path for name in cohort.files for path in sorted(folder.glob(name)) if path.is_file()]
    bids = [path for name in ("participants.tsv", SESSIONS) if (path := folder / name).is_file()]
    nested = sorted(folder.glob("sub-*/sub-*_sessions.tsv"))
    phenotype = sorted(folder.glob("phenotype/*.tsv"))
    if not (own or bids or nested or phenotype):
        expected = ", ".join((*cohort.files, "participants.tsv"))
        raise UsageError(
            f"the folder {folder} contains no label table: expected {expected}, or name the file"
        )

    def readers(paths: Iterable[Path]) -> list[tuple[str, Callable[[], pd.DataFrame]]]:
        return [(path.name, partial(read_table, path)) for path in dict.fromkeys(paths)]

    sessions = [(SESSIONS, partial(subject_sessions, nested))] if nested else []
    return [*readers((*own, *bids)), *sessions, *readers(phenotype)]


def join(embeddings: Embeddings, request: LabelRequest) -> Joined:
    """Each study with its label, its group and what is known of its subject.

    A study's label is found by id (see `ids`), then by session or by the nearest visit (see `visits`). Rows
    of one id that agree count once.

    Raises:
        UsageError: a table, column, cohort or class is not there, rows of one id disagree, or no study has a
            label.
    """
    label_task(request.task)
    if request.label_columns and request.task != "findings":
        raise UsageError("--label-columns is for the task findings")
    cohort = effective(request)
    if request.task == "survival":
        time_unit(request, cohort)
    found = _scans(embeddings, request, cohort)
    if not request.labels:
        return _all_alike(found, request, cohort)
    table, notes = gather(request, cohort)
    rows, classes, warnings = _read(table, request, cohort)
    matches, more = match(found, rows, cohort)
    choices = _choose_all(found, matches, rows, request)
    if cohort.duplicates == "refuse":
        refuse_disagreement(found, choices)
    refuse_empty(found, rows, choices, cohort, table)
    near = {row.number for own in matches for row in own.rows}
    lost = unmatched_labels(rows, choices, near, private=is_private(found))
    return _joined(found, choices, classes, lost, (*notes, *warnings, *more), request, cohort)


def describe(embeddings: Embeddings, request: LabelRequest) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """What tables say about each study, except its label: age, sex, site and the rest of `Joined.frame`.

    Returns:
        one row per study of the file, also for those that no table has; and warnings, a sentence each.

    Raises:
        UsageError: a table or column is not there, or no table has any of the studies.
    """
    cohort = effective(request)
    found = _scans(embeddings, request, cohort)
    choices = [Choice(None)] * len(found)
    warnings: tuple[str, ...] = ()
    if request.labels:
        table, notes = gather(request, cohort)
        there = [Label("there")] * len(table)
        healthy = controls(table, request, cohort)
        rows, warnings = read_rows(table, cohort, there, healthy.rows)
        matches, more = match(found, rows, cohort)
        choices = _choose_all(found, matches, rows, request)
        refuse_empty(found, rows, choices, cohort, table)
        lost = unmatched_labels(rows, choices, {row.number for own in matches for row in own.rows})
        without = about_studies(choices, "has no row in the tables", "have no row in the tables")
        warnings = (
            *notes,
            *warnings,
            *more,
            *about_choices(choices),
            *about_sessions(found, choices),
            *without,
            *about_rows(lost, numbered=is_one_file(request)),
        )
    unknown = Choice(LabelRow(-1, (), "", Time(), Label(None), Person()))
    choices = [choice if choice.row else unknown for choice in choices]
    frame = matched_frame(found, choices, request, cohort).drop(columns="target")
    return frame.assign(subject=[scan.subject for scan in found]), warnings


def _scans(embeddings: Embeddings, request: LabelRequest, cohort: Cohort) -> tuple[Scan, ...]:
    folders = tuple(path for path in request.labels if path.is_dir())
    found = scans(embeddings, cohort, scan_dates(request.scan_dates, folders, request.date_format))
    if not found:
        raise UsageError("the embeddings file contains no studies: embed some with prima embed")
    return found


def _read(
    table: pd.DataFrame, request: LabelRequest, cohort: Cohort
) -> tuple[tuple[LabelRow, ...], tuple[str, ...], tuple[str, ...]]:
    healthy = controls(table, request, cohort)
    visitless = about_visits(cohort, table)
    if request.task == "brain-age":
        require_ages(table, cohort)
        rows, warnings = read_rows(table, cohort, [Label(None)] * len(table), healthy.rows)
        return with_age_as_target(rows), (), (*healthy.warnings, *visitless, *warnings)
    labels = _ENCODERS.get(request.task, encode)(table, request, cohort)
    rows, warnings = read_rows(table, cohort, labels.rows, healthy.rows)
    return rows, labels.classes, (*labels.warnings, *visitless, *warnings)


def _choose_all(
    found: Sequence[Scan], matches: Sequence[Match], rows: Sequence[LabelRow], request: LabelRequest
) -> list[Choice]:
    has_times = any(row.time.is_known for row in rows)

    def of(scan: Scan, own: Match) -> Choice:
        if own.rivals:
            return Choice(None, AMBIGUOUS, "" if is_private(found) else " or ".join(own.rivals[:5]))
        return (
            choose(own.rows, scan, request.max_days, has_times=has_times) if own.rows else Choice(None, NO_ID)
        )

    return [of(scan, own) for scan, own in zip(found, matches, strict=True)]


def _all_alike(found: Sequence[Scan], request: LabelRequest, cohort: Cohort) -> Joined:
    """The join without a table, for a cohort whose cases all have one class."""
    label = Label(constant_label(request, cohort))
    health = cohort.constant.get("health")
    person = Person(control=float(health == "control")) if health else Person()
    choices = [Choice(LabelRow(-1, (), "", Time(), label, person))] * len(found)
    none = unmatched_labels((), choices, set())
    return _joined(found, choices, asked_classes(request), none, (), request, cohort)


def _joined(
    found: Sequence[Scan],
    choices: Sequence[Choice],
    classes: tuple[str, ...],
    lost: pd.DataFrame,
    warnings: tuple[str, ...],
    request: LabelRequest,
    cohort: Cohort,
) -> Joined:
    frame, lost_studies = matched_frame(found, choices, request, cohort), unmatched_studies(found, choices)
    labels: tuple[str, ...] = ()
    if request.task == "findings":
        frame, labels, without, absent = labels_here(frame, classes, request)
        lost_studies = with_missing(lost_studies, without)
        classes = ()
    else:
        classes, absent = _classes_here(classes, frame, request)
    return Joined(
        frame=frame,
        classes=classes,
        unmatched_studies=lost_studies,
        unmatched_labels=lost,
        warnings=(*warnings, *absent, *remarks(frame, found, choices, lost, classes, cohort, request)),
        cohort=cohort.name,
        task=request.task,
        request=request,
        unit=time_unit(request, cohort) if request.task == "survival" else "",
        labels=labels,
    )


def _classes_here(
    classes: tuple[str, ...], frame: pd.DataFrame, request: LabelRequest
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of a custom target that nobody listed, without those that only other rows of the table have.

    Returns:
        the classes, and a warning that names the ones left out.
    """
    if label_task(request.task).classes or request.classes or request.positive:
        return classes, ()
    here = tuple(name for name in classes if name in set(frame["target"]))
    absent = [name for name in classes if name not in here]
    if len(here) < 2 or not absent:
        return classes, ()
    return here, (f"no study has the label {' or '.join(absent)}: the probe does not have it as a class",)


def task_of(joined: Joined) -> Task:
    """The task of joined labels, with its classes and scale, its labels, its unit and horizons, or what changes."""
    if joined.labels:
        return tasks.findings(joined.labels)
    if joined.is_survival:
        return survival_task(joined)
    if joined.task == "change":
        return tasks.change(joined.request.target_column, per_year=joined.request.change.per_year)
    if joined.task == "custom":
        return tasks.custom(joined.request.target_column, joined.classes, joined.scale)
    return tasks.get(joined.task, joined.classes, scale=joined.scale)
