"""Two tables of scores on the same studies: paired differences, with the same resampled subjects for both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.clinical.audit.inputs import Cohort, match
from prima_features.clinical.audit.measure import Measured, Weights, measure, small_sample_factor
from prima_features.clinical.audit.scores import Scores, read_scores
from prima_features.errors import UsageError
from prima_features.evaluation.gaps import holm
from prima_features.evaluation.intervals import Estimate, percentile, tail
from prima_features.page.blocks import Cell, Prose, Section, Table, label, section
from prima_features.page.digits import interval, number, p_text

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
    first = _part(cohort.scores, shared, mine, cohort.scores.score[:, mine], cohort.scores.called[:, mine])
    second = _part(second, shared, theirs, score, second.called[np.maximum(rows, 0)][:, theirs])
    names, mean, n = differences(
        replace(cohort, scores=first, label=cohort.label[:, mine]), second, weights, min_positives
    )
    return Comparison(first_name, other.name, n, names, mean)


def differences(
    cohort: Cohort, second: Scores, weights: Weights, min_positives: int = 10
) -> tuple[dict[str, dict[str, Difference]], dict[str, Difference], int]:
    """Differences of two sets of scores, those of the cohort first.

    Args:
        cohort: N studies with the first scores.
        second: of the same studies and names; NaN if missing.
        weights: of the N rows.
        min_positives: as in `measure`.

    Returns:
        differences by name and metric, those of the means by metric, and the studies that have both scores.

    Raises:
        UsageError: too few labels in the studies that have both.
    """
    both = np.isfinite(cohort.scores.score) & np.isfinite(second.score)
    label = np.where(both, cohort.label, -1).astype(np.int8)
    sides = [replace(cohort, scores=one, label=label) for one in (cohort.scores, second)]
    first, others = (
        measure(one, np.arange(len(label)), weights, min_positives=min_positives) for one in sides
    )
    usable = [i for i, one in enumerate(first) if not one.reason]
    if not usable:
        raise UsageError(
            f"no name has enough labels in the studies that both tables have ({first[0].reason})"
        )
    names: dict[str, dict[str, Difference]] = {cohort.names[i]: {} for i in usable}
    called = [cohort.scores.called[:, usable], second.called[:, usable]]
    rates = _paired_rates(label[:, usable], called[0], called[1], weights)
    same = [bool((cohort.scores.score[:, i] == second.score[:, i])[both[:, i]].all()) for i in usable]
    same = [one and bool((a == b).all()) for one, a, b in zip(same, called[0].T, called[1].T, strict=True)]
    mean = {}
    for metric in METRICS:
        pairs = [(first[i], others[i]) for i in usable]
        found = []
        for place, (a, b) in enumerate(pairs):
            if same[place]:
                found.append(_equal(a.estimates[metric].value))
            elif metric in rates:
                found.append(_rate(metric, a, b, rates[metric][place]))
            else:
                found.append(_area(metric, a, b))
        adjusted = holm(np.array([one.p for one in found]))
        for i, one, p in zip(usable, found, adjusted, strict=True):
            names[cohort.names[i]][metric] = replace(one, p_holm=float(p))
        mean[metric] = _mean(metric, pairs) if len(pairs) > 1 else replace(found[0], p_holm=found[0].p)
    return names, mean, int(both.any(axis=1).sum())


def _part(
    scores: Scores, names: list[str], places: list[int], score: np.ndarray, called: np.ndarray
) -> Scores:
    thresholds = tuple(scores.thresholds[i] for i in places)
    return replace(scores, names=tuple(names), score=score, called=called, thresholds=thresholds)


def _paired_rates(
    label: np.ndarray, first: np.ndarray, second: np.ndarray, weights: Weights
) -> dict[str, list[np.ndarray]]:
    """By metric and name, (B,) resampled differences of rates.

    Each of the four cells of a pair (both correct, only the first, only the second, neither) has a random weight of
    mean one half more, as of Agresti and Min (2005): the interval has a width even if both call all studies alike.
    """
    rng = np.random.default_rng([weights.seed, len(label)])
    made: dict[str, list[np.ndarray]] = {}
    for metric, truth in (("sensitivity", 1), ("specificity", 0)):
        own = label == truth
        correct = [side == bool(truth) for side in (first, second)]
        signs = (own * (correct[0].astype(np.float32) - correct[1])).astype(np.float32)
        moved = np.concatenate([signs.T @ block for block in weights.blocks], axis=1)
        total = np.concatenate([own.T.astype(np.float32) @ block for block in weights.blocks], axis=1)
        made[metric] = []
        for i in range(label.shape[1]):
            per_subject = own[:, i].sum() / max(len(np.unique(weights.subject[own[:, i]])), 1)
            prior = per_subject * rng.gamma(0.5, size=(4, moved.shape[1]))
            made[metric].append((moved[i] + prior[0] - prior[1]) / (total[i] + prior.sum(axis=0)))
    return made


def _rate(metric: str, first: Measured, second: Measured, resampled: np.ndarray) -> Difference:
    from scipy.stats import norm

    values = [one.estimates[metric].value for one in (first, second)]
    value = values[0] - values[1]
    n = _n_subjects(metric, first)
    found = percentile(value, resampled, tail(n))
    estimate = Estimate(value, min(found.ci_low, value), max(found.ci_high, value))
    statistic = abs(resampled.mean()) / (resampled.std() * small_sample_factor(n))
    return Difference(values[0], values[1], estimate, float(2 * norm.sf(statistic)), float("nan"))


def _area(metric: str, first: Measured, second: Measured) -> Difference:
    """Normal interval; if an area is within half a subject of 0 or 1, that of two independent areas."""
    one, other = first.estimates[metric], second.estimates[metric]
    smallest = min(first.subjects_by_class)
    error = float((first.plain[metric] - second.plain[metric]).std()) * small_sample_factor(smallest)
    half = 1 / (2 * smallest)
    if all(half < side.value < 1 - half for side in (one, other)):
        return _normal(one.value, other.value, error)
    low = np.hypot(one.value - one.ci_low, other.ci_high - other.value)
    high = np.hypot(one.ci_high - one.value, other.value - other.ci_low)
    found = _normal(one.value, other.value, max(error, float(low + high) / (2 * _Z)))
    value = found.estimate.value
    return replace(found, estimate=Estimate(value, float(value - low), float(value + high)))


def _n_subjects(metric: str, one: Measured) -> int:
    """That a metric rests on: those of its class, or of the smaller class."""
    negative, positive = one.subjects_by_class
    return {"sensitivity": positive, "specificity": negative}.get(metric, min(negative, positive))


def _mean(metric: str, pairs: list[tuple[Measured, Measured]]) -> Difference:
    """Of the means over names; rates without prior, whose bias would add up."""
    values = [
        float(np.nanmean([one.estimates[metric].value for one in side])) for side in zip(*pairs, strict=True)
    ]
    deviations = []
    for one, other in pairs:
        resampled = one.plain[metric] - other.plain[metric]
        factor = small_sample_factor(_n_subjects(metric, one))
        deviations.append((resampled - np.nanmean(resampled)) * factor)
    found = _normal(values[0], values[1], float(np.nanmean(deviations, axis=0).std()))
    return replace(found, p_holm=found.p)


def _normal(first: float, second: float, error: float) -> Difference:
    from scipy.stats import norm

    value = first - second
    estimate = Estimate(value, max(value - _Z * error, -1.0), min(value + _Z * error, 1.0))
    p = float(2 * norm.sf(abs(value) / error)) if error > 1e-12 else float("nan")
    return Difference(first, second, estimate, p, float("nan"))


def _equal(value: float) -> Difference:
    """The two have the same scores and decisions."""
    return Difference(value, value, Estimate(0.0, 0.0, 0.0), float("nan"), float("nan"))


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
