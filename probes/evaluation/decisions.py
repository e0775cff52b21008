"""Results of each class, and decisions: calibration in the large, decision curves and the confusion table.

All have intervals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prima_features.evaluation import bounds, weighted
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import Scored

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of one class by the probability from which on a study is treated; of treating no one it is 0."""

    probe: tuple[Estimate, ...]
    """One per value of `THRESHOLDS`."""
    everyone: tuple[float, ...]
    """Of treating everyone."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "thresholds": list(THRESHOLDS),
            "probe": [one.to_dict() for one in self.probe],
            "everyone": list(self.everyone),
        }


@dataclass(frozen=True)
class Decisions:
    """Of a task of K classes."""

    in_the_large: dict[str, Estimate]
    """By class (of two the positive one): log odds of the observed share beyond those predicted; 0 is ideal."""
    curves: dict[str, DecisionCurve]
    """By class, likewise."""
    confusion: dict[str, dict[str, Estimate]]
    """By true class and decided class: share of the true class. Of repeats, the mean."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "calibration_in_the_large": {name: one.to_dict() for name, one in self.in_the_large.items()},
            "decision_curves": {name: one.to_dict() for name, one in self.curves.items()},
            "confusion": {
                name: {other: one.to_dict() for other, one in row.items()}
                for name, row in self.confusion.items()
            },
        }


def per_class(result: Scored) -> dict[str, dict[str, Estimate]]:
    """Each class against the rest, for more than two classes."""
    if len(result.task.classes) == 2:
        return {}
    found = {}
    for code, name in enumerate(result.task.classes):

        def statistic(weights: np.ndarray, code: int = code) -> dict[str, np.ndarray]:
            each = [
                weighted.one_against_rest(result.y == code, one.probability[:, code], weights)
                for one in result.repeats
            ]
            return {key: np.mean([one[key] for one in each], axis=0) for key in each[0]}

        scores = [one.probability[:, code] for one in result.repeats]
        found[name] = bounds.one_against_rest(
            result.bootstrap.estimates(statistic), result.y == code, scores, result.bootstrap
        )
    return found


def decisions(result: Scored) -> Decisions:
    """Of N predicted rows of a task of classes.

    Resamples do not keep the share of each class, unlike those of the metrics: observed shares are what counts here.
    """
    y, classes = result.y, result.task.classes
    shown = [1] if len(classes) == 2 else list(range(len(classes)))
    thresholds = np.array(THRESHOLDS)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        made = {}
        for k in shown:
            each = [one.probability[:, k] for one in result.repeats]
            large = [weighted.calibration_in_the_large(y == k, one, weights) for one in each]
            made[f"large {k}"] = np.mean(large, axis=0)
            curve = np.mean([weighted.net_benefit(y == k, one, thresholds, weights) for one in each], axis=0)
            made |= {f"net {k} {i}": curve[:, i] for i in range(len(thresholds))}
        for k in np.unique(y):
            for other in range(len(classes)):
                shares = [weighted.mean_where(one.label == other, y == k, weights) for one in result.repeats]
                made[f"share {k} {other}"] = np.mean(shares, axis=0)
        return made

    bootstrap = replace(result.bootstrap, strata=np.zeros(len(y), dtype=np.int64))
    found = bootstrap.estimates(statistic)
    # Of two classes the shares are the sensitivity and the specificity.
    extend = bounds.rate if len(classes) == 2 else bounds.share
    curves = {}
    for k in shown:
        prevalence = float((y == k).mean())
        everyone = prevalence - (1 - prevalence) * thresholds / (1 - thresholds)
        probe = tuple(found[f"net {k} {i}"] for i in range(len(thresholds)))
        curves[classes[k]] = DecisionCurve(probe, tuple(everyone.tolist()))
    return Decisions(
        {classes[k]: found[f"large {k}"] for k in shown},
        curves,
        {
            classes[k]: {
                name: extend(found[f"share {k} {other}"], y == k, bootstrap)
                for other, name in enumerate(classes)
            }
            for k in np.unique(y)
        },
    )
