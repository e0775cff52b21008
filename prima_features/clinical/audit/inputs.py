"""Joining scores with labels and attributes to one cohort.

Labels have one column per name, 1 or 0 or words for them; what is missing is unknown, never negative.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.clinical.audit.scores import (
    SESSION_COLUMNS,
    STUDY_COLUMNS,
    SUBJECT_COLUMNS,
    Scores,
    columns_of,
    find_column,
    read_frame,
)
from prima_features.errors import UsageError
from prima_features.files.cells import code, written
from prima_features.files.tables import spelling
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

_POSITIVE = {"1", "yes", "y", "true", "t", "present", "positive", "pos", "case"}
_NEGATIVE = {"0", "no", "n", "false", "f", "absent", "negative", "neg", "control"}
_UNCERTAIN = {"", "-1", "uncertain", "indeterminate", "equivocal"}
_BINARY = _POSITIVE | _NEGATIVE | _UNCERTAIN


@dataclass(frozen=True, eq=False)
class Cohort:
    """N studies with scores, labels and attributes."""

    scores: Scores
    label: np.ndarray
    """(N, M) int8: 1 present, 0 absent, -1 unknown."""
    subject: np.ndarray
    """(N,) text: rows of one subject are resampled together."""
    table: pd.DataFrame
    """(N, columns) text of the scores, label and attribute tables; empty if unknown."""
    unmatched: pd.DataFrame
    """Rows without a partner: table, id, reason."""
    attribute_columns: tuple[str, ...] = ()
    """Columns of the attribute tables that are no ids."""
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the M scores."""
        return self.scores.names

    def column(self, name: str, why: str) -> np.ndarray:
        """(N,) text of a column.

        Raises:
            UsageError: there is none; `why` is the option that asked for it.
        """
        if (found := find_column(self.table.columns, (name,))) is None:
            near = get_close_matches(name, list(self.table.columns), n=3, cutoff=0.4)
            hint = f", expected one such as {', '.join(near)}" if near else ""
            raise UsageError(f"no table has a column {name!r} ({why}){hint}")
        return self.table[found].to_numpy(dtype=str)


def join(
    scores: Scores,
    labels: Path | None,
    attributes: Sequence[Path] = (),
    id_column: str = "",
    target_column: str = "",
) -> Cohort:
    """Add labels and attributes to scores.

    Args:
        scores: N studies.
        labels: the table; None if the scores' own column `target` has the truth, as a probe's predictions do.
        attributes: further tables.
        id_column: of labels and attributes, if it has no usual name.
        target_column: one column of the labels with a class per study, in place of a column per name.

    Raises:
        UsageError: a table matches no study, has two different rows for one, or has no column for any name.
    """
    import pandas as pd

    table, notes, lost = scores.table.copy(), list(scores.notes), []
    described: list[str] = []
    if labels is None:
        if "target" not in table:
            raise UsageError(
                "the table of scores has no column target: give a table with the truth, --labels TABLE"
            )
        truth = table
        target_column = target_column or "target"
    else:
        frame = read_frame(labels, "the table of labels")
        rows, unmatched = match(scores.table, frame, labels, id_column)
        truth = _taken(frame, rows)
        if n := int((np.unique(rows[rows >= 0], return_counts=True)[1] > 1).sum()):
            notes.append(
                f"{labels.name} has labels per subject: {n:,} of them {verb(n, 'is', 'are')} used for several studies"
            )
        lost += unmatched
        without = np.flatnonzero(rows < 0)
        lost += [("scores", _id_of(scores.table, int(i)), "no label has the study's id") for i in without]
        table = _with(table, truth)
    label, more = _labels(scores, truth, target_column)
    notes += more
    for path in attributes:
        frame = read_frame(path, "the table of attributes")
        rows, unmatched = match(scores.table, frame, path, id_column)
        table = _with(table, _taken(frame, rows))
        ids = {*STUDY_COLUMNS, *SUBJECT_COLUMNS, *SESSION_COLUMNS, spelling(id_column)}
        described += [
            name for name in columns_of(frame) if spelling(name) not in ids and name not in described
        ]
        lost += [("attributes", one, reason) for _, one, reason in unmatched]
        if n := int((rows < 0).sum()):
            notes.append(
                f"{count(n, 'study')} {verb(n, 'has', 'have')} no row in {path.name}: attributes unknown"
            )
    if "counts" in scores.table:
        aside = (scores.table["counts"] == "0").to_numpy()
        label[aside] = -1
        if n := int(aside.sum()):
            notes.append(
                f"{count(n, 'row')} with counts 0 {verb(n, 'is', 'are')} left out, as in the probe's metrics"
            )
    subject, note = _subjects(table, is_probe="predicted" in scores.table)
    notes += note
    unmatched_table = pd.DataFrame(lost, columns=["table", "id", "reason"])
    return Cohort(scores, label, subject, table, unmatched_table, tuple(described), tuple(notes))


def match(
    studies: pd.DataFrame, other: pd.DataFrame, path: Path, id_column: str = ""
) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """Find the row of each study in another table.

    Study ids are compared first, then subject and session, then the subject alone. A prefix `sub-` or `ses-` makes no
    difference.

    Returns:
        (N,) row of the other table, -1 if it has none; and the other table's rows that no study has: (table, id,
        reason).
    """
    named = _named(other, (id_column,), path) if id_column else None
    study_of, subject_of = (
        find_column(other.columns, STUDY_COLUMNS),
        find_column(other.columns, SUBJECT_COLUMNS),
    )
    session_of = find_column(other.columns, SESSION_COLUMNS)
    own_study, own_subject, own_session = (
        find_column(studies.columns, names) for names in (STUDY_COLUMNS, SUBJECT_COLUMNS, SESSION_COLUMNS)
    )
    study_of, subject_of = (named, named) if named else (study_of, subject_of)
    pairs = [([own_study], [study_of])]
    if session_of and own_session:
        pairs.append(([own_subject, own_session], [subject_of, session_of]))
    pairs += [([own_subject], [subject_of]), ([own_study], [subject_of]), ([own_subject], [study_of])]
    for mine, theirs in pairs:
        if None in mine or None in theirs:
            continue
        keys = [
            _keys(frame, [one for one in names if one]) for frame, names in ((studies, mine), (other, theirs))
        ]
        if set(keys[0]) & set(keys[1]) - {""}:
            break
    else:
        columns = ", ".join(other.columns[:6])
        example = _id_of(studies, 0)
        raise UsageError(
            f"{path} has none of the studies: their ids are such as {example!r}, and its columns are "
            f"{columns}; name "
            "the column with ids by --id-column"
        )
    place: dict[str, int] = {}
    values = other.to_numpy()
    for row, key in enumerate(keys[1]):
        if not key:
            continue
        first = place.setdefault(key, row)
        if first != row and (values[first] != values[row]).any():
            raise UsageError(f"{path} has two different rows of {key!r}: keep one of them")
    rows = np.array([place.get(key, -1) if key else -1 for key in keys[0]], dtype=np.int64)
    used = set(rows.tolist())
    return rows, [("labels", key, "no score has this id") for key, row in place.items() if row not in used]


def _labels(scores: Scores, truth: pd.DataFrame, target_column: str) -> tuple[np.ndarray, list[str]]:
    """(N, M) labels, and remarks."""
    n, names = len(scores.score), scores.names
    label = np.full((n, len(names)), -1, dtype=np.int8)
    notes: list[str] = []
    if target_column:
        column = find_column(truth.columns, (target_column,))
        if column is None:
            raise UsageError(f"the labels have no column {target_column!r} (--target-column)")
        if len(names) == 1 and not {code(cell) for cell in truth[column]} - _BINARY:
            label[:, 0] = _binary(truth[column].tolist(), column)
            return label, notes
        values = np.array([code(cell) for cell in truth[column]], dtype=object)
        known = values != ""
        for i, name in enumerate(names):
            label[known, i] = values[known] == code(name)
        if not (label == 1).any():
            found = sorted(set(values[known]))[:6]
            raise UsageError(
                f"no study has a class of the scores ({', '.join(names[:6])}) in the column {column}: it has "
                f"{', '.join(map(str, found)) or 'no values'}"
            )
        return label, notes
    absent = []
    for i, name in enumerate(names):
        column = find_column(truth.columns, (f"diagnosis/{name}", f"referral/{name}", name))
        if column is None:
            absent.append(name)
        else:
            label[:, i] = _binary(truth[column].tolist(), column)
    if len(absent) == len(names):
        raise UsageError(
            f"the labels have no column of any name of the scores, such as {names[0]}: their columns are "
            f"{', '.join(truth.columns[:8])}; rename the columns, or give a single column of classes (or of 1 and 0, "
            "for one score) by --target-column"
        )
    if absent:
        notes.append(
            f"{count(len(absent), 'name')} of the scores {verb(len(absent), 'has', 'have')} no column "
            f"in the labels "
            f"and {verb(len(absent), 'is', 'are')} not audited: {', '.join(absent)}"
        )
    return label, notes


def _binary(cells: list[str], column: str) -> np.ndarray:
    """(N,) 1, 0 or -1 of one column of labels."""
    codes = {cell: code(cell) for cell in set(cells)}
    known = dict.fromkeys(_UNCERTAIN, -1) | dict.fromkeys(_POSITIVE, 1) | dict.fromkeys(_NEGATIVE, 0)
    for cell, one in codes.items():
        if one not in known:
            raise UsageError(
                f"the labels have {cell!r} in the column {column}: expected 1 (present), 0 (absent), or "
                f"nothing "
                "(unknown)"
            )
    return np.array([known[codes[cell]] for cell in cells], dtype=np.int8)


def _subjects(table: pd.DataFrame, is_probe: bool) -> tuple[np.ndarray, list[str]]:
    """(N,) what is resampled as a whole: families in a probe's predictions, else subjects."""
    column = find_column(table.columns, (*["group"] * is_probe, *SUBJECT_COLUMNS))
    own = find_column(table.columns, STUDY_COLUMNS)
    rows = np.array([f"row {i}" for i in range(len(table))], dtype=object)
    study = table[own].to_numpy(dtype=object) if own else rows
    study = np.where(study == "", rows, study)
    if column is None:
        note = (
            "no table has a column of subjects: each study counts as a subject of its own in the intervals, which are "
            "too narrow if subjects have several studies"
        )
        return study.astype(str), [note]
    subject = table[column].to_numpy(dtype=object)
    return np.where(subject == "", study, subject).astype(str), []


def _named(frame: pd.DataFrame, names: Sequence[str], path: Path) -> str:
    if (found := find_column(frame.columns, names)) is None:
        raise UsageError(f"{path} has no column {names[0]!r}: it has {', '.join(frame.columns[:8])}")
    return found


def _keys(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """One id per row from one or two columns; empty if one of them is."""
    parts = [[re.sub(r"^ses-", "", written(cell)) for cell in frame[name].tolist()] for name in columns]
    return ["_".join(row) if all(row) else "" for row in zip(*parts, strict=True)]


def _id_of(frame: pd.DataFrame, row: int) -> str:
    column = find_column(frame.columns, (*STUDY_COLUMNS, *SUBJECT_COLUMNS))
    return str(frame[column].iloc[row]) if column else f"row {row + 1}"


def _taken(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Rows of a table, empty cells for -1."""
    taken = frame.iloc[np.maximum(rows, 0)].reset_index(drop=True)
    taken.loc[rows < 0, :] = ""
    return taken


def _with(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The table with the other's further columns; empty cells of shared ones are filled."""
    import pandas as pd

    new = [name for name in other if name not in table]
    made = pd.concat([table, other[new]], axis=1)
    for name in other:
        if name in table:
            made[name] = table[name].where(table[name] != "", other[name])
    return made
