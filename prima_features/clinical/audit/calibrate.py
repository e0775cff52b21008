"""`--calibrate`: curves from scores to probabilities, and how good they are on studies they were not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.clinical.audit.calibration import Calibrated, calibrated
from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.audit.measure import Measured
from prima_features.clinical.audit.words import label
from prima_features.clinical.calibration import Calibration, Curve, Method, fit_curve
from prima_features.evaluation.folds import deal
from prima_features.evaluation.weighted import logit
from prima_features.files.safe import SETTINGS_BYTES, load_json, read_text
from prima_features.page.blocks import Cell, Prose, Section, Table, section
from prima_features.page.digits import interval, number

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
        model_sha256=_model_of(scores),
        caveat=cohort.scores.caveat,
    )
    return CalibratedCohort(made, checked)


def _model_of(scores: Path) -> str:
    """SHA-256 of the model, from the description next to a table of `prima diagnose`; empty if there is none."""
    try:
        document = load_json(read_text(scores.with_suffix(".json"), SETTINGS_BYTES))
    except (OSError, ValueError):
        return ""
    return str(document.get("model_sha256", "")) if isinstance(document, dict) else ""
