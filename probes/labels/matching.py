"""Finding the label rows of each study by its id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.ids import GENERIC, normalise, written
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan


@dataclass(frozen=True)
class Match:
    """The rows that carry a study's id."""

    rows: tuple[LabelRow, ...] = ()
    rivals: tuple[str, ...] = ()
    """Ids of several subjects that are the same but for punctuation or leading zeros, so that it is not known whose
    the rows are."""


@dataclass(frozen=True)
class _Index:
    """The rows by one id column under one chain of rules."""

    column: int
    rules: tuple[str, ...]
    is_generic: bool
    rows: dict[str, list[LabelRow]]
    subjects: dict[str, set[str]]
    """Key to the subjects of the file that have it, as they are written."""

    def find(self, scan: Scan) -> Match | None:
        for name in scan.names:
            key = normalise(name, self.rules)
            if key and (rows := self.rows.get(key)):
                return self._certain(scan, rows, key) if self.is_generic else Match(tuple(rows))
        return None

    def _certain(self, scan: Scan, rows: list[LabelRow], key: str) -> Match:
        forms = {written(row.ids[self.column]) for row in rows}
        subjects = self.subjects[key]
        if len(forms) == 1 and len(subjects) == 1:
            return Match(tuple(rows))
        own = {written(name) for name in scan.names}
        exact = [row for row in rows if written(row.ids[self.column]) in own]
        # A label of a BIDS folder cannot contain punctuation: `sub-A1` may have been `A-1`.
        is_spelled_out = any(not name.isalnum() for name in own & forms) or not any(
            not form.isalnum() for form in forms
        )
        if exact and is_spelled_out:
            return Match(tuple(exact))
        if len(subjects) == 1 and len({row.label for row in rows}) == 1:
            return Match(tuple(rows))
        return Match((), tuple(sorted(forms if len(forms) > 1 else subjects)))


def match(
    scans: Sequence[Scan], rows: Sequence[LabelRow], cohort: Cohort
) -> tuple[tuple[Match, ...], tuple[str, ...]]:
    """The rows of each study, and warnings in a sentence each.

    A cohort's own rules come first, then the generic ones; the first that find any row count. Without a cohort all
    studies are matched by one column, the first that has any of their ids.

    Raises:
        UsageError: a later column has the ids of more studies, and gives them other rows.
    """
    if cohort.name:
        found = _match(scans, [_index(scans, rows, *chain) for chain in _chains(cohort)])
        return found, _ambiguous(found)
    columns = [i for i in range(len(cohort.ids)) if any(row.ids[i] for row in rows)]
    by_column = {
        i: _match(scans, [_index(scans, rows, i, rules, True) for rules in GENERIC]) for i in columns
    }
    used = next((i for i in columns if any(_is_found(one) for one in by_column[i])), None)
    if used is None:
        return (Match(),) * len(scans), ()
    _refuse_rival(cohort, used, by_column)
    passed = [cohort.ids[i].column for i in columns if i < used]
    warnings: tuple[str, ...] = ()
    if passed:
        _refuse_row_numbers(cohort, used, passed, rows)
        warnings = (
            f"ids are taken from the column {cohort.ids[used].column}: {' and '.join(passed)} has none of the studies' "
            "(--id-column names another)",
        )
    return by_column[used], (*warnings, *_ambiguous(by_column[used]))


def person(row: LabelRow, cohort: Cohort) -> str:
    """The person that a row is about, the same for all ids of one person."""
    text = next(filter(None, row.ids), "")
    column = row.ids.index(text)
    key = normalise(text, cohort.ids[column].rules) or normalise(text, GENERIC[0])
    return normalise(key, cohort.person) or key


def _chains(cohort: Cohort) -> list[tuple[int, tuple[str, ...], bool]]:
    own = [(column, item.rules) for column, item in enumerate(cohort.ids)]
    generic = [(column, rules) for rules in GENERIC for column in range(len(cohort.ids))]
    return [(column, rules, rules in GENERIC) for column, rules in dict.fromkeys(own + generic)]


def _index(
    scans: Iterable[Scan], rows: Iterable[LabelRow], column: int, rules: tuple[str, ...], is_generic: bool
) -> _Index:
    found: dict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        if key := normalise(row.ids[column], rules):
            found[key].append(row)
    subjects: dict[str, set[str]] = defaultdict(set)
    for scan in scans if is_generic else ():
        for name in scan.names:
            subjects[normalise(name, rules)].add(written(scan.subject or scan.id))
    return _Index(column, rules, is_generic, dict(found), dict(subjects))


def _match(scans: Iterable[Scan], indexes: Sequence[_Index]) -> tuple[Match, ...]:
    return tuple(
        next((found for index in indexes if (found := index.find(scan)) is not None), Match())
        for scan in scans
    )


def _is_found(found: Match) -> bool:
    return bool(found.rows or found.rivals)


def _refuse_rival(cohort: Cohort, used: int, by_column: dict[int, tuple[Match, ...]]) -> None:
    own = by_column[used]
    for column, other in by_column.items():
        differ = any(
            one.rows and two.rows and not {row.number for row in one.rows} & {row.number for row in two.rows}
            for one, two in zip(own, other, strict=True)
        )
        if differ and sum(map(_is_found, other)) > sum(map(_is_found, own)):
            raise UsageError(
                f"the columns {cohort.ids[used].column} and {cohort.ids[column].column} both contain ids of the "
                "studies, in different rows: name the right one with --id-column"
            )


def _refuse_row_numbers(cohort: Cohort, used: int, passed: Sequence[str], rows: Sequence[LabelRow]) -> None:
    cells = [row.ids[used] for row in rows]
    if all(cell.isdecimal() for cell in cells) and len(cells) > 2:
        first = int(cells[0])
        if [int(cell) for cell in cells] == list(range(first, first + len(cells))):
            raise UsageError(
                f"the column {cohort.ids[used].column} numbers the rows, and {' and '.join(passed)} has none of the "
                f"studies' ids: if the numbers are ids, give --id-column {cohort.ids[used].column}"
            )


def _ambiguous(found: Iterable[Match]) -> tuple[str, ...]:
    n = sum(bool(one.rivals) for one in found)
    if not n:
        return ()
    return (
        f"{n} studies are left out because their id fits several subjects: ids that differ only in punctuation or "
        "leading zeros (write the ids of the table as the studies')",
    )
