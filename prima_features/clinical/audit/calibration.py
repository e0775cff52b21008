"""Agreement of scores with observed shares, and curves from scores to probabilities (`--calibrate`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.audit.measure import Measured
from prima_features.clinical.audit.scores import Kind, described
from prima_features.clinical.calibration import Calibration, Curve, Method, fit_curve
from prima_features.evaluation import clustered
from prima_features.evaluation.bounds import proportion
from prima_features.evaluation.folds import deal
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.weighted import logit
from prima_features.page.blocks import Cell, Prose, Section, Table, label, section
from prima_features.page.digits import interval, number

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


FOLDS = 5


@dataclass(frozen=True)
class CalibratedCohort:
    """Curves fitted on all studies, with cross-fitted metrics."""

    calibration: Calibration
    cross_fitted: dict[str, Calibrated]
    """By name: each study's probability is from curves fitted on other subjects."""

    @property
    def _curves(self) -> dict[str, Curve]:
        return dict(zip(self.calibration.names, self.calibration.curves, strict=True))

    def document(self) -> dict[str, Any]:
        """For audit.json; the curves are in calibration.json."""
        curves = self._curves
        return {
            "method": self.calibration.method,
            "folds": FOLDS,
            "names": {
                name: {
                    "n": curves[name].n,
                    "positives": curves[name].positives,
                    "prevalence": curves[name].positives / curves[name].n,
                    "brier": vars(one.brier),
                    "slope": vars(one.slope),
                    "in_the_large": vars(one.intercept),
                    "ece": one.ece,
                }
                for name, one in self.cross_fitted.items()
            },
        }

    def section(self) -> Section | None:
        """Of the page."""
        rows = tuple(
            (
                Cell(label(name), f"{self._curves[name].positives:,} positive"),
                Cell(number(one.observed, 3)),
                Cell(number(one.brier.value, 4), interval(one.brier, 4)),
                Cell(number(one.slope.value, 2), interval(one.slope, 2)),
                Cell(number(one.intercept.value, 2), interval(one.intercept, 2)),
                Cell(number(one.ece, 3)),
            )
            for name, one in self.cross_fitted.items()
        )
        said = (
            f"Curves ({self.calibration.method}) were fitted on all {self.calibration.n_studies:,} "
            f"studies and are in calibration.json. "
            f"The table is cross-fitted: {FOLDS} folds of subjects, each study's probability from "
            f"curves of the other folds. "
            "The probabilities hold for cohorts with this share of positives."
        )
        head = ("Name", "Share of positives", "Brier score", "Slope", "In the large", "Calibration error")
        return section(
            "probabilities", "Calibrated probabilities", [Prose(said), Table("Cross-fitted", head, rows)]
        )


def calibrate(
    cohort: Cohort, overall: list[Measured], method: Method, scores: Path, seed: int
) -> CalibratedCohort:
    """Fit a curve for each name that has metrics.

    Args:
        cohort: N studies.
        overall: metrics of all studies.
        method: of the curves.
        scores: table of scores, whose description next to it names the model.
        seed: of the folds.
    """
    curves: dict[str, Curve] = {}
    checked: dict[str, Calibrated] = {}
    for i, (name, one) in enumerate(zip(cohort.names, overall, strict=True)):
        if one.reason:
            continue
        score = cohort.scores.score[:, i]
        known = (cohort.label[:, i] >= 0) & np.isfinite(score)
        x, positive, subject = score[known], cohort.label[known, i] == 1, cohort.subject[known]
        if cohort.scores.kind == "probability":
            x = logit(x)
        curves[name] = fit_curve(method, x, positive)
        fold = deal(subject, positive.astype(np.int64), FOLDS, seed)
        out = np.empty(len(x))
        for code in range(FOLDS):
            test = fold == code
            out[test] = fit_curve(method, x[~test], positive[~test]).apply(x[test])
        checked[name] = calibrated(positive, out, subject, "probability")
    made = Calibration(
        method,
        tuple(curves),
        tuple(curves.values()),
        len(cohort.subject),
        len(np.unique(cohort.subject)),
        scores=cohort.scores.kind,
        model_sha256=described(scores).get("model_sha256", ""),
        caveat=cohort.scores.caveat,
    )
    return CalibratedCohort(made, checked)
