"""The brain-age gap before and after bias correction. Raw metrics stay those of the raw predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prima_features.evaluation import weighted
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import Scored


@dataclass(frozen=True)
class GapReport:
    """Predicted minus true age."""

    method: str
    """Of the correction, fitted on out-of-fold predictions of training subjects."""
    raw_age_correlation: Estimate
    corrected_age_correlation: Estimate
    raw_mean: Estimate
    corrected_mean: Estimate
    """Years."""
    age_range: tuple[float, float]
    """Years, of the rows that count."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        estimates = {name: one.to_dict() for name, one in vars(self).items() if isinstance(one, Estimate)}
        return estimates | {"method": self.method, "age_range": list(self.age_range)}


def gap_report(scored: Scored, method: str) -> GapReport:
    """The gap's mean and its correlation with age, over N rows of a brain-age probe."""
    age = scored.y

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        raw = [one.value - age for one in scored.repeats]
        corrected = [one.corrected - age for one in scored.repeats]
        return {
            "raw_age_correlation": np.mean([weighted.pearson(gap, age, weights) for gap in raw], axis=0),
            "corrected_age_correlation": np.mean(
                [weighted.pearson(gap, age, weights) for gap in corrected], axis=0
            ),
            "raw_mean": np.mean([weighted.mean(gap, weights) for gap in raw], axis=0),
            "corrected_mean": np.mean([weighted.mean(gap, weights) for gap in corrected], axis=0),
        }

    found = scored.bootstrap.estimates(statistic, ("raw_age_correlation", "corrected_age_correlation"))
    return GapReport(method, **found, age_range=(float(age.min()), float(age.max())))
