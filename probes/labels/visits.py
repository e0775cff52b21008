"""Which of a subject's label rows belongs to a scan: that of its session, or of the visit nearest in time.

The visit is chosen first, whatever its label reads. Only then does it count whether the label is in one of the
classes: a scan next to an MCI visit never takes the label of an earlier, normal one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prima_features.probes.labels.cells import MISSING
from prima_features.probes.labels.rows import LabelRow, agreed, contradictions
from prima_features.probes.labels.scans import Scan
from prima_features.probes.labels.values import bare_session

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
    """Days from the label to the scan; negative if the label is later."""
    used: tuple[LabelRow, ...] = ()
    tie: bool = False
    """Two visits are equally near and differ; the earlier counts."""
    passed: bool = False
    """A nearer visit has no label, and another's was taken."""
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
        return Choice(None, NO_TIME, "give its date with --scan-dates")
    gaps = _gaps(rows, scan)
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
