"""Evaluating probes: splits, metrics with intervals, baselines, sites, groups, tests."""

import warnings
from typing import Any

from prima_features.evaluation.compare import Comparison, corrected_t_test
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.evaluate import EvaluationPlan, evaluate, evaluate_fitted
from prima_features.probes.evaluation.record import Evaluation
from prima_features.probes.evaluation.refits import LearningCurve, LearningPoint, learning_curve
from prima_features.probes.evaluation.splits import Fold, Scheme, Splits, draw

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "EvaluationPlan",
    "Fold",
    "LearningCurve",
    "LearningPoint",
    "Scheme",
    "Splits",
    "corrected_t_test",
    "draw",
    "evaluate",
    "evaluate_fitted",
    "learning_curve",
]


def __getattr__(name: str) -> Any:
    if name == "Plan":  # its name in version 0.1
        warnings.warn("Plan was renamed: import EvaluationPlan instead", DeprecationWarning, stacklevel=2)
        return EvaluationPlan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
