"""Why a join failed, with examples of both sides and what to try."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find
from prima_features.probes.labels.frames import row_name
from prima_features.probes.labels.ids import GENERIC, normalise
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan, is_private
from prima_features.probes.labels.visits import DISAGREE, Choice
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 3


def refuse_disagreement(scans: Sequence[Scan], choices: Sequence[Choice]) -> None:
    """Refuse studies that several label rows fit, with labels that differ.

    Raises:
        UsageError: there are such studies; it names the first of them.
    """
    torn = [(scan, choice) for scan, choice in zip(scans, choices, strict=True) if choice.reason == DISAGREE]
    if torn:
        examples = "; ".join(
            f"study {scan.id} has the label rows {_row_ids(choice.used, is_private(scans))} with {choice.detail}"
            for scan, choice in torn[:_EXAMPLES]
        )
        raise UsageError(
            f"{count(len(torn), 'study')} {verb(len(torn), 'matches', 'match')} several label rows that "
            f"disagree ({examples}): name the column "
            "that shows which row belongs to which scan (--session-column, --date-column), or leave one row each"
        )


def refuse_empty(
    scans: Sequence[Scan],
    rows: Sequence[LabelRow],
    choices: Sequence[Choice],
    cohort: Cohort,
    table: pd.DataFrame,
) -> None:
    """Refuse a join without a single labelled study.

    Raises:
        UsageError: there is none; it says why, with examples.
    """
    if any(choice.row is not None for choice in choices):
        return
    reasons = Counter(choice.reason for choice in choices)
    reason, times = reasons.most_common(1)[0]
    studies = ", ".join(scan.id for scan in scans[:_EXAMPLES])
    named = f"labels {_row_ids(rows, False) or 'no ids'}"
    labels = "labels are not shown, since they can be PatientIDs" if is_private(scans) else named
    detail = next(choice.detail for choice in choices if choice.reason == reason)
    raise UsageError(
        f"no study has a label: for {times} of {len(scans)} {reason}{f' ({detail})' if detail else ''}; "
        f"studies are named {studies}; {labels}; {_advice(scans, cohort, table)}"
    )


def _advice(scans: Sequence[Scan], cohort: Cohort, table: pd.DataFrame) -> str:
    names = {normalise(name, GENERIC[1]) for scan in scans for name in scan.names}
    used = {item.column for item in cohort.ids}
    shared = {
        column: len(names & {normalise(cell, GENERIC[1]) for cell in table[column] if cell})
        for column in table.columns
        if column not in used and 2 * table[column].nunique() > len(table)
    }
    best = max(shared, key=lambda column: shared[column], default="")
    if best and shared[best] > len(scans) // 2:
        return f"the column {best} holds the ids of {shared[best]} of them: try --id-column {best}"
    cells = {cell for item in cohort.ids for cell in table.get(find(table.columns, item.column), ()) if cell}
    for scan in () if is_private(scans) else scans[:_EXAMPLES]:
        name = normalise(scan.subject, GENERIC[0])
        longer = next((cell for cell in cells if name and name in normalise(cell, GENERIC[0])), "")
        if longer:
            return (
                f"{longer} contains {scan.subject}: write the ids of the table as the studies', or describe them by a "
                "file given as --cohort"
            )
    if not any(scan.is_traceable for scan in scans):
        return "for studies from DICOM keep the .ids.tsv file beside the embeddings: it links their ids"
    return "check --cohort, --id-column and the columns that were named"


def _row_ids(rows: Sequence[LabelRow], private: bool) -> str:
    return ", ".join(dict.fromkeys(row_name(row, private) or "(no id)" for row in rows[:_EXAMPLES]))
