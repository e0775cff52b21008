"""Metrics of every name in every group, with bootstrap resamples that all names and groups share.

Each resample gives a subject one random weight for all its studies (`evaluation.intervals`). Rates add random weights
of mean one half to hits, misses, false alarms and correct rejections, the prior of Jeffreys: for one study per subject,
the interval of a rate is then Jeffreys' interval, and it has a width even if no or all studies are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.threshold import best_threshold
from prima_features.evaluation import bounds
from prima_features.evaluation.intervals import LEVEL, Bootstrap, Estimate, percentile, tail
from prima_features.evaluation.ranked import Ranking
from prima_features.evaluation.weighted import divide
from prima_features.wording import count

RATES = ("tpr", "fpr", "ppv", "npv", "sensitivity", "specificity", "balanced_accuracy")
METRICS = ("auroc", "auprc", *RATES, "specificity_at", "prevalence")
GAPS = ("tpr", "fpr", "auroc")
MACRO = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy", "specificity_at")
"""Metrics whose mean over names is given."""
_BLOCK = 100
_Z = 1.959963984540054
_CELLS = 4
"""Hits, misses, false alarms, correct rejections."""


@dataclass(frozen=True)
class Measured:
    """One name in some rows."""

    n: int
    """Rows with a score and a known label."""
    positives: int
    n_subjects: int = 0
    subjects_by_class: tuple[int, int] = (0, 0)
    """Subjects with a negative and with a positive row."""
    reason: str = ""
    """Why there are no metrics; empty if there are."""
    estimates: dict[str, Estimate] = field(default_factory=dict)
    resampled: dict[str, np.ndarray] = field(default_factory=dict)
    """(B,) by metric."""
    plain: dict[str, np.ndarray] = field(default_factory=dict)
    """(B,) by metric of `MACRO`, rates without prior: over many names the prior's bias would add up."""
    threshold_at: float = float("nan")
    """Threshold of `specificity_at`."""
    public_threshold: float = float("nan")
    """What the rule of Prima's training would choose for these scores (`threshold.best_threshold`)."""


@dataclass(frozen=True)
class Weights:
    """Bootstrap weights of N rows in B resamples."""

    blocks: tuple[np.ndarray, ...]
    """(N, b) float32 each."""
    subject: np.ndarray
    """(N,) integers."""
    seed: int

    @classmethod
    def draw(cls, subject: np.ndarray, n_resamples: int, seed: int) -> Weights:
        """Draw them; 4 N B bytes."""
        _, codes = np.unique(subject, return_inverse=True)
        bootstrap = Bootstrap(codes, np.zeros(len(codes), dtype=np.int64), n_resamples, seed)
        blocks = [
            np.ascontiguousarray(block[i : i + _BLOCK].T, dtype=np.float32)
            for block in bootstrap.weights()
            for i in range(0, len(block), _BLOCK)
        ]
        return cls(tuple(blocks), codes, seed)

    @property
    def n(self) -> int:
        """B."""
        return sum(block.shape[1] for block in self.blocks)


def measure(
    cohort: Cohort,
    rows: np.ndarray,
    weights: Weights,
    *,
    sensitivity: float = 0.9,
    min_positives: int = 10,
    names: Sequence[int] | None = None,
) -> list[Measured]:
    """Metrics of each name in some rows.

    Args:
        cohort: N studies, M names.
        rows: (n,) positions.
        weights: of the N rows.
        sensitivity: at which specificity and threshold are given.
        min_positives: subjects with a positive row, and with a negative one, that metrics need.
        names: positions of names; the others have a reason and no metrics. Default is all.
    """
    score, label, called = cohort.scores.score[rows], cohort.label[rows], cohort.scores.called[rows]
    subject = weights.subject[rows]
    known = (label >= 0) & np.isfinite(score)
    positive = label == 1
    found = [
        _counts(known[:, i], positive[:, i], subject, min_positives, names is None or i in names)
        for i in range(score.shape[1])
    ]
    usable = [i for i, one in enumerate(found) if not one.reason]
    if not usable:
        return found
    known, positive, called = known[:, usable], positive[:, usable], called[:, usable]
    cells = [known & positive & called, known & positive & ~called]
    cells += [known & ~positive & called, known & ~positive & ~called]
    indicator = np.stack(cells, axis=1).astype(np.float32)
    indicator = indicator.reshape(len(rows), -1)
    rankings = []
    for place, i in enumerate(usable):
        own = np.flatnonzero(known[:, place])
        rankings.append(Ranking.of(own, positive[own, place], score[own, i], len(rows)))

    counts, ranked = [], []
    for block in weights.blocks:
        taken = block if len(rows) == len(block) else np.ascontiguousarray(block[rows])
        counts.append(indicator.T @ taken)
        ranked.append([one.metrics(taken, sensitivity) for one in rankings])
    sums = np.concatenate(counts, axis=1).astype(np.float64) if counts else np.zeros((indicator.shape[1], 0))
    sums = sums.reshape(_CELLS, len(usable), -1)
    exact = indicator.sum(axis=0, dtype=np.float64).reshape(_CELLS, len(usable), 1)
    ones = np.ones((len(rows), 1), dtype=np.float32)
    rng = np.random.default_rng([weights.seed, len(rows)])
    for place, i in enumerate(usable):
        one, own = found[i], known[:, place]
        per_subject = one.n / one.n_subjects
        prior = per_subject * rng.gamma(0.5, size=(_CELLS, sums.shape[2]))
        values = _rates(exact[:, place]) | rankings[place].metrics(ones, sensitivity)
        areas = {
            name: np.concatenate([block[place][name] for block in ranked]) if ranked else np.zeros(0)
            for name in ("auroc", "auprc", "specificity_at")
        }
        plain = _rates(sums[:, place])
        resampled = _rates(sums[:, place] + prior) | areas
        found[i] = Measured(
            one.n,
            one.positives,
            one.n_subjects,
            one.subjects_by_class,
            estimates={
                name: interval(name, float(values[name][0]), resampled[name], one) for name in METRICS
            },
            resampled=resampled,
            plain={name: (plain | areas)[name] for name in MACRO},
            threshold_at=rankings[place].threshold(sensitivity),
            public_threshold=best_threshold(positive[own, place], score[own, i]),
        )
    return found


def interval(metric: str, value: float, resampled: np.ndarray, counts: Measured) -> Estimate:
    """A metric's 95% interval from its (B,) resamples."""
    if not len(resampled) or not np.isfinite(value):
        return Estimate(value)
    negative, positive = counts.subjects_by_class
    smallest = min(negative, positive)
    if metric in (*RATES, "prevalence"):
        own = {"tpr": positive, "sensitivity": positive, "fpr": negative, "specificity": negative}
        made = percentile(value, resampled, tail(own.get(metric, smallest)))
        # As Jeffreys' interval: a rate of 0 or 1 is inside.
        low = 0.0 if value == 0 else min(made.ci_low, value)
        return Estimate(value, low, 1.0 if value == 1 else max(made.ci_high, value))
    if metric not in ("auroc", "auprc"):
        made = percentile(value, resampled, tail(smallest))
        return Estimate(value, min(made.ci_low, value), max(made.ci_high, value))
    half = 1 / (2 * smallest)
    if half < value < 1 - half:
        # Percentiles of areas near 1 are too narrow on the lower side; log odds are about symmetric.
        reach = small_sample_factor(smallest) * _Z * _logit(np.clip(resampled, half / 2, 1 - half / 2)).std()
        low, high = (1 / (1 + np.exp(-(_logit(np.array(value)) + side))) for side in (-reach, reach))
        return Estimate(value, float(low), float(high))
    exact = (
        bounds.auroc(value, positive, negative) if metric == "auroc" else bounds.proportion(value, positive)
    )
    return Estimate(value, exact.ci_low, exact.ci_high)


def small_sample_factor(n: int) -> float:
    """By which a bootstrap's standard error and a normal quantile are too small for n subjects (`intervals.tail`)."""
    from scipy.stats import t as student

    return float(np.sqrt((n + 1) / (n - 1)) * student.ppf((1 + LEVEL) / 2, n - 1) / _Z)


def log_odds(metric: str, one: Measured) -> tuple[float, np.ndarray, float]:
    """A metric on the scale of log odds: value, (B,) resamples, and the least standard error.

    Rates have their prior in the resamples. An AUROC of 1 or 0 is taken as half a subject away from it, and its
    standard
    error as at least that of Newcombe's interval.
    """
    resampled, value = one.resampled[metric], one.estimates[metric].value
    if metric != "auroc":
        logits = _logit(resampled)
        return float(logits.mean()), logits, 0.0
    negative, positive = one.subjects_by_class
    half = 1 / (2 * min(negative, positive))
    value = float(np.clip(value, half, 1 - half))
    exact = bounds.auroc(value, positive, negative)
    least = float(_logit(np.array(exact.ci_high)) - _logit(np.array(exact.ci_low))) / (2 * _Z)
    return float(_logit(np.array(value))), _logit(np.clip(resampled, half / 2, 1 - half / 2)), 0.9 * least


def _logit(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(p) - np.log1p(-p))


def _rates(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Rates from (4, B) sums of weights."""
    hit, miss, false, correct = cells
    tpr, fpr = divide(hit, hit + miss), divide(false, false + correct)
    return {
        "tpr": tpr,
        "fpr": fpr,
        "ppv": divide(hit, hit + false),
        "npv": divide(correct, correct + miss),
        "sensitivity": tpr,
        "specificity": 1 - fpr,
        "balanced_accuracy": (tpr + 1 - fpr) / 2,
        "prevalence": divide(hit + miss, cells.sum(axis=0)),
    }


def _counts(
    known: np.ndarray, positive: np.ndarray, subject: np.ndarray, least: int, is_asked: bool
) -> Measured:
    own, truth = subject[known], positive[known]
    by_class = tuple(len(np.unique(own[truth == one])) for one in (False, True))
    reason = ""
    if not len(own):
        reason = "no label is known"
    elif not is_asked:
        reason = "not asked for"
    else:
        for n, what in zip(by_class, ("negative", "positive"), strict=True):
            if n < max(least, 1):
                reason = f"{count(n, 'subject')} with a {what} label, fewer than {max(least, 1)}"
    return Measured(len(own), int(truth.sum()), len(np.unique(own)), (by_class[0], by_class[1]), reason)
