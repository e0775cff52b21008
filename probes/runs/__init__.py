"""Whole runs from files to files: the functions behind `prima probe`, for scripts too.

`Sources`, `read`     an embeddings file with labels, as features and a table
`fit`                 evaluate a recipe, fit it on all studies, and write the probe's directory with its HTML report
`rehearse`            run all checks of `fit`, and write nothing
`evaluate`            evaluate a saved probe on another cohort
`predict`             predict studies with a saved probe
`compare`             test whether two probes that were evaluated on the same folds differ
"""

from prima_features.probes.runs.fit import Data, FitOptions, FitPlan, FitResult, Sources, fit, read, rehearse
from prima_features.probes.runs.saved import compare, evaluate, predict

__all__ = [
    "Data",
    "FitOptions",
    "FitPlan",
    "FitResult",
    "Sources",
    "compare",
    "evaluate",
    "fit",
    "predict",
    "read",
    "rehearse",
]
