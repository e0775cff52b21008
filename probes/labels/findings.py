"""Several labels of one study, such as findings that can be present together.

They are in a column of yes and no for each, or in one column whose cells list names (`name_lists`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.kinds.labels import MIN_PER_LABEL, encoded
from prima_features.probes.labels.cells import MISSING, Label, LabelColumn, Labels
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.name_lists import by_names
from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.tables import LEVELS, find
from prima_features.probes.labels.values import is_missing
from prima_features.probes.tasks import findings
from prima_features.wording import count, listed, verb

if TYPE_CHECKING:
    import pandas as pd

PRESENT = frozenset({"1", "yes", "y", "true", "t", "present", "positive", "pos"})
ABSENT = frozenset({"0", "no", "n", "false", "f", "absent", "negative", "neg"})
_UNKNOWN = "?"
_SHOWN = 10
"""Most rare labels that a sentence names: a column of free text has hundreds."""


def encode_findings(table: pd.DataFrame, request: LabelRequest, cohort: Cohort) -> Labels:
    """The labels of each row as the text of a target (`kinds.labels.encoded`); their names are the classes.

    A blank cell is an unknown label, never an absent one. Rows without a known label have no target.

    Raises:
        UsageError: no column is named, or one twice; a value does not say whether the label is present, or a single
            column does not list names.
    """
    if request.target_column:
        raise UsageError("findings takes its columns from --label-columns, not from --target-column")
    names = request.label_columns
    if not names or len(set(names)) < len(names):
        raise UsageError(
            "findings needs two or more different columns of yes and no, or one whose cells list names: name them with "
            "--label-columns"
        )
    columns = [_column(table, name, cohort) for name in names]
    warnings = [text for column in columns for text in column.warnings]
    if len(columns) == 1:
        if request.positive:
            raise UsageError("--positive is for label columns of yes and no, not for one that lists names")
        names, known, notes = by_names(columns[0], request.classes, all_occur=not request.all_labels)
        warnings += notes
    else:
        if request.classes:
            raise UsageError(
                "--classes chooses names of one label column that lists them, not among label columns"
            )
        _check_positive(columns, request)
        known = list(zip(*(_read(column, request) for column in columns), strict=True))
    rows = [Label(None, MISSING) if all(one is None for one in own) else Label(encoded(own)) for own in known]
    return Labels(tuple(rows), names, tuple(warnings))


def _column(table: pd.DataFrame, name: str, cohort: Cohort) -> LabelColumn:
    found = find(table.columns, name)
    levels = table.attrs.get(LEVELS, {}).get(found, {})
    return LabelColumn.read(name, list(table[found]), cohort.missing, levels)


def _check_positive(columns: list[LabelColumn], request: LabelRequest) -> None:
    values = {value for column in columns for value in column.values()}
    if absent := [text for text in request.positive if not any(c.code(text) in values for c in columns)]:
        raise UsageError(
            f"--positive names {listed(absent)}, but no label column has this value: found "
            f"{', '.join(sorted(values)[:10]) or 'none'}"
        )


def _read(column: LabelColumn, request: LabelRequest) -> list[float | None]:
    """1, 0 or None for each cell."""
    values = column.values()
    positive = {column.code(text) for text in request.positive or PRESENT}
    negative = values.keys() - positive if request.positive else {column.code(text) for text in ABSENT}
    if unclear := [text for value, text in values.items() if value not in positive | negative]:
        raise UsageError(
            f"it is unclear whether {', '.join(unclear[:5])} in {column.name} means that the label is present: name "
            "the values that do with --positive, or codes of unknown labels with --missing-values"
        )
    return [
        None if is_missing(cell, column.missing) else float(column.code(cell) in positive)
        for cell in column.cells
    ]


def labels_here(
    frame: pd.DataFrame, names: tuple[str, ...], request: LabelRequest
) -> tuple[pd.DataFrame, tuple[str, ...], list[str], tuple[str, ...]]:
    """The labels that enough matched subjects have and lack.

    Args:
        frame: matched studies.
        names: of all labels in the targets.
        request: whether all are kept.

    Returns:
        the studies with these labels in their targets, the labels' names, studies that are left without a known label,
        and warnings in a sentence each.

    Raises:
        UsageError: fewer than two labels are left.
    """
    y = np.array([text.split(",") for text in frame["target"]]).reshape(len(frame), len(names))
    groups = frame["group"].to_numpy(dtype=str)
    sizes = {
        name: tuple(len(np.unique(groups[column == value])) for value in "10")
        for name, column in zip(names, y.T, strict=True)
    }
    kept = [name for name in names if request.all_labels or min(sizes[name]) >= MIN_PER_LABEL]
    if len(kept) == len(names):
        return frame, names, [], ()
    rare = [f"{name} ({sizes[name][0]} and {sizes[name][1]})" for name in names if name not in kept]
    n_rare = len(rare)
    if n_rare > _SHOWN:
        rare = [*rare[:_SHOWN], f"{n_rare - _SHOWN} more"]
    if len(kept) < 2:
        raise UsageError(
            f"findings needs two labels that {MIN_PER_LABEL} or more subjects have and as many do not, but too few "
            f"have, or lack, {listed(rare)}"
        )
    y = y[:, [names.index(name) for name in kept]]
    known = (y != _UNKNOWN).any(axis=1)
    lost = frame["study"][~known].tolist()
    frame = frame.assign(target=[",".join(row) for row in y])[known].reset_index(drop=True)
    notes = [
        f"{count(n_rare, 'label')} {verb(n_rare, 'is', 'are')} left out, because fewer than {MIN_PER_LABEL} "
        f"subjects have, or lack, {listed(rare)}"
    ]
    return frame, findings(kept).labels, lost, tuple(notes)
