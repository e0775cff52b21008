"""Finding columns, and putting the columns that a user names in place of a cohort's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import ANY_TABLE, Cohort, IdColumn, Target, get
from prima_features.probes.labels.records import LABEL_TASKS, LabelRequest
from prima_features.probes.labels.values import code, tidy

_NAMED = {
    "id_column": "",
    "target_column": "",
    "group_column": "family",
    "site_column": "site",
    "age_column": "age",
    "sex_column": "sex",
    "split_column": "split",
    "scanner_column": "scanner",
    "field_strength_column": "field_strength",
    "session_column": "session",
    "date_column": "date",
    "control_column": "",
}
"""Attributes of a request to the field of a cohort that each takes the place of."""


def find(columns: Iterable[str], name: str) -> str:
    """The column of this name, else the only one that differs in case, or in case, spaces and hyphens; or empty."""
    columns = list(columns)
    if name in columns or not name:
        return name
    for form in (str.casefold, _squashed):
        near = [column for column in columns if form(column) == form(name)]
        if near:
            return near[0] if len(near) == 1 else ""
    return ""


def _squashed(name: str) -> str:
    return re.sub(r"[\s_-]+", "", tidy(name).casefold())


def first(columns: Iterable[str], names: Iterable[str]) -> str:
    """The first of these columns that there is; empty where there is none."""
    columns = list(columns)
    return next((column for name in names if (column := find(columns, name))), "")


def named(request: LabelRequest) -> dict[str, str]:
    """The columns that the user named, by option."""
    return {f"--{option.replace('_', '-')}": name for option in _NAMED if (name := getattr(request, option))}


def check_named(columns: Iterable[str], request: LabelRequest) -> None:
    """Refuse a column that was named and is not there.

    Raises:
        UsageError: with the nearest names.
    """
    columns = list(columns)
    for option, name in named(request).items():
        if not find(columns, name):
            near = get_close_matches(name, columns, n=3, cutoff=0.4) or columns[:12]
            raise UsageError(
                f"the labels have no column {name!r} ({option}): expected one such as {', '.join(near)}"
            )


def effective(request: LabelRequest) -> Cohort:
    """The cohort asked for, with the columns that the user named in place of its own."""
    cohort = request.cohort
    if not isinstance(cohort, Cohort):
        cohort = get(cohort) if cohort else ANY_TABLE
    changes: dict[str, Any] = {}
    for option, field in _NAMED.items():
        if (name := getattr(request, option)) and field:
            changes[field] = (name,) if isinstance(getattr(cohort, field), tuple) else name
    if request.task == "brain-age" and request.target_column:
        changes["age"] = (request.target_column,)
    if "age" in changes:
        changes |= {"age_at": "visit", "birth": ""}
    if request.date_column:
        changes |= {"day": "", "visit": (), "date_format": ""}
    if request.date_format:
        changes["date_format"] = request.date_format
    if request.id_column:
        known = [item.rules for item in cohort.ids if item.column == request.id_column]
        rules = known or [item.rules for item in cohort.ids]
        changes["ids"] = tuple(IdColumn(request.id_column, chain) for chain in dict.fromkeys(rules))
    if request.missing_values:
        changes["missing"] = (*cohort.missing, *map(code, request.missing_values))
    if request.blank_labels == "missing":
        targets = {task: tuple(replace(one, blank="") for one in own) for task, own in cohort.targets.items()}
        cohort = replace(cohort, targets=targets)
    if request.control_column:
        changes["targets"] = {**cohort.targets, "health": (_control_target(request),)}
    return replace(cohort, **changes)


def _control_target(request: LabelRequest) -> Target:
    if request.control_values:
        classes = {code(value): "control" for value in request.control_values} | {"*": "patient"}
        return Target(request.control_column, classes)
    return Target(request.control_column, {**LABEL_TASKS["health"].words, "*": "patient"})
