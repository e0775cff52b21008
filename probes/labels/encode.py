"""The labels of a task: from the cohort's column, the user's, or the class that all cases of a cohort have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cells import (
    MISSING,
    Label,
    LabelColumn,
    Labels,
    by_counts,
    by_description,
    by_mapping,
    by_positive,
    by_values,
    by_words,
)
from prima_features.probes.labels.cohorts import Cohort, Target
from prima_features.probes.labels.records import LabelRequest, LabelTask, label_task
from prima_features.probes.labels.tables import LEVELS, find, first
from prima_features.probes.labels.times import age
from prima_features.probes.labels.values import is_missing
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd


def encode(table: pd.DataFrame, request: LabelRequest, cohort: Cohort) -> Labels:
    """The target of each row. Brain age is not encoded here: its target is the age at the scan.

    Raises:
        UsageError: neither the cohort nor the user says where the label is, or what its values mean.
    """
    task = label_task(request.task)
    target = _target(table, task, request.target_column, cohort)
    if target is None and request.positive:
        raise UsageError("--positive names values of the label column: name that column with --target-column")
    if target is None:
        constant = constant_label(request, cohort)
        return Labels((Label(constant),) * len(table), asked_classes(request))
    column = _column(table, target.column, cohort)
    found = _encoded(column, target.classes, task, request)
    if target.blank and not request.positive:
        found = _with_blanks(found, target, table, cohort, task.class_of(target.blank, found.classes))
    return replace(found, warnings=(*column.warnings, *found.warnings))


def _with_blanks(found: Labels, target: Target, table: pd.DataFrame, cohort: Cohort, name: str) -> Labels:
    """The labels with the class that the cohort gives young subjects without a value."""
    column = first(table.columns, cohort.age)
    if not column or not name:
        return found
    years = [None if is_missing(cell, cohort.missing) else age(cell) for cell in table[column]]
    is_blank = [
        label.reason == MISSING and value is not None and value < target.blank_under
        for label, value in zip(found.rows, years, strict=True)
    ]
    if not any(is_blank):
        return found
    rows = tuple(Label(name) if blank else label for label, blank in zip(found.rows, is_blank, strict=True))
    note = (
        f"{count(sum(is_blank), 'row')} of subjects under {target.blank_under:g} without a {target.column} "
        f"{verb(sum(is_blank), 'is', 'are')} taken as {name} "
        f"({target.blank_source or 'as the cohort file says'}); --blank-labels missing leaves them out"
    )
    return replace(found, rows=rows, warnings=(*found.warnings, note))


def _encoded(
    column: LabelColumn, classes: Mapping[str, str], task: LabelTask, request: LabelRequest
) -> Labels:
    if request.positive:
        return by_positive(column, request.positive, task)
    if task.name == "change":
        return by_values(column, replace(request, kind="number"))
    if task.name == "nihss" or (task.name == "custom" and request.kind == "count"):
        return by_counts(column)
    if not task.classes:
        _check_values("--classes", request.classes, column)
        return by_values(column, request)
    if not classes:
        return by_words(column, task, asked_classes(request))
    return by_mapping(column, classes, task, asked_classes(request))


def _column(table: pd.DataFrame, name: str, cohort: Cohort) -> LabelColumn:
    levels = table.attrs.get(LEVELS, {}).get(name, {})
    return LabelColumn.read(name, list(table[name]), cohort.missing, levels)


def _check_values(option: str, named: Sequence[str], column: LabelColumn) -> None:
    values = column.values()
    absent = [value for value in named if column.code(value) not in values]
    if absent:
        raise UsageError(
            f"{option} names {', '.join(absent)}, but {column.name} has no such value: "
            f"found {', '.join(sorted(values.values())[:10]) or 'none'}"
        )


def require_ages(table: pd.DataFrame, cohort: Cohort) -> None:
    """Refuse a table without ages.

    Raises:
        UsageError: it has neither a column of ages nor one of birth dates, or no cell of it is an age.
    """
    names = tuple(filter(None, (*cohort.age, cohort.birth)))
    column = first(table.columns, cohort.age)
    said = [cell for cell in table[column] if not is_missing(cell, cohort.missing)] if column else []
    if said and all(age(cell) is None for cell in said):
        raise UsageError(
            f"the column {column} contains no ages (found, for example, {said[0]!r}): name the column of ages with "
            "--age-column"
        )
    if not first(table.columns, names):
        expected = " or ".join(names) or "ages"
        raise UsageError(
            f"the labels have no column {expected}: found {', '.join(table.columns[:12])}; "
            "name the column of ages with --age-column"
        )


def controls(table: pd.DataFrame, request: LabelRequest, cohort: Cohort) -> Labels:
    """Whether each row is a control or a patient, if the cohort or the user says so.

    Raises:
        UsageError: no value of the column that the user names means a control by itself, or it lacks a value of
            --control-values.
    """
    task = label_task("health")
    target = _target(table, task, "", cohort)
    if target is None:
        return Labels((Label(cohort.constant.get("health")),) * len(table))
    column = _column(table, target.column, cohort)
    values = column.values()
    is_named = bool(request.control_column and not request.control_values)
    if is_named and (described := by_description(column, task, task.classes)) is not None:
        return replace(described, warnings=(*column.warnings, *described.warnings))
    if is_named and values and not (task.words.keys() - {"0"}) & values.keys():
        raise UsageError(
            f"no value of {target.column} ({', '.join(sorted(values.values())[:5])}) clearly means a control: name "
            "those that do with --control-values"
        )
    if request.control_column:
        _check_values("--control-values", request.control_values, column)
    found = by_mapping(column, target.classes, task, task.classes)
    if target.blank:
        found = _with_blanks(found, target, table, cohort, target.blank)
    return replace(found, warnings=(*column.warnings, *found.warnings))


def constant_label(request: LabelRequest, cohort: Cohort) -> str:
    """The class that every case of the cohort has.

    Raises:
        UsageError: it has none for the task, or one that is not asked for.
    """
    task = label_task(request.task)
    name = task.class_of(cohort.constant.get(task.name, ""), asked_classes(request))
    if not name:
        known = f"cohort {cohort.name} has labels for {', '.join(cohort.tasks())}"
        raise UsageError(
            f"the label column of {task.name} is unknown "
            f"({known if cohort.name else 'no --cohort was given'}): name it with --target-column, or for prima bench "
            f"with --task {request.task}=COLUMN"
        )
    return name


def asked_classes(request: LabelRequest) -> tuple[str, ...]:
    """The classes to distinguish.

    Raises:
        UsageError: the task has no such class.
    """
    task = label_task(request.task)
    known = {*task.classes, *task.words.values()}
    for name in request.classes:
        if known and name not in known:
            raise UsageError(
                f"the task {task.name} has no class {name!r}: expected some of {', '.join(sorted(known))}"
            )
    return request.classes or task.classes


def _target(table: pd.DataFrame, task: LabelTask, named: str, cohort: Cohort) -> Target | None:
    """The column of the label, as the table writes it, and what its values mean; None if the cohort has none."""
    targets = cohort.targets.get(task.name, ())
    if named:
        column = find(table.columns, named)
        known = (target for target in targets if find([column], target.column))
        return replace(next(known, Target("", {})), column=column)
    for target in targets:
        if column := find(table.columns, target.column):
            return replace(target, column=column)
    if targets and task.name not in cohort.constant and task.name != "health":
        expected = " or ".join(target.column for target in targets)
        raise UsageError(
            f"the labels of cohort {cohort.name} have no column {expected}: found "
            f"{', '.join(table.columns[:12])}; give the table that has it, "
            "or name another with --target-column"
        )
    return None
