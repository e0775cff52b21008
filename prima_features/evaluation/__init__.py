"""Weighted metrics, their intervals, metrics by group, and folds of grouped rows: arrays in, numbers out."""

from prima_features.evaluation.compare import Comparison, corrected_t_test
from prima_features.evaluation.groups import GroupMetrics
from prima_features.evaluation.intervals import Bootstrap, Estimate

__all__ = ["Bootstrap", "Comparison", "Estimate", "GroupMetrics", "corrected_t_test"]
