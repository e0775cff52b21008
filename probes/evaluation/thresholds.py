"""Ordered classes by threshold: discrimination, calibration, and a check of proportional odds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from prima_features.evaluation import weighted
from prima_features.evaluation.gaps import homogeneity
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import Scored

MIN_SIDE = 20
"""Studies on each side that a threshold needs to take part in the test of proportional odds."""


@dataclass(frozen=True)
class Threshold:
    """Classes above a threshold against those up to it."""

    n_above: int
    """Studies."""
    auroc: Estimate
    """Of the predicted probability of a class above the threshold."""
    slope: Estimate
    """Of a logistic regression on the log odds of that probability: 1 is ideal, and all slopes are equal if the odds
    are proportional."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"n_above": self.n_above, "auroc": self.auroc.to_dict(), "slope": self.slope.to_dict()}


@dataclass(frozen=True)
class Thresholds:
    """All thresholds of K ordered classes."""

    thresholds: dict[str, Threshold]
    """K - 1, each by the lowest class above it."""
    p_value: float
    """Of equal slopes (proportional odds); NaN with fewer than two thresholds to compare."""
    n_tested: int
    """Thresholds that the test compares: those with `MIN_SIDE` studies on each side."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        p_value = self.p_value if np.isfinite(self.p_value) else None
        return {
            "thresholds": {name: one.to_dict() for name, one in self.thresholds.items()},
            "proportional_odds": {"p_value": p_value, "n_thresholds": self.n_tested},
        }


def thresholds(result: Scored) -> Thresholds:
    """Assess each threshold of N predicted rows.

    The test of equal slopes is Wald's with the covariance of a bootstrap over subjects; the bootstrap's weights have
    variance 1, since the predictions of fixed models are tested.
    """
    y, classes = result.y, result.task.classes
    places = range(len(classes) - 1)

    def each(measure: Callable[..., np.ndarray], weights: np.ndarray, k: int) -> np.ndarray:
        above = [one.probability[:, k + 1 :].sum(axis=1) for one in result.repeats]
        return np.asarray(np.mean([measure(y > k, one, weights) for one in above], axis=0))

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        areas = {f"auroc {k}": each(weighted.auroc, weights, k) for k in places}
        return areas | {f"slope {k}": each(weighted.calibration_slope, weights, k) for k in places}

    found = result.bootstrap.estimates(statistic)
    tested = [k for k in places if min((y > k).sum(), (y <= k).sum()) >= MIN_SIDE]
    return Thresholds(
        {
            classes[k + 1]: Threshold(int((y > k).sum()), found[f"auroc {k}"], found[f"slope {k}"])
            for k in places
        },
        _equal_slopes(result, [partial(each, weighted.calibration_slope, k=k) for k in tested]),
        len(tested),
    )


def _equal_slopes(result: Scored, slopes: list[Callable[[np.ndarray], np.ndarray]]) -> float:
    """P value of slopes that are all the same; NaN if it cannot be tested."""
    bootstrap = replace(result.bootstrap, variance=1.0)
    if len(slopes) < 2 or not bootstrap.n_resamples:
        return float("nan")
    values = np.concatenate([one(np.ones((1, len(result.y)))) for one in slopes])
    blocks = [np.stack([one(weights) for one in slopes]) for weights in bootstrap.weights()]
    resampled = np.concatenate(blocks, axis=1)
    resampled = resampled[:, np.isfinite(resampled).all(axis=0)]
    if not np.isfinite(values).all() or resampled.shape[1] < 0.8 * bootstrap.n_resamples:
        return float("nan")
    return homogeneity(values, resampled)
