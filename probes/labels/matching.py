"""Finding the label row of each study: the rows that carry its id, and among them that of its session or nearest visit.

The visit is chosen first, whatever its label reads. Only then does it count whether the label is in one of the
classes: a scan next to an MCI visit never takes the label of an earlier, normal one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from prima_features.errors import UsageError
from prima_features.probes.labels.cells import MISSING
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.rows import LabelRow, agreed, contradictions
from prima_features.probes.labels.scans import Scan
from prima_features.probes.labels.values import GENERIC_RULES, bare_session, normalise, written
from prima_features.wording import count, verb

NO_SESSION = "no label for the scan's session"
NO_TIME = "labels belong to visits, but the scan's date is unknown"
NO_LABEL_TIME = "no label of the subject has a date"
TOO_FAR = "no label is close enough to the scan in time"
DISAGREE = "rows of the same id disagree about the label"


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
    is_own: bool
    """These are rules of the cohort, which may be looked for in the folders on the way to a scan too."""
    rows: dict[str, list[LabelRow]]
    holders: dict[str, dict[str, set[str]]]
    """Key to the names of studies that give it, as they are written, and to the subjects that have each."""

    def find(self, scan: Scan) -> Match | None:
        """The scan's rows; none if it has another id of this kind, or no match at all."""
        return self._generic(scan) if self.rules in GENERIC_RULES else self._specific(scan)

    def _generic(self, scan: Scan) -> Match | None:
        for name in (*scan.ids, *(scan.folders if self.is_own else ())):
            key = normalise(name, self.rules)
            if key and (rows := self.rows.get(key)):
                return self._certain(scan, rows, key)
        return None

    def _certain(self, scan: Scan, rows: list[LabelRow], key: str) -> Match:
        forms = {written(row.ids[self.column]) for row in rows}
        holders = self.holders.get(key, {})
        subjects = set().union(*holders.values())
        if len(forms) == 1 and len(subjects) <= 1:
            return Match(tuple(rows))
        same = forms & {written(name) for name in scan.ids}
        exact = [row for row in rows if written(row.ids[self.column]) in same]
        # A label of a BIDS folder cannot contain punctuation: `sub-A1` may have been `A-1`.
        is_spelled_out = not all(map(str.isalnum, same)) or all(map(str.isalnum, forms))
        if exact and is_spelled_out and len(set().union(*(holders.get(form, set()) for form in same))) == 1:
            return Match(tuple(exact))
        if len(subjects) == 1 and len({row.label for row in rows}) == 1:
            return Match(tuple(rows))
        return Match((), tuple(sorted(forms if len(forms) > 1 else subjects)))

    def _specific(self, scan: Scan) -> Match | None:
        """By rules that know the cohort's ids. A name that is one decides, whether the table has it or not."""
        if not self.rows:
            return None
        names = scan.names[:1] if scan.is_dicom else scan.names
        named = self._keys(() if scan.is_pseudonym else names)
        found = [key for key in named if key in self.rows]
        if named and not found:
            return Match()
        placed = self._keys(scan.folders)
        found += [key for key in placed if key in self.rows and key not in found]
        if len(found) > 1:
            return Match((), tuple(found))
        return Match(tuple(self.rows[found[0]])) if found else Match() if placed else None

    def _keys(self, names: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(filter(None, (normalise(name, self.rules) for name in names))))


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
        i: _match(scans, [_index(scans, rows, i, rules, False) for rules in GENERIC_RULES]) for i in columns
    }
    used = next((i for i in columns if any(_is_found(one) for one in by_column[i])), None)
    if used is None:
        return (Match(),) * len(scans), ()
    rivals = _rivals(cohort, used, by_column, rows)
    passed = [cohort.ids[i].column for i in columns if i < used]
    warnings: tuple[str, ...] = ()
    if passed:
        _refuse_row_numbers(cohort, used, passed, rows)
        warnings = (
            f"ids are taken from the column {cohort.ids[used].column}: {' and '.join(passed)} contains no id of a "
            "study (--id-column names another column)",
        )
    return by_column[used], (*warnings, *rivals, *_ambiguous(by_column[used]))


def person(row: LabelRow, cohort: Cohort) -> str:
    """The person that a row is about, the same for all ids of one person."""
    text = next(filter(None, row.ids), "")
    column = row.ids.index(text)
    key = normalise(text, cohort.ids[column].rules) or normalise(text, GENERIC_RULES[0])
    return normalise(key, cohort.person) or key


def _chains(cohort: Cohort) -> list[tuple[int, tuple[str, ...], bool]]:
    own = [(column, item.rules) for column, item in enumerate(cohort.ids)]
    generic = [(column, rules) for rules in GENERIC_RULES for column in range(len(cohort.ids))]
    return [(*chain, chain in own) for chain in dict.fromkeys(own + generic)]


def _index(
    scans: Iterable[Scan], rows: Iterable[LabelRow], column: int, rules: tuple[str, ...], is_own: bool
) -> _Index:
    found: dict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        if key := normalise(row.ids[column], rules):
            found[key].append(row)
    holders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for scan in scans if rules in GENERIC_RULES else ():
        for name in scan.ids:
            holders[normalise(name, rules)][written(name)].add(written(scan.subject or scan.id))
    return _Index(column, rules, is_own, dict(found), holders)


def _match(scans: Iterable[Scan], indexes: Sequence[_Index]) -> tuple[Match, ...]:
    return tuple(
        next((found for index in indexes if (found := index.find(scan)) is not None), Match())
        for scan in scans
    )


def _is_found(found: Match) -> bool:
    return bool(found.rows or found.rivals)


def _rivals(
    cohort: Cohort, used: int, by_column: dict[int, tuple[Match, ...]], rows: Sequence[LabelRow]
) -> tuple[str, ...]:
    """A sentence for each other column that gives studies other rows, unless it only numbers the rows."""
    own, name, warnings = by_column[used], cohort.ids[used].column, []
    for column, other in by_column.items():
        differ = any(
            one.rows and two.rows and not {row.number for row in one.rows} & {row.number for row in two.rows}
            for one, two in zip(own, other, strict=True)
        )
        if not differ or _numbers_the_rows(rows, column):
            continue
        note = f"the columns {name} and {cohort.ids[column].column} both contain ids of the studies, in different rows"
        if sum(map(_is_found, other)) > sum(map(_is_found, own)):
            raise UsageError(f"{note}: name the right one with --id-column")
        warnings.append(f"{note}: {name} is used (--id-column names another)")
    return tuple(warnings)


def _numbers_the_rows(rows: Sequence[LabelRow], column: int) -> bool:
    cells = [row.ids[column] for row in rows]
    return len(cells) > 2 and all(
        cell.isdecimal() and int(cell) == int(cells[0]) + i for i, cell in enumerate(cells)
    )


def _refuse_row_numbers(cohort: Cohort, used: int, passed: Sequence[str], rows: Sequence[LabelRow]) -> None:
    if _numbers_the_rows(rows, used):
        raise UsageError(
            f"the column {cohort.ids[used].column} only numbers the rows, and {' and '.join(passed)} contains no id "
            f"of a study: if the numbers are ids, give --id-column {cohort.ids[used].column}"
        )


def _ambiguous(found: Iterable[Match]) -> tuple[str, ...]:
    n = sum(bool(one.rivals) for one in found)
    if not n:
        return ()
    return (
        f"{count(n, 'study')} {verb(n, 'is left out because its', 'are left out because their')} id fits "
        "several subjects: ids that differ only in punctuation or "
        "leading zeros (write the ids of the table as the studies')",
    )


@dataclass(frozen=True)
class Choice:
    """The row for a scan, or why there is none."""

    row: LabelRow | None
    reason: str = ""
    detail: str = ""
    days: float = 0.0
    """Days from the label to the scan; negative if the label is later."""
    used: tuple[LabelRow, ...] = ()
    tie: bool = False
    """Two visits are equally near and differ; the earlier counts."""
    passed: bool = False
    """The nearest visit has no label, and that of another was taken."""
    undated: bool = False
    """Rows of the subject without a date were not considered."""
    far: bool = False
    """The label is that of the scan's session, but its date is further away than allowed."""
    contradictions: tuple[str, ...] = ()
    """What else than the label the used rows disagree about."""


def choose(rows: Sequence[LabelRow], scan: Scan, max_days: float, *, has_times: bool = False) -> Choice:
    """The label of a scan among its subject's rows.

    Rows that name sessions count for theirs only. If rows have a time, the one nearest the scan counts, at most
    `max_days` away; a scan of unknown date then gets none: a first visit's label is not a later one's. A row
    whose label is missing says nothing: the next nearest counts, within `max_days`.

    Args:
        rows: all rows of the scan's subject.
        scan: the study.
        max_days: see `LabelRequest.max_days`.
        has_times: rows of the table have times, though perhaps not these.
    """
    sessions = [row for row in rows if row.session]
    if sessions:
        rows = [row for row in sessions if bare_session(row.session) == bare_session(scan.session)]
        if not rows:
            named = ", ".join(sorted({row.session for row in sessions})[:5])
            return Choice(None, NO_SESSION, f"the scan's is {scan.session or 'none'}, labels have {named}")
    known = [row for row in rows if row.label.reason != MISSING]
    if not known:
        return Choice(None, MISSING, used=tuple(rows))
    if sessions:
        return _of_session(known, scan, max_days)
    if has_times or any(row.time.is_known for row in rows):
        choice = _nearest(known, scan, max_days)
        nearest = min(_gaps(rows, scan), key=lambda gap: abs(gap[0]), default=None)
        passed = choice.row is not None and nearest is not None and abs(nearest[0]) < abs(choice.days)
        return replace(choice, passed=passed, undated=any(not row.time.is_known for row in known))
    return _one(known)


def _gaps(rows: Sequence[LabelRow], scan: Scan) -> list[tuple[float, LabelRow]]:
    """Days from each row's visit to the scan, of the rows whose time can be compared with the scan's."""
    return [(days, row) for row in rows if (days := scan.time.since(row.time)) is not None]


def _of_session(rows: Sequence[LabelRow], scan: Scan, max_days: float) -> Choice:
    gaps = _gaps(rows, scan)
    if len(gaps) == len(rows) > 1:
        return _nearest(rows, scan, max_days)
    far = bool(gaps) and min(abs(days) for days, _ in gaps) > max_days
    return replace(_one(rows), far=far)


def _nearest(rows: Sequence[LabelRow], scan: Scan, max_days: float) -> Choice:
    if not scan.time.is_known:
        return Choice(None, NO_TIME, "give the date with --scan-dates")
    gaps = _gaps(rows, scan)
    if not gaps:
        return Choice(None, NO_LABEL_TIME, "no label has a date that can be compared with the scan's")
    nearest = min(abs(days) for days, _ in gaps)
    if nearest > max_days:
        return Choice(
            None, TOO_FAR, f"the nearest is {nearest:.0f} days away, the most allowed is {max_days:g}"
        )
    # Before the scan first: of two equally near labels, the one that was known when the scan was made.
    days = max(days for days, _ in gaps if abs(days) == nearest)
    choice = _one([row for gap, row in gaps if gap == days], days)
    rivals = [row for gap, row in gaps if gap == -days != days]
    tie = choice.row is not None and any(row.label.value != choice.row.label.value for row in rivals)
    return replace(choice, tie=tie)


def _one(rows: Sequence[LabelRow], days: float = 0.0) -> Choice:
    """The one label of rows of the same visit. A label in none of the classes leaves the scan out."""
    labels = {row.label.value for row in rows}
    if len(labels) > 1:
        read = sorted({row.label.detail if row.label.value is None else str(row.label.value) for row in rows})
        return Choice(None, DISAGREE, " and ".join(read), used=tuple(rows))
    label = rows[0].label
    if label.value is None:
        return Choice(None, label.reason, label.detail, days, tuple(rows))
    return Choice(agreed(rows), days=days, used=tuple(rows), contradictions=contradictions(rows))
