"""Finding the label rows that carry a study's id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.ids import GENERIC, normalise
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan


@dataclass(frozen=True)
class _Index:
    rules: tuple[str, ...]
    rows: dict[str, list[LabelRow]]

    def find(self, name: str) -> list[LabelRow]:
        return self.rows.get(key, []) if (key := normalise(name, self.rules)) else []


def match(scans: Iterable[Scan], rows: Sequence[LabelRow], cohort: Cohort) -> tuple[list[LabelRow], ...]:
    """The rows of each study: by the cohort's rules, then by the generic ones, the first that find any."""
    indexes = [_index(rows, column, rules) for column, rules in _chains(cohort)]
    return tuple(_match(scan, indexes) for scan in scans)


def person(row: LabelRow, cohort: Cohort) -> str:
    """The person that a row is about, the same for all ids of one person."""
    text = next(filter(None, row.ids), "")
    column = row.ids.index(text)
    key = normalise(text, cohort.ids[column].rules) or normalise(text, GENERIC[0])
    return normalise(key, cohort.person) or key


def _chains(cohort: Cohort) -> list[tuple[int, tuple[str, ...]]]:
    own = [(column, item.rules) for column, item in enumerate(cohort.ids)]
    generic = [(column, rules) for rules in GENERIC for column in range(len(cohort.ids))]
    return list(dict.fromkeys(own + generic))


def _index(rows: Sequence[LabelRow], column: int, rules: tuple[str, ...]) -> _Index:
    found: dict[str, list[LabelRow]] = defaultdict(list)
    written: dict[str, set[str]] = defaultdict(set)
    strict = cache(lambda text: normalise(text, GENERIC[0]))
    for row in rows:
        if key := normalise(row.ids[column], rules):
            found[key].append(row)
            written[key].add(strict(row.ids[column]))
    if "unpad" in rules and any(len(forms) > 1 for forms in written.values()):
        # `1` and `01` are two subjects of this table: comparing without zeros would confuse them.
        return _Index(rules, {})
    return _Index(rules, dict(found))


def _match(scan: Scan, indexes: Iterable[_Index]) -> list[LabelRow]:
    found = (index.find(name) for index in indexes for name in scan.names)
    return next(filter(None, found), [])
