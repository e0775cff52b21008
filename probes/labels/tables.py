"""Label tables as DataFrames of text: finding columns, reading a table with its JSON description, and combining two."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prima_features.errors import UsageError
from prima_features.files import tables
from prima_features.files.safe import load_json, read_text
from prima_features.files.text import from_cell
from prima_features.probes.labels.cohorts import ANY_TABLE, Cohort, IdColumn, Target, get
from prima_features.probes.labels.records import LABEL_TASKS, LabelRequest
from prima_features.probes.labels.values import GENERIC_RULES, code, is_missing, normalise, tidy, written
from prima_features.wording import count

if TYPE_CHECKING:
    import pandas as pd

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
    "grade_column": "grade",
    "session_column": "session",
    "date_column": "date",
    "time_column": "",
    "event_column": "",
    "control_column": "",
}
"""Attributes of a request to the field of a cohort that each takes the place of."""
_COVARIATES: dict[str, tuple[str, ...]] = {
    "age": ("birth",),
    "sex": (),
    "site": ("site_pattern",),
    "scanner": (),
    "field_strength": (),
    "icv": (),
    "grade": (),
}
"""Fields of a cohort that name columns of covariates, each with further fields that give the same."""
WARNINGS = "prima_warnings"
"""Key of `DataFrame.attrs`: sentences on how the table was read."""
LEVELS = "prima_levels"
"""Key of `DataFrame.attrs`: meanings of values, by column and by their codes (see `files.cells.code`)."""
SESSIONS = "sessions.tsv"
_KEY = "__id"


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
    """The first of these columns that exists; empty if none does."""
    columns = list(columns)
    return next((column for name in names if (column := find(columns, name))), "")


def named(request: LabelRequest) -> list[tuple[str, str]]:
    """The columns that the user named, each with its option."""
    single = [(option, name) for option in _NAMED if (name := getattr(request, option))]
    several = [("label_columns", name) for name in request.label_columns]
    return [(f"--{option.replace('_', '-')}", name) for option, name in single + several]


def check_named(columns: Iterable[str], request: LabelRequest) -> None:
    """Refuse a column that was named and is not there.

    Raises:
        UsageError: with the nearest names.
    """
    columns = list(columns)
    for option, name in named(request):
        if not find(columns, name):
            near = get_close_matches(name, columns, n=3, cutoff=0.4) or columns[:12]
            raise UsageError(
                f"the labels have no column {name!r} ({option}): expected one such as {', '.join(near)}"
            )


def _without(target: str, cohort: Cohort) -> dict[str, Any]:
    """Changes of a cohort whose label is also one of its covariates: a baseline must not contain what it predicts."""
    found: dict[str, Any] = {}
    for field in _COVARIATES:
        names = getattr(cohort, field)
        if target and _squashed(target) in map(_squashed, (names,) if isinstance(names, str) else names):
            found |= dict.fromkeys(_COVARIATES[field], "") | {field: type(names)()}
    return found


def effective(request: LabelRequest) -> Cohort:
    """The cohort asked for, with the columns that the user named in place of its own."""
    cohort = request.cohort
    if not isinstance(cohort, Cohort):
        cohort = get(cohort) if cohort else ANY_TABLE
    changes: dict[str, Any] = {}
    for option, field in _NAMED.items():
        if (name := getattr(request, option)) and field:
            changes[field] = (name,) if isinstance(getattr(cohort, field), tuple) else name
    if request.task not in ("brain-age", "survival", "change"):
        changes |= _without(request.target_column, replace(cohort, **changes))
    if request.task != "survival" and request.time_column:
        changes["visit_time"] = request.time_column
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


def read_table(path: Path) -> pd.DataFrame:
    """A table that `files.tables` reads; every cell and header is a string (see `values.tidy`).

    `attrs` has warnings under `WARNINGS`.

    Raises:
        UsageError: the file cannot be read as a table, has no rows, or has two columns of the same name.
    """
    import pandas as pd

    table = tables.read_table(path, "the label table")
    header = [_tidy(name) for name in table.header]
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise UsageError(
            f"the label table {path} has several columns named {twice[0]!r}: rename or remove all but one"
        )
    if not table.rows:
        raise UsageError(f"the label table {path} has a header but no rows")
    cells = [[from_cell(_tidy(cell)) for cell in row] for row in table.rows]
    frame = pd.DataFrame(cells, columns=header, dtype=object).drop(columns="", errors="ignore")
    frame.attrs[WARNINGS] = table.warnings
    return frame


def _tidy(cell: str) -> str:
    return tidy(cell.replace("\0", ""))


def subject_sessions(paths: Iterable[Path]) -> pd.DataFrame:
    """The `sub-X_sessions.tsv` of a BIDS dataset as one table, with the subject in `participant_id`."""
    import pandas as pd

    tables, warnings = [], []
    for path in paths:
        table = read_table(path)
        warnings += table.attrs.pop(WARNINGS, ())
        table["participant_id"] = path.parent.name
        tables.append(table)
    made = pd.concat(tables, ignore_index=True).fillna("")
    made.attrs[WARNINGS] = tuple(warnings)
    return made


def read_levels(tables: Iterable[Path]) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """The levels of all columns that the JSON files next to these tables describe; the first file counts.

    Returns:
        the levels, and a warning for each file that could not be read.
    """
    levels: dict[str, dict[str, str]] = {}
    warnings = []
    for path in dict.fromkeys(table.with_suffix(".json") for table in tables):
        if not path.is_file():
            continue
        try:
            described = load_json(read_text(path, encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            warnings.append(
                f"{path.name} next to the labels could not be read, so its levels are ignored: {error}"
            )
            continue
        for column, about in described.items() if isinstance(described, dict) else ():
            named = about.get("Levels") if isinstance(about, dict) else None
            if isinstance(named, dict):
                levels.setdefault(column, {code(value): _meaning(text) for value, text in named.items()})
    return levels, tuple(warnings)


def _meaning(level: object) -> str:
    """A level's text; BIDS allows an object with a description, too."""
    if isinstance(level, dict):
        level = level.get("Description", "")
    return level if isinstance(level, str) else ""


def combine(
    table: pd.DataFrame, other: pd.DataFrame, label: str, cohort: Cohort
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table with the other's further columns.

    If only the other has sessions or several rows per subject, its rows are kept, and its values count.

    Returns:
        the table, and a warning for each column that both have with different values.

    Raises:
        UsageError: the tables share no id, or both have several rows per subject and no visit in common.
            `label` names the other table.
    """
    table, other = _with_keys(table, other, label, cohort)
    has_sessions = first(other.columns, cohort.session) and not first(table.columns, cohort.session)
    by_others = (has_sessions or other[_KEY].duplicated().any()) and not table[_KEY].duplicated().any()
    keys = [_KEY] if by_others else [_KEY, *_shared_visit(table, other, cohort)]
    used = label if by_others else "the first table"
    contradictions = _contradictions(table, other, keys, label, used, cohort)
    if by_others:
        result = _add_columns(other, table, keys, label, rest=True)
    else:
        result = _add_columns(table, other, keys, label)
    return result.drop(columns=_KEY), contradictions


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
    cells = [frame[find(frame.columns, name)] for frame, name in zip((table, other), columns, strict=True)]
    rules = next((rules for rules in GENERIC_RULES if _is_shared(cells, rules)), None)
    if rules is None:
        forms = [_form(next(filter(None, own), "")) for own in cells]
        raise UsageError(
            f"{label} and the first label table have no id in common: ids of {columns[1]} look like {forms[1]}, those "
            f"of {columns[0]} like {forms[0]}; leave one table out, or join them by hand"
        )
    keyed = [
        # Rows without an id are nobody's: each gets a key of its own.
        [normalise(text, rules) or f"\0{side}{i}" for i, text in enumerate(own)]
        for side, own in enumerate(cells)
    ]
    return table.assign(**{_KEY: keyed[0]}), other.assign(**{_KEY: keyed[1]})


def _form(text: str) -> str:
    """How an id is written, without the id, which can be a patient's: `ABC_007` as `AAA_000`."""
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "0", text)) or "nothing"


def _is_shared(cells: Sequence[pd.Series], rules: tuple[str, ...]) -> bool:
    """Whether the tables share an id under these rules, and no two ids of one table become the same."""
    keys = [{normalise(text, rules): written(text) for text in own} for own in cells]
    is_clear = all(
        len({written(text) for text in own}) == len(one) for own, one in zip(cells, keys, strict=True)
    )
    return bool((keys[0].keys() & keys[1].keys()) - {""}) and (is_clear or rules == GENERIC_RULES[0])


def _shared_visit(table: pd.DataFrame, other: pd.DataFrame, cohort: Cohort) -> list[str]:
    if not other[_KEY].duplicated().any():
        return []
    names = (*cohort.visit, *cohort.session, cohort.day, cohort.date)
    return [name for name in names if name in table.columns and name in other.columns][:1]


def _contradictions(
    table: pd.DataFrame, other: pd.DataFrame, keys: list[str], label: str, used: str, cohort: Cohort
) -> tuple[str, ...]:
    ids = {item.column for item in (*cohort.ids, *ANY_TABLE.ids)}
    common = [
        name for name in other.columns if name in table.columns and name not in ids and name not in keys
    ]
    both = table[[*keys, *common]].merge(other[[*keys, *common]], on=keys, suffixes=("", "\0"))
    warnings = []
    for column in common:
        pairs = zip(both[column], both[f"{column}\0"], strict=True)
        n = sum(code(a) != code(b) and not is_missing(a) and not is_missing(b) for a, b in pairs)
        if n:
            warnings.append(
                f"{label} and the first table disagree about {column} in {count(n, 'row')}: "
                f"the values of {used} are used"
            )
    return tuple(warnings)


def _add_columns(
    table: pd.DataFrame, other: pd.DataFrame, keys: list[str], label: str, rest: bool = False
) -> pd.DataFrame:
    import pandas as pd

    new = [column for column in other.columns if column not in table.columns]
    added = other[[*keys, *new]].drop_duplicates()
    if added[keys].duplicated().any():
        raise UsageError(
            f"{label} has several rows per subject, but no column of visits in common with the first table: leave it "
            "out, or join the tables by hand"
        )
    merged = table.merge(added, on=keys, how="left")
    if rest:
        merged = pd.concat([merged, other[~other[_KEY].isin(table[_KEY])]], ignore_index=True)
    return merged.fillna("")
