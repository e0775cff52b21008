"""Whole runs from files to files: what the command's `prima probe` calls, and a script can.

`Sources`, `read`     an embeddings file with labels, as features and a table
`fit`                 evaluate a recipe, fit it on everybody, and write the probe's directory with its report
`rehearse`            run all checks of `fit`, and write nothing
`evaluate`            evaluate a saved probe on another cohort
`predict`             predict studies with a saved probe
`compare`             test whether two probes differ that were evaluated on the same folds
"""

from prima_features.probes.runs.compare import compare
from prima_features.probes.runs.evaluate import evaluate
from prima_features.probes.runs.fit import FitOptions, FitPlan, FitResult, fit, rehearse
from prima_features.probes.runs.predict import predict
from prima_features.probes.runs.sources import Data, Sources, read

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
