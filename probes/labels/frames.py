"""The tables that a join returns, with the person and the group of each study, which stay on one side of a split."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.matching import person
from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan
from prima_features.probes.labels.times import DAYS_PER_YEAR
from prima_features.probes.labels.values import pattern
from prima_features.probes.labels.visits import Choice

if TYPE_CHECKING:
    import pandas as pd


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


COLUMNS = (
    "row", "study", "subject", "session", "target", "group", "site", "sex", "age", "scanner",
    "field_strength", "split", "control", "icv",
)  # fmt: skip
NO_STUDY = "no study has the label's id"
NO_ID = "the row has no id"
OTHER_ROW = "no scan is nearest to this visit"


def matched_frame(
    scans: Sequence[Scan], choices: Sequence[Choice], request: LabelRequest, cohort: Cohort
) -> pd.DataFrame:
    """A row for each study with a label; columns as `records.Joined` tells them."""
    import pandas as pd

    matched = [(scan, choice, choice.row) for scan, choice in zip(scans, choices, strict=True) if choice.row]
    found, rows = [scan for scan, _, _ in matched], [row for _, _, row in matched]
    names = zip(persons(found, rows, cohort), groups(found, rows, cohort), strict=True)
    records = [
        _record(scan, row, choice.days, request, cohort) | {"subject": subject, "group": group}
        for (scan, choice, row), (subject, group) in zip(matched, names, strict=True)
    ]
    return pd.DataFrame(records, columns=list(COLUMNS))


def _record(scan: Scan, row: LabelRow, days: float, request: LabelRequest, cohort: Cohort) -> dict[str, Any]:
    person = row.person
    # The age in the table was true on the day of the label; the scan's is what the picture shows.
    age = person.age + days / DAYS_PER_YEAR
    return {
        "row": scan.row,
        "study": scan.id,
        "session": scan.session,
        "target": age if request.task == "brain-age" else row.label.value,
        "site": person.site or _site_in_names(scan, cohort),
        "sex": person.sex,
        "age": age,
        "scanner": person.scanner,
        "field_strength": person.field_strength,
        "split": person.split,
        "control": person.control,
        "icv": person.icv,
    }


def _site_in_names(scan: Scan, cohort: Cohort) -> str:
    if not cohort.site_pattern:
        return ""
    regex = pattern(cohort.site_pattern)
    return next((found[1] for name in (*scan.names, *scan.folders) if (found := regex.search(name))), "")


def unmatched_studies(scans: Sequence[Scan], choices: Sequence[Choice]) -> pd.DataFrame:
    """Studies without a label: study, reason, detail."""
    import pandas as pd

    lost = [(s.id, c.reason, c.detail) for s, c in zip(scans, choices, strict=True) if c.row is None]
    return pd.DataFrame(lost, columns=["study", "reason", "detail"])


def unmatched_labels(
    rows: Sequence[LabelRow], choices: Sequence[Choice], near: Collection[int], *, private: bool = False
) -> pd.DataFrame:
    """Label rows that no study took: id, row (from 1), reason, detail.

    Args:
        rows: all label rows.
        choices: of the studies.
        near: the rows whose id a study has.
        private: name rows by their number, since ids can be PatientIDs.
    """
    import pandas as pd

    used = {row.number for choice in choices if choice.row is not None for row in choice.used}
    lost = [
        (row_name(row, private), row.number + 1, *_why(row, near)) for row in rows if row.number not in used
    ]
    return pd.DataFrame(lost, columns=["id", "row", "reason", "detail"])


def row_name(row: LabelRow, private: bool) -> str:
    """A label row's id, or its number below the header if ids are private."""
    return f"row {row.number + 1}" if private else next(filter(None, row.ids), "")


def _why(row: LabelRow, near: Collection[int]) -> tuple[str, str]:
    if row.number not in near:
        return (NO_STUDY if any(row.ids) else NO_ID), ""
    if row.label.value is None:
        return row.label.reason, row.label.detail
    return OTHER_ROW, f"session {row.session}" if row.session else ""
