"""Which of a subject's label rows belongs to a scan: its session's, or that of the nearest visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prima_features.probes.labels.ids import bare_session
from prima_features.probes.labels.rows import LabelRow, agreed
from prima_features.probes.labels.scans import Scan

NO_SESSION = "no label for the scan's session"
NO_TIME = "labels have visits and the scan's date is not known"
NO_LABEL_TIME = "no label of the subject has a date"
TOO_FAR = "no label near enough to the scan in time"
DISAGREE = "rows of the same id disagree about the label"


@dataclass(frozen=True)
class Choice:
    """The row for a scan, or why there is none."""

    row: LabelRow | None
    reason: str = ""
    detail: str = ""
    days: float = 0.0
    """Days from the label to the scan; negative where the label is later."""
    tie: bool = False
    """Two visits are equally near and differ; the earlier counts."""
    used: tuple[LabelRow, ...] = ()


def choose(rows: Sequence[LabelRow], scan: Scan, max_days: float) -> Choice:
    """The label of a scan among its subject's rows that have one.

    Rows that name sessions count for theirs only. Where rows have a time, the one nearest the scan counts, at
    most `max_days` away; a scan of unknown date then gets none: a first visit's label is not a later one's.
    """
    sessions = [row for row in rows if row.session]
    if sessions:
        rows = [
            row for row in rows if row.session and bare_session(row.session) == bare_session(scan.session)
        ]
        if not rows:
            known = ", ".join(sorted({row.session for row in sessions})[:5])
            return Choice(None, NO_SESSION, f"the scan's is {scan.session or 'none'}, labels have {known}")
        return _one(rows)
    if any(row.time.is_known for row in rows):
        return _nearest(rows, scan, max_days)
    return _one(rows)


def _nearest(rows: Sequence[LabelRow], scan: Scan, max_days: float) -> Choice:
    if not scan.time.is_known:
        return Choice(None, NO_TIME, "give its date with --scan-dates")
    gaps = [(days, row) for row in rows if (days := scan.time.since(row.time)) is not None]
    if not gaps:
        return Choice(None, NO_LABEL_TIME, "none that the scan's date can be compared with")
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
    return Choice(choice.row, choice.reason, choice.detail, days, tie, choice.used)


def _one(rows: Sequence[LabelRow], days: float = 0.0) -> Choice:
    labels = {row.label.value for row in rows}
    if len(labels) > 1:
        return Choice(None, DISAGREE, " and ".join(sorted(map(str, labels))), used=tuple(rows))
    return Choice(agreed(rows), days=days, used=tuple(rows))
