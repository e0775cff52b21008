"""Two tables of scores on the same studies: paired differences, with the same resampled subjects for both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.clinical.audit.inputs import Cohort, match
from prima_features.clinical.audit.measure import Measured, Weights, measure
from prima_features.clinical.audit.scores import Scores, read_scores
from prima_features.clinical.audit.words import label, p_text
from prima_features.errors import UsageError
from prima_features.evaluation.gaps import holm
from prima_features.evaluation.intervals import Estimate
from prima_features.page.blocks import Cell, Prose, Section, Table, section
from prima_features.page.digits import interval, number

METRICS = {"auroc": "AUROC", "auprc": "AUPRC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
MEAN = "mean over names"
_Z = 1.959963984540054


@dataclass(frozen=True)
class Difference:
    """First minus second."""

    first: float
    second: float
    estimate: Estimate
    p: float
    """Two-sided, of the hypothesis of no difference; NaN if it does not vary."""
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """By name and metric, and for the mean over names."""

    first: str
    second: str
    """Names of the files."""
    n: int
    """Studies that have scores in both."""
    names: dict[str, dict[str, Difference]]
    mean: dict[str, Difference]

    def document(self) -> dict[str, Any]:
        """For audit.json: `names` -> name -> metric, and `mean`."""
        plain = {name: _plain(found) for name, found in self.names.items()}
        return {
            "first": self.first,
            "second": self.second,
            "n": self.n,
            "names": plain,
            "mean": _plain(self.mean),
        }

    def section(self) -> Section | None:
        """Of the page."""
        rows = [self._row(MEAN, self.mean), *(self._row(name, found) for name, found in self.names.items())]
        said = (
            f"{self.first} minus {self.second}, on the {self.n:,} studies that both have. Intervals "
            f"resample subjects, the same for both; "
            "p is two-sided, with Holm's correction over names."
        )
        head = ("Name", *METRICS.values())
        table = Table("Paired differences (95% intervals)", head, tuple(rows), frozenset({0}))
        return section("compare", "Comparison", [Prose(said), table])

    def _row(self, name: str, found: dict[str, Difference]) -> tuple[Cell, ...]:
        cells = []
        for metric in METRICS:
            one = found[metric]
            p = f"; p {p_text(one.p_holm)}" if np.isfinite(one.p_holm) else ""
            cells.append(Cell(number(one.estimate.value, 3), interval(one.estimate, 3) + p))
        return (Cell(label(name)), *cells)


def compare(
    cohort: Cohort,
    first_name: str,
    other: Path,
    weights: Weights,
    *,
    columns: tuple[str, ...],
    threshold: float | None,
    min_positives: int,
) -> Comparison:
    """Compare with another table of scores; studies and names that both have count.

    Args:
        cohort: of the first table.
        first_name: of the first table.
        other: the second table.
        weights: of the first table's rows.
        columns: of scores, for tables of other tools.
        threshold: for both tables; None for the stored ones.
        min_positives: as in `measure`.

    Raises:
        UsageError: the tables have no study or name in common, or too few labels.
    """
    second = read_scores(other, columns, threshold, cohort.names)
    rows, _ = match(cohort.scores.table, second.table, other)
    shared = [name for name in cohort.names if name in second.names]
    if not shared:
        raise UsageError(
            f"{other} has no name of the first table: it has {', '.join(second.names[:6])}, and that has "
            f"{', '.join(cohort.names[:6])}"
        )
    mine = [cohort.names.index(name) for name in shared]
    theirs = [second.names.index(name) for name in shared]
    score = np.where((rows >= 0)[:, None], second.score[np.maximum(rows, 0)][:, theirs], np.nan)
    own = cohort.scores.score[:, mine]
    both = np.isfinite(score) & np.isfinite(own)
    label = np.where(both, cohort.label[:, mine], -1).astype(np.int8)

    def measured(one: Scores) -> list[Measured]:
        joined = replace(cohort, scores=one, label=label)
        return measure(joined, np.arange(len(rows)), weights, min_positives=min_positives)

    first = measured(_part(cohort.scores, shared, mine, own, cohort.scores.called[:, mine]))
    called = second.called[np.maximum(rows, 0)][:, theirs]
    others = measured(_part(second, shared, theirs, score, called))
    usable = [i for i, one in enumerate(first) if not one.reason]
    if not usable:
        raise UsageError(
            f"no name has enough labels in the studies that both tables have ({first[0].reason})"
        )
    names: dict[str, dict[str, Difference]] = {shared[i]: {} for i in usable}
    mean = {}
    for metric in METRICS:
        pairs = [(first[i], others[i]) for i in usable]
        found = [
            _difference(
                a.estimates[metric].value, b.estimates[metric].value, a.plain[metric] - b.plain[metric]
            )
            for a, b in pairs
        ]
        adjusted = holm(np.array([one.p for one in found]))
        for i, one, p in zip(usable, found, adjusted, strict=True):
            names[shared[i]][metric] = replace(one, p_holm=float(p))
        values = [
            float(np.nanmean([one.estimates[metric].value for one in side]))
            for side in zip(*pairs, strict=True)
        ]
        resampled = np.nanmean([a.plain[metric] - b.plain[metric] for a, b in pairs], axis=0)
        total = _difference(values[0], values[1], resampled)
        mean[metric] = replace(total, p_holm=total.p)
    return Comparison(first_name, other.name, int(both.any(axis=1).sum()), names, mean)


def _part(
    scores: Scores, names: list[str], places: list[int], score: np.ndarray, called: np.ndarray
) -> Scores:
    thresholds = tuple(scores.thresholds[i] for i in places)
    return replace(scores, names=tuple(names), score=score, called=called, thresholds=thresholds)


def _difference(first: float, second: float, resampled: np.ndarray) -> Difference:
    from scipy.stats import norm

    value, error = first - second, float(resampled.std())
    estimate = Estimate(value, max(value - _Z * error, -1.0), min(value + _Z * error, 1.0))
    p = float(2 * norm.sf(abs(value) / error)) if error > 1e-12 else float("nan")
    return Difference(first, second, estimate, p, float("nan"))


def _plain(found: dict[str, Difference]) -> dict[str, Any]:
    return {
        metric: {
            "first": one.first,
            "second": one.second,
            **vars(one.estimate),
            "p": one.p,
            "p_holm": one.p_holm,
        }
        for metric, one in found.items()
    }
