"""How well scores or probabilities agree with observed shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.clinical.audit.inputs import Kind
from prima_features.evaluation import clustered
from prima_features.evaluation.bounds import proportion
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.weighted import logit

_BINS = 10
_ROWS_PER_BIN = 15


@dataclass(frozen=True)
class Calibrated:
    """One name."""

    slope: Estimate
    """Of a logistic regression of the label on the log odds of the probability (1 is ideal) or on the score."""
    intercept: Estimate
    """Probabilities: log odds of the label beyond those predicted, calibration in the large (0 is ideal). Scores: the
    intercept of the regression on the score."""
    bins: tuple[tuple[float, float, float, float, int], ...]
    """Mean score, observed share with its 95% interval, and studies, in bins of equal numbers."""
    brier: Estimate = Estimate(float("nan"))
    """Mean squared error of probabilities; NaN for scores."""
    observed: float = float("nan")
    expected: float = float("nan")
    """Share of positives, and mean probability (NaN for scores)."""
    ece: float = float("nan")
    """Expected calibration error over the bins; NaN for scores."""


def calibrated(positive: np.ndarray, score: np.ndarray, subject: np.ndarray, kind: Kind) -> Calibrated:
    """Compare (n,) scores with (n,) labels; subjects (n,) make intervals robust to repeated studies."""
    x = logit(score) if kind == "probability" else score
    ones = np.ones((len(x), 1))
    line = clustered.fit(np.column_stack([ones, x]), positive, subject)
    slope, intercept = line.estimate(1), line.estimate(0)
    bins = _bins(positive, score)
    if kind == "score":
        return Calibrated(slope, intercept, bins, observed=float(positive.mean()))
    in_the_large = clustered.fit(ones, positive, subject, offset=x).estimate(0)
    counts = np.array([one[4] for one in bins])
    errors = np.array([abs(one[0] - one[1]) for one in bins])
    return Calibrated(
        slope,
        in_the_large,
        bins,
        clustered.mean((score - positive) ** 2, subject),
        float(positive.mean()),
        float(score.mean()),
        float((errors * counts).sum() / counts.sum()),
    )


def _bins(positive: np.ndarray, score: np.ndarray) -> tuple[tuple[float, float, float, float, int], ...]:
    n_bins = int(np.clip(len(positive) // _ROWS_PER_BIN, 1, _BINS))
    edges = np.unique(np.quantile(score, np.linspace(0, 1, n_bins + 1)[1:-1]))
    place = np.digitize(score, edges)
    rows = []
    for code in np.unique(place):
        own = place == code
        share = proportion(float(positive[own].mean()), int(own.sum()))
        rows.append((float(score[own].mean()), share.value, share.ci_low, share.ci_high, int(own.sum())))
    return tuple(rows)
