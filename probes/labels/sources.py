"""Gathering all label tables into one: files, a BIDS dataset, or a folder of a cohort's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import check_named, first, named
from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.tables import LEVELS, WARNINGS, combine, id_column, read_levels, read_table

if TYPE_CHECKING:
    import pandas as pd

Wanted = list[tuple[str, ...]]
"""Groups of column names: of each, one column is enough."""

SESSIONS = "sessions.tsv"


def gather(request: LabelRequest, cohort: Cohort) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One table of text from all that is given, and warnings in a sentence each.

    The table's `attrs` have what its JSON files say of codes, under `tables.LEVELS`.

    The first table is the main one. The others add columns that it lacks, by id, and by visit or session
    if they have several rows per subject. A folder's tables are read until all needed columns are found; those
    of its sessions are read even then, since their values are nearer to the scan.

    Raises:
        UsageError: a path is missing, a folder holds no table, or a column of ids or a named one is absent.
    """
    (main, table), *others = _tables(request, cohort)
    warnings = list(table.attrs.get(WARNINGS, ()))
    id_column(table, main, [item.column for item in cohort.ids])
    for label, other in others:
        table, told = combine(table, other, label, cohort)
        warnings += [*other.attrs.get(WARNINGS, ()), *told]
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
    groups: Wanted = [(name,) for name in named(request).values()]
    ages = tuple(filter(None, (*cohort.age, cohort.birth)))
    if not cohort.name:
        # Of an unknown dataset's many tables only those that are needed: others may not even fit together.
        return [*groups, ages] if request.task == "brain-age" else groups
    if not request.target_column:
        groups.append(tuple(target.column for target in cohort.targets.get(request.task, ())))
    times = tuple(filter(None, (cohort.date, cohort.day)))
    groups += [ages, cohort.sex, cohort.site, (cohort.family,), times]
    return [group for group in groups if any(group)]


def _tables(request: LabelRequest, cohort: Cohort) -> Iterator[tuple[str, pd.DataFrame]]:
    wanted = unmet = _wanted(request, cohort)
    for path in request.labels:
        if not path.is_dir():
            yield path.name, read_table(path)
            continue
        for i, (name, read) in enumerate(_folder_tables(path, cohort)):
            # What a table of sessions says of a scan replaces what the table of subjects says.
            needed = wanted if name == SESSIONS and not cohort.name else unmet
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
