"""Prospective use: accuracy by month or quarter, thresholds frozen before a date, drift of scores, sample sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prima_features.clinical.audit.drift import EmbeddingDrift
from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.audit.measure import Measured, Weights, measure
from prima_features.clinical.audit.scores import Scores
from prima_features.errors import UsageError
from prima_features.evaluation import bounds, clustered
from prima_features.evaluation.gaps import holm
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.ranked import Ranking
from prima_features.page.blocks import Block, Cell, Folded, Prose, Section, Table, label, section
from prima_features.page.digits import interval, number, p_text

By = Literal["month", "quarter"]
HALF_WIDTHS = (0.02, 0.05, 0.1)
_MOST_POSITIVES = 100_000
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]?\d{1,2}:?\d{2}.*)?$")
"""Year, month and day; a time of day after it does not count."""


@dataclass(frozen=True)
class Drift:
    """Scores of one name after the date against before."""

    shift: Estimate
    """Difference of the means, in standard deviations before."""
    p: float
    """Two-sided."""
    p_holm: float


@dataclass(frozen=True)
class Needed:
    """Positive studies (of as many subjects) that give an interval of a half-width."""

    half_width: float
    sensitivity: int
    auroc: int


@dataclass(frozen=True)
class Prospective:
    """Before and after a date; sample sizes."""

    date: str
    n_before: int
    n_after: int
    sensitivity: float
    """That thresholds were chosen for, before the date."""
    thresholds: dict[str, float]
    after: dict[str, Measured]
    """At those thresholds, by name."""
    drift: dict[str, Drift]
    needed: dict[str, tuple[float, tuple[Needed, ...]]]
    """By name: share of positives, and sample sizes at the observed accuracy."""
    embeddings: EmbeddingDrift | None = None
    """Of the study vectors; None without --embeddings."""

    def document(self) -> dict[str, Any]:
        """For audit.json."""
        return {
            "frozen_before": self.date,
            "n_before": self.n_before,
            "n_after": self.n_after,
            "chosen_sensitivity": self.sensitivity,
            "names": {
                name: {
                    "threshold": self.thresholds[name],
                    "n": one.n,
                    "positives": one.positives,
                    "reason": one.reason,
                    **{
                        metric: vars(one.estimates[metric])
                        for metric in ("sensitivity", "specificity", "auroc")
                        if not one.reason
                    },
                    "drift": {**vars(drift), "shift": vars(drift.shift)}
                    if (drift := self.drift.get(name))
                    else None,
                }
                for name, one in self.after.items()
            },
            "embeddings": self.embeddings.document() if self.embeddings else None,
            "sample_size": {
                name: {"prevalence": share, "needed": [vars(one) for one in rows]}
                for name, (share, rows) in self.needed.items()
            },
        }

    def section(self) -> Section | None:
        """Of the page."""
        blocks: list[Block] = []
        if self.after:
            drifted = sum(one.p_holm < 0.05 for one in self.drift.values())
            said = (
                f"Thresholds were chosen for a sensitivity of {100 * self.sensitivity:g}% in the "
                f"{self.n_before:,} studies before "
                f"{self.date} and applied to the {self.n_after:,} studies from then on. Scores of {drifted} of "
                f"{len(self.drift)} names have shifted (two-sided, Holm's correction)."
            )
            blocks += [Prose(said), self._frozen()]
        if self.embeddings:
            blocks += self.embeddings.blocks()
        if self.needed:
            said = (
                "Positive studies needed for a 95% interval of a half-width, at the accuracy and share "
                "of positives observed here, and "
                "studies in all to find as many."
            )
            blocks += [Prose(said), Folded("Sample sizes", self._sizes())]
        return section("prospective", "Prospective", blocks)

    def _frozen(self) -> Table:
        rows = []
        for name, one in self.after.items():
            cells = [Cell("-", one.reason), Cell(""), Cell("")]
            if not one.reason:
                cells = [
                    Cell(number(one.estimates[metric].value, 3), interval(one.estimates[metric], 3))
                    for metric in ("sensitivity", "specificity", "auroc")
                ]
            drift = self.drift.get(name)
            shift = Cell("-")
            if drift:
                shift = Cell(
                    number(drift.shift.value, 2),
                    f"{interval(drift.shift, 2)}; p (Holm) {p_text(drift.p_holm)}",
                )
            rows.append(
                (
                    Cell(label(name), f"{one.positives:,} positive"),
                    Cell(number(self.thresholds[name], 2)),
                    *cells,
                    shift,
                )
            )
        head = ("Name", "Threshold", "Sensitivity", "Specificity", "AUROC", "Shift of scores (SD)")
        return Table(f"From {self.date} on, with thresholds from before", head, tuple(rows))

    def _sizes(self) -> Table:
        rows = tuple(
            (
                Cell(label(name), f"{100 * share:.1f}% positive"),
                *(
                    Cell(f"{needed:,}", f"{int(np.ceil(needed / share)):,} studies")
                    for one in sizes
                    for needed in (one.sensitivity, one.auroc)
                ),
            )
            for name, (share, sizes) in self.needed.items()
        )
        head = (
            "Name",
            *(f"{what} ± {width:g}" for width in HALF_WIDTHS for what in ("Sensitivity", "AUROC")),
        )
        return Table("Positive studies needed", head, rows)


def periods(cohort: Cohort, column: str, by: By) -> tuple[np.ndarray, np.ndarray]:
    """(N,) dates (NaT if unknown) and (N,) text such as 2025-03 or 2025-Q1.

    A time zone is dropped, not converted: the date is the one at the hospital.

    Raises:
        UsageError: there is no such column, or it has other values than dates.
    """
    import pandas as pd

    cells = cohort.column(column, "--date-column")
    dates = np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[ns]")
    for row, cell in enumerate(cells):
        if not cell:
            continue
        found = _DATE.match(cell)
        try:
            dates[row] = np.datetime64("-".join(found.groups()), "ns") if found else np.datetime64("NaT")
        except ValueError:
            found = None
        if found is None:
            raise UsageError(
                f"the column {column} (--date-column) has {str(cell)!r}: expected dates such as 2025-03-31"
            )
    found_dates = pd.Series(dates)
    if by == "month":
        made = found_dates.dt.strftime("%Y-%m")
    else:
        made = found_dates.dt.to_period("Q").astype(str).str.replace("Q", "-Q")
    return dates, np.where(np.isnat(dates), "", made.astype(str)).astype(str)


def prospective(
    cohort: Cohort,
    overall: list[Measured],
    weights: Weights,
    dates: np.ndarray | None,
    before: str,
    *,
    sensitivity: float,
    min_positives: int,
    drift_of: Callable[[np.ndarray], EmbeddingDrift] | None = None,
) -> Prospective:
    """Freeze thresholds before a date and compare what follows with it.

    Args:
        cohort: N studies.
        overall: metrics of all studies.
        weights: of the bootstrap.
        dates: (N,) datetime64; None for sample sizes only.
        before: the date; empty for sample sizes only.
        sensitivity: to choose thresholds for.
        min_positives: as in `measure`.
        drift_of: drift of the study vectors, given the (N,) studies before the date.

    Raises:
        UsageError: the date cannot be read, or has no studies on one side.
    """
    needed = {
        name: (one.positives / one.n, tuple(_needed(one, width) for width in HALF_WIDTHS))
        for name, one in zip(cohort.names, overall, strict=True)
        if not one.reason
    }
    if dates is None or not before:
        return Prospective("", 0, 0, sensitivity, {}, {}, {}, needed)
    try:
        cut = np.datetime64(before, "ns")
    except ValueError as error:
        raise UsageError(f"--freeze-before {before} is not a date: give one such as 2025-07-01") from error
    known = ~np.isnat(dates)
    early, late = known & (dates < cut), known & (dates >= cut)
    if not early.any() or not late.any():
        raise UsageError(
            f"--freeze-before {before} has {int(early.sum())} studies before and {int(late.sum())} after it"
        )
    thresholds = [_threshold(cohort, i, early, sensitivity) for i in range(len(cohort.names))]
    score = cohort.scores.score
    frozen = Scores(
        cohort.names,
        score,
        score >= np.array(thresholds),
        tuple(thresholds),
        cohort.scores.kind,
        cohort.table,
    )
    applied = Cohort(frozen, cohort.label, cohort.subject, cohort.table, cohort.unmatched)
    after = measure(
        applied, np.flatnonzero(late), weights, sensitivity=sensitivity, min_positives=min_positives
    )
    usable = [i for i, threshold in enumerate(thresholds) if np.isfinite(threshold)]
    return Prospective(
        before,
        int(early.sum()),
        int(late.sum()),
        sensitivity,
        {cohort.names[i]: thresholds[i] for i in usable},
        {cohort.names[i]: after[i] for i in usable},
        _drift(cohort, early, late),
        needed,
        drift_of(early) if drift_of else None,
    )


def _threshold(cohort: Cohort, i: int, rows: np.ndarray, sensitivity: float) -> float:
    score, label = cohort.scores.score[:, i], cohort.label[:, i]
    own = np.flatnonzero(rows & np.isfinite(score) & (label >= 0))
    return Ranking.of(own, label[own] == 1, score[own], len(rows)).threshold(sensitivity)


def _drift(cohort: Cohort, early: np.ndarray, late: np.ndarray) -> dict[str, Drift]:
    found: dict[str, tuple[Estimate, float]] = {}
    for i, name in enumerate(cohort.names):
        score = cohort.scores.score[:, i]
        own = (early | late) & np.isfinite(score)
        spread = float(score[own & early].std()) if (own & early).any() else 0.0
        if spread > 0 and (own & late).any():
            found[name] = clustered.difference(score[own] / spread, late[own], cohort.subject[own])
    adjusted = holm(np.array([p for _, p in found.values()])) if found else np.zeros(0)
    return {
        name: Drift(shift, p, float(q)) for (name, (shift, p)), q in zip(found.items(), adjusted, strict=True)
    }


def _needed(one: Measured, half_width: float) -> Needed:
    """By bisection, as both half-widths fall with the number of positives."""
    ratio = (one.n - one.positives) / one.positives
    sensitivity, auroc = one.estimates["sensitivity"].value, one.estimates["auroc"].value

    def least(found_with: Callable[[int], Estimate]) -> int:
        low, high = 1, _MOST_POSITIVES
        while low < high:
            middle = (low + high) // 2
            found = found_with(middle)
            if (found.ci_high - found.ci_low) / 2 <= half_width:
                high = middle
            else:
                low = middle + 1
        return low

    return Needed(
        half_width,
        least(lambda n: bounds.proportion(sensitivity, n)),
        least(lambda n: bounds.auroc(auroc, n, n * ratio)),
    )
