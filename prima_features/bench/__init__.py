"""Comparing encoders: the same studies, labels, folds and probes for each, and the reliability of repeat scans.

    from prima_features.bench import BenchOptions, TaskRequest, bench

Reads embeddings files and label tables; nothing here reads images.
"""

from prima_features.bench.options import BenchOptions, TaskRequest
from prima_features.bench.run import Bench, BenchPlan, bench, plan

__all__ = ["Bench", "BenchOptions", "BenchPlan", "TaskRequest", "bench", "plan"]
