"""Where a task's labels are: the cohort's column, the user's, or the class that all of a cohort have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cells import (
    Label,
    LabelColumn,
    Labels,
    by_mapping,
    by_positive,
    by_values,
    by_words,
)
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find, first
from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.targets import LabelTask, label_task
from prima_features.probes.labels.values import is_missing, number

if TYPE_CHECKING:
    import pandas as pd


def encode(table: pd.DataFrame, request: LabelRequest, cohort: Cohort) -> Labels:
    """The target of each row. Brain age is not encoded here: its target is the age at the scan.

    Raises:
        UsageError: neither the cohort nor the user says where the label is, or what its values mean.
    """
    task = label_task(request.task)
    name, classes = _column(table, task, request.target_column, cohort)
    if not name and not request.positive:
        constant = constant_label(request, cohort)
        return Labels((Label(constant),) * len(table), asked_classes(request))
    if not name:
        raise UsageError("--positive names values of the label, so it needs the label's --target-column")
    column = LabelColumn(name, list(table[name]), cohort.missing)
    if request.positive:
        return by_positive(column, request.positive, task)
    if not task.classes:
        return by_values(column, request)
    if not classes:
        return by_words(column, task, asked_classes(request))
    return by_mapping(column, classes, task, asked_classes(request))


def require_ages(table: pd.DataFrame, cohort: Cohort) -> None:
    """Refuse a table without ages.

    Raises:
        UsageError: it has neither a column of ages nor one of birth dates, or no cell of it is an age.
    """
    names = tuple(filter(None, (*cohort.age, cohort.birth)))
    column = first(table.columns, cohort.age)
    said = [cell for cell in table[column] if not is_missing(cell, cohort.missing)] if column else []
    if said and all(number(cell) is None for cell in said):
        raise UsageError(f"{column} holds no ages but such as {said[0]!r}: name the column with --age-column")
    if not first(table.columns, names):
        expected = " or ".join(names) or "ages"
        raise UsageError(
            f"the labels have no column {expected}: found {', '.join(table.columns[:12])}; "
            "name the one that holds ages with --age-column"
        )


def controls(table: pd.DataFrame, cohort: Cohort) -> tuple[Label, ...]:
    """Whether each row is a control or a patient, where the cohort says so."""
    task = label_task("health")
    name, classes = _column(table, task, "", cohort)
    if not name:
        return (Label(cohort.constant.get("health")),) * len(table)
    return by_mapping(LabelColumn(name, list(table[name]), cohort.missing), classes, task, task.classes).rows


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
            f"nothing says where the label of {task.name} is "
            f"({known if cohort.name else 'no cohort is named'}): name its column with --target-column"
        )
    return name


def asked_classes(request: LabelRequest) -> tuple[str, ...]:
    """The classes to tell apart.

    Raises:
        UsageError: the task has no such class.
    """
    task = label_task(request.task)
    known = {*task.classes, *task.words.values()}
    for name in request.classes:
        if known and name not in known:
            raise UsageError(
                f"{task.name} has no class {name!r}: expected some of {', '.join(sorted(known))}"
            )
    return request.classes or task.classes


def _column(
    table: pd.DataFrame, task: LabelTask, named: str, cohort: Cohort
) -> tuple[str, Mapping[str, str]]:
    """The column of the label and what its values mean; none where the cohort does not have one."""
    targets = cohort.targets.get(task.name, ())
    if named:
        known = (target.classes for target in targets if target.column == named)
        return find(table.columns, named), next(known, {})
    for target in targets:
        if column := find(table.columns, target.column):
            return column, target.classes
    if targets and task.name not in cohort.constant and task.name != "health":
        expected = " or ".join(target.column for target in targets)
        raise UsageError(
            f"the labels of cohort {cohort.name} have no column {expected}: found "
            f"{', '.join(table.columns[:12])}; give the table that has it, "
            "or name another with --target-column"
        )
    return "", {}
