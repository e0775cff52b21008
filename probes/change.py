"""Changes between the visits of a subject as samples: contrasts of the features and targets of its studies.

A sample is a linear combination of the studies of one subject: the last minus the first, each visit minus the one
before, or the least-squares slope over all of them. The same combination is applied to the vectors and to the
target, before any fold is drawn. Cross-validation keeps the samples of a subject together, as it does with studies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

ChangeFeatures = Literal["delta", "baseline+delta"]
ChangeVisits = Literal["first-last", "consecutive", "slope"]
DAYS_PER_YEAR = 365.25
_VARYING = ("site", "scanner", "field_strength")
"""Covariates that are left empty if a sample's visits differ in them."""


@dataclass(frozen=True)
class Change:
    """How samples are made of a subject's visits."""

    features: ChangeFeatures = "delta"
    """`delta`: the change of the vector. `baseline+delta`: the vector of the first visit, then the change."""
    visits: ChangeVisits = "first-last"
    """`first-last`: one sample per subject, its last visit minus its first. `consecutive`: one sample for each visit
    but the first. `slope`: one sample per subject, the least-squares slope over all its visits."""
    per_year: bool = True
    """Divide changes of vectors and targets by the years between the visits."""
    min_days: float = 90.0
    """Fewest days between the first and the last visit of a sample."""

    def __post_init__(self) -> None:
        if self.features not in ("delta", "baseline+delta") or self.visits not in (
            "first-last",
            "consecutive",
            "slope",
        ):
            raise UsageError(
                "a change has the features delta or baseline+delta, and the visits first-last, consecutive or slope, "
                f"not {self.features!r} and {self.visits!r}"
            )
        if self.visits == "slope" and not self.per_year:
            raise UsageError("a slope is per year: use --total-change with first-last or consecutive visits")
        if not 0 < self.min_days < float("inf"):
            raise UsageError(f"--min-days must be above 0, not {self.min_days:g}")

    @property
    def words(self) -> str:
        """What a vector is, inside a sentence: `the annual change from the first to the last visit`."""
        change = "annual change" if self.per_year else "change"
        what = {
            "first-last": f"the {change} from the first to the last visit",
            "consecutive": f"the {change} between consecutive visits",
            "slope": "the slope per year over all visits",
        }[self.visits]
        return f"the first visit and {what}" if self.features == "baseline+delta" else what


@dataclass(frozen=True)
class VisitSummary:
    """What the samples of changes were made of."""

    change: Change
    n_subjects: int
    """With a sample."""
    n_studies: int
    """In a sample."""
    years: tuple[float, float, float]
    """Least, median and greatest time from the first to the last visit of a sample."""
    times_from: dict[str, int]
    """`column`, `date`, `day`, `visit` or `age` to the studies whose time is known from it."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason to the number of studies."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"change": vars(self.change), "years": list(self.years)}


@dataclass(frozen=True)
class Contrasts:
    """P samples, each a linear combination of studies."""

    change: Change
    rows: tuple[np.ndarray, ...]
    """Studies of each sample, in order of time."""
    weights: tuple[np.ndarray, ...]
    """Of these studies; they add up to 0."""
    years: np.ndarray
    """(P,) from the first to the last study of each sample."""
    summary: VisitSummary
    warnings: tuple[str, ...]
    """A sentence each."""

    def delta(self, values: np.ndarray) -> np.ndarray:
        """(P, ...) contrasts of the (N, ...) values of the studies."""
        return np.array(
            [w @ values[r].astype(np.float64) for r, w in zip(self.rows, self.weights, strict=True)]
        )

    def features(self, X: np.ndarray) -> np.ndarray:
        """(P, D), or (P, 2 D) with the baseline, float32, of the (N, D) vectors of the studies."""
        delta = self.delta(X).astype(np.float32)
        if self.change.features == "delta":
            return delta
        return np.hstack([X[[rows[0] for rows in self.rows]].astype(np.float32), delta])

    def frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """P rows for `samples.samples`: covariates of the first visit, the change of the target if there is one.

        Further columns: `interval_years` and `initial_value`, the target at the first visit.
        """
        first = [int(rows[0]) for rows in self.rows]
        last = [int(rows[-1]) for rows in self.rows]
        made = frame.iloc[first].reset_index(drop=True)
        studies = frame["study"].to_numpy(dtype=str)
        made["study"] = [f"{studies[a]} to {studies[b]}" for a, b in zip(first, last, strict=True)]
        made["interval_years"] = self.years
        for name in _VARYING:
            texts = frame[name].to_numpy(dtype=str)
            same = [len(set(texts[rows].tolist())) == 1 for rows in self.rows]
            made[name] = made[name].where(np.array(same), "")
        if "target" in frame:
            y = frame["target"].to_numpy(dtype=float)
            made["initial_value"] = y[first]
            made["target"] = self.delta(y)
        return made.drop(columns="row", errors="ignore")


def contrasts(
    frame: pd.DataFrame, change: Change, series: Sequence[tuple[str, ...]] | None = None
) -> Contrasts:
    """The samples that a table of studies gives.

    Args:
        frame: N studies: `study subject session site scanner visit_years visit_years_from`; see `labels.Joined.frame`.
        change: how they are made.
        series: names of the series of each study that its vector is made of, to warn if visits differ in them.

    Raises:
        UsageError: no subject has two visits at known times that are far enough apart; it says why.
    """
    years = frame["visit_years"].to_numpy(dtype=float)
    subjects = frame["subject"].to_numpy(dtype=str)
    lost: Counter[str] = Counter()
    rows: list[np.ndarray] = []
    equal: list[int] = []
    for name in dict.fromkeys(subjects.tolist()):
        own = np.flatnonzero(subjects == name)
        if len(own) == 1:
            lost["single"] += 1
            continue
        timed = own[np.isfinite(years[own])]
        lost["untimed"] += len(own) - len(timed)
        timed = timed[np.argsort(years[timed], kind="stable")]
        kept = timed[np.r_[True, np.diff(years[timed]) > 0][: len(timed)]]
        equal += sorted(set(timed.tolist()) - set(kept.tolist()))
        samples = _samples(kept, years, change)
        taken = {int(row) for sample in samples for row in sample}
        if len(kept) == 1:
            lost["alone"] += 1
        else:
            lost["close" if not samples else "passed"] += len(kept) - len(taken)
        rows += samples
    lost["equal"] = len(equal)
    if not rows:
        raise UsageError(_why_none(lost, len(frame), change))
    weights = tuple(_weights(years[one], change) for one in rows)
    span = np.array([years[one[-1]] - years[one[0]] for one in rows])
    used = np.unique(np.concatenate(rows))
    summary = VisitSummary(
        change,
        len(set(subjects[used].tolist())),
        len(used),
        (float(span.min()), float(np.median(span)), float(span.max())),
        dict(Counter(frame["visit_years_from"].iloc[used])),
        {_REASONS[name]: n for name, n in lost.items() if n},
    )
    warnings = (*_lost(lost, equal, frame, change), *_doubts(rows, frame, years, series))
    return Contrasts(change, tuple(rows), weights, span, summary, warnings)


_REASONS = {
    "single": "the only study of its subject",
    "untimed": "the time of the visit is unknown",
    "equal": "another study of the subject has the same time",
    "alone": "no other study of its subject has another known time",
    "close": "too close in time to the subject's other visits",
    "passed": "not used: between or too close to the visits that are",
}


def _samples(rows: np.ndarray, years: np.ndarray, change: Change) -> list[np.ndarray]:
    """The samples of one subject, whose studies are at different times and in order."""
    apart = change.min_days / DAYS_PER_YEAR
    if change.visits == "consecutive":
        made, start = [], rows[0] if len(rows) else -1
        for row in rows[1:]:
            if years[row] - years[start] >= apart - 1e-9:
                made.append(np.array([start, row]))
                start = row
        return made
    if len(rows) < 2 or years[rows[-1]] - years[rows[0]] < apart - 1e-9:
        return []
    return [rows if change.visits == "slope" else rows[[0, -1]]]


def _weights(years: np.ndarray, change: Change) -> np.ndarray:
    if change.visits == "slope":
        centred = years - years.mean()
        return np.asarray(centred / (centred**2).sum())
    return np.array([-1.0, 1.0]) / (years[-1] - years[0] if change.per_year else 1.0)


def _why_none(lost: Counter[str], n: int, change: Change) -> str:
    reason = max(lost, key=lambda name: lost[name])
    advice = {
        "single": "a change needs two studies of a subject: check that sessions are embedded as studies of one subject",
        "untimed": "give the times of the visits with --scan-dates, --date-column, --age-column, or --time-column and "
        "--time-unit",
        "equal": "the ages or dates are the same at all visits: give those of each visit (--session-column, "
        "--scan-dates), or name their column with --time-column",
        "alone": "give the times of all visits (--scan-dates, --date-column, --age-column or --time-column)",
        "close": f"lower --min-days, which is {change.min_days:g}",
        "passed": "",
    }[reason]
    return (
        f"no change can be computed from {count(n, 'study')}: of {lost[reason]}, {_REASONS[reason]}; {advice}"
    )


def _lost(lost: Counter[str], equal: list[int], frame: pd.DataFrame, change: Change) -> Iterator[str]:
    """A sentence for each reason why studies are in no sample."""
    studies = frame["study"].to_numpy(dtype=str)
    if n := lost["single"]:
        yield (
            f"{count(n, 'subject')} {verb(n, 'has', 'have')} one study and {verb(n, 'is', 'are')} left out: a change "
            "needs two"
        )
    if n := lost["untimed"]:
        yield (
            f"{count(n, 'study')} {verb(n, 'is', 'are')} left out because the time of the visit is unknown "
            "(--scan-dates, --date-column, --age-column or --time-column)"
        )
    if n := lost["equal"]:
        yield (
            f"{count(n, 'study')}, such as {studies[equal[0]]}, {verb(n, 'has', 'have')} the same time as another "
            f"study of the subject and {verb(n, 'is', 'are')} left out: the first in the file is used"
        )
    if n := lost["alone"]:
        yield (
            f"{count(n, 'subject')} {verb(n, 'has', 'have')} several studies but only one known time and "
            f"{verb(n, 'is', 'are')} left out"
        )
    if n := lost["close"]:
        yield (
            f"{count(n, 'study')} {verb(n, 'is', 'are')} left out because the subject's visits are less than "
            f"{change.min_days:g} days apart (--min-days)"
        )
    if n := lost["passed"]:
        where = (
            "between the first and the last visit"
            if change.visits == "first-last"
            else f"less than {change.min_days:g} days after the visit before (--min-days)"
        )
        yield f"{count(n, 'study')} {where} {verb(n, 'is', 'are')} not used"


def _doubts(
    rows: list[np.ndarray],
    frame: pd.DataFrame,
    years: np.ndarray,
    series: Sequence[tuple[str, ...]] | None,
) -> Iterator[str]:
    """Sentences on samples whose change may not be one of the subject."""
    studies, sessions = (frame[name].to_numpy(dtype=str) for name in ("study", "session"))
    total = count(len(rows), "change")

    def about(found: list[np.ndarray], what: str) -> Iterator[str]:
        if found:
            pair = f"{studies[found[0][0]]} and {studies[found[0][-1]]}"
            yield f"in {len(found)} of {total}, such as that of {pair}, {what}"

    def reversed_names(one: np.ndarray) -> bool:
        named = [sessions[row] for row in one]
        return all(named) and [*map(_natural, named)] != sorted(map(_natural, named))

    yield from about(
        [one for one in rows if reversed_names(one)],
        "the sessions are not in the order of their times: the times are used, so check them",
    )
    if series is not None:
        yield from about(
            [one for one in rows if len({series[row] for row in one}) > 1],
            "the visits have different series, so the change also shows the protocol: use --level series with --series",
        )
    for name in ("scanner", "site"):
        texts = frame[name].to_numpy(dtype=str)
        yield from about(
            [one for one in rows if len({texts[row] for row in one} - {""}) > 1],
            f"the {name} differs between the visits, so the change also shows the {name}",
        )
    by_age = frame["visit_years_from"].to_numpy(dtype=str)[np.concatenate(rows)] == "age"
    used = years[np.concatenate(rows)][by_age]
    if len(used) and np.allclose(used, np.round(used)):
        yield (
            "intervals between visits are computed from ages in whole years, so they are wrong by up to a year: give "
            "dates with --scan-dates or --date-column"
        )


def _natural(name: str) -> tuple[int, float, str]:
    """Sort key of a session: `ses-2` before `ses-10`."""
    digits = "".join(filter(str.isdigit, name))
    return (0, float(digits), name) if digits else (1, 0.0, name)
