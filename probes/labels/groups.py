"""Who must stay on one side of a split: all scans of a person, and of a family where it is known."""

from __future__ import annotations

from collections.abc import Sequence

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.matching import person
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan


def groups(scans: Sequence[Scan], rows: Sequence[LabelRow], cohort: Cohort) -> list[str]:
    """The group of each matched study: studies that share a subject, a person or a family are one, also
    through others. A group bears its first study's subject, so that it names nobody whom the file does not.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for scan, row in zip(scans, rows, strict=True):
        for other in _shared(scan, row, cohort):
            parent[root(other)] = root(f"study {scan.id}")
    names: dict[str, str] = {}
    return [names.setdefault(root(f"study {scan.id}"), scan.subject or scan.id) for scan in scans]


def _shared(scan: Scan, row: LabelRow, cohort: Cohort) -> list[str]:
    nodes = {
        "subject": scan.subject,
        "person": person(row, cohort) if any(row.ids) else "",
        "family": row.person.family,
    }
    return [f"{kind} {name}" for kind, name in nodes.items() if name]
