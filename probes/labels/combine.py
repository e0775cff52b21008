"""Adding one label table's columns to another's, by the subject's id and, where needed, the visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.cohorts.generic import GENERIC as ANY_TABLE
from prima_features.probes.labels.columns import find, first
from prima_features.probes.labels.ids import GENERIC, normalise

if TYPE_CHECKING:
    import pandas as pd

_KEY = "__id"


def combine(table: pd.DataFrame, other: pd.DataFrame, label: str, cohort: Cohort) -> pd.DataFrame:
    """The table with the other's further columns; by the other's rows if only it has several a subject.

    Raises:
        UsageError: the tables share no id, or both have several rows a subject and no visit in common.
            `label` names the other table.
    """
    table, other = _with_keys(table, other, label, cohort)
    if other[_KEY].duplicated().any() and not table[_KEY].duplicated().any():
        result = _add_columns(other, table, [_KEY], label, rest=True)
    else:
        result = _add_columns(table, other, [_KEY, *_shared_visit(table, other, cohort)], label)
    return result.drop(columns=_KEY)


def id_column(table: pd.DataFrame, label: str, names: Sequence[str]) -> str:
    """The table's column of ids, the first of these names.

    Raises:
        UsageError: it has none.
    """
    column = first(table.columns, names)
    if not column:
        raise UsageError(
            f"{label} has no column of ids: expected {' or '.join(dict.fromkeys(names[:3]))}, "
            f"found {', '.join(table.columns[:12])}; name it with --id-column"
        )
    return column


def _with_keys(
    table: pd.DataFrame, other: pd.DataFrame, label: str, cohort: Cohort
) -> tuple[pd.DataFrame, pd.DataFrame]:
    own = [item.column for item in cohort.ids]
    names = own + [item.column for item in ANY_TABLE.ids]
    shared = next((name for name in own if find(table.columns, name) and find(other.columns, name)), "")
    columns = (
        shared or id_column(table, "the first table", own),
        shared or id_column(other, label, names),
    )
    keys = [
        frame[find(frame.columns, column)].map(lambda text: normalise(text, GENERIC[0]))
        for frame, column in zip((table, other), columns, strict=True)
    ]
    if not set(keys[0]) & set(keys[1]):
        raise UsageError(
            f"{label} and the first table of labels share no id: {columns[1]} holds "
            f"{keys[1].iloc[:3].tolist()}, {columns[0]} holds {keys[0].iloc[:3].tolist()}; "
            "leave one out, or join them by hand"
        )
    return table.assign(**{_KEY: keys[0]}), other.assign(**{_KEY: keys[1]})


def _shared_visit(table: pd.DataFrame, other: pd.DataFrame, cohort: Cohort) -> list[str]:
    if not other[_KEY].duplicated().any():
        return []
    names = (*cohort.visit, *cohort.session, cohort.day, cohort.date)
    return [name for name in names if name in table.columns and name in other.columns][:1]


def _add_columns(
    table: pd.DataFrame, other: pd.DataFrame, keys: list[str], label: str, rest: bool = False
) -> pd.DataFrame:
    import pandas as pd

    new = [column for column in other.columns if column not in table.columns]
    added = other[[*keys, *new]].drop_duplicates()
    if added[keys].duplicated().any():
        raise UsageError(
            f"{label} has several rows a subject, and no column of visits that tells which of the "
            "first table's rows each belongs to: leave it out, or join the tables by hand"
        )
    merged = table.merge(added, on=keys, how="left")
    if rest:
        merged = pd.concat([merged, other[~other[_KEY].isin(table[_KEY])]], ignore_index=True)
    return merged.fillna("")
