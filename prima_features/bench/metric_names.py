"""How metrics are called on the page, in figures and in warnings."""

from __future__ import annotations

METRICS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "pearson_r": "Pearson r",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "prevalence": "Prevalence",
    "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score",
    "calibration_slope": "Calibration slope",
    "c_index": "Harrell's C",
    "kappa": "Quadratic weighted kappa",
    "deviance": "Mean Poisson deviance",
}


def in_sentence(name: str) -> str:
    """A metric inside a sentence: `mean Poisson deviance`, but `AUROC` and `Harrell's C`."""
    metric = METRICS[name]
    return metric[0].lower() + metric[1:] if metric.startswith(("Mean ", "Quadratic ")) else metric


_DEFINITIONS = {
    "mae": "mean absolute error (MAE)",
    "auroc": "area under the ROC curve (AUROC)",
    "c_index": "Harrell's C (Harrell et al. 1982)",
    "kappa": "quadratic weighted kappa (Cohen 1968)",
    "deviance": "mean Poisson deviance",
}
_AVERAGED = {
    "multiclass": ", one class against the rest, averaged over classes",
    "labels": ", averaged over labels",
}
"""Of the AUROC, by kind of task."""


def definition(name: str, kind: str, unit: str = "") -> str:
    """A primary metric in a methods text.

    Args:
        name: of the metric.
        kind: of the task (`tasks.Task.kind`).
        unit: of the target.
    """
    if name == "mae" and unit:
        return _DEFINITIONS[name].replace(")", f" in {unit})")
    return _DEFINITIONS[name] + (_AVERAGED.get(kind, "") if name == "auroc" else "")
