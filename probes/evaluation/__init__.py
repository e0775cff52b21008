"""Evaluating probes: splits, metrics with intervals, baselines, sites, groups, tests."""

from prima_features.evaluation.compare import Comparison, corrected_t_test
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.evaluate import EvaluationPlan, evaluate, evaluate_fitted
from prima_features.probes.evaluation.record import Evaluation
from prima_features.probes.evaluation.refits import LearningPoint, learning_curve
from prima_features.probes.evaluation.splits import Fold, Scheme, Splits, draw

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "EvaluationPlan",
    "Fold",
    "LearningPoint",
    "Scheme",
    "Splits",
    "corrected_t_test",
    "draw",
    "evaluate",
    "evaluate_fitted",
    "learning_curve",
]
