"""Who must stay on one side of a split: all scans of a person, and of a family if it is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.matching import person
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan


def persons(scans: Sequence[Scan], rows: Sequence[LabelRow], cohort: Cohort) -> list[str]:
    """The person of each matched study: studies that share a subject or a person are of one, also through others.

    A person has the name of the first study's subject, so that nobody is named who is not named in the file.
    """
    return _connected(scans, [_person(scan, row, cohort) for scan, row in zip(scans, rows, strict=True)])


def groups(scans: Sequence[Scan], rows: Sequence[LabelRow], cohort: Cohort) -> list[str]:
    """The group of each matched study: as `persons`, and families are one group as well."""
    shared = [
        [*_person(scan, row, cohort), ("family", row.person.family)]
        for scan, row in zip(scans, rows, strict=True)
    ]
    return _connected(scans, shared)


def _person(scan: Scan, row: LabelRow, cohort: Cohort) -> list[tuple[str, str]]:
    return [
        ("subject", scan.subject),
        ("person", person(row, cohort) if any(row.ids) else ""),
        ("column", row.subject),
    ]


def _connected(scans: Sequence[Scan], shared: Iterable[list[tuple[str, str]]]) -> list[str]:
    """The name of each scan's connected component, given what each shares with others."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for scan, nodes in zip(scans, shared, strict=True):
        for kind, name in nodes:
            if name:
                parent[root((kind, name))] = root(("study", scan.id))
    names: dict[tuple[str, str], str] = {}
    return [names.setdefault(root(("study", scan.id)), scan.subject or scan.id) for scan in scans]
