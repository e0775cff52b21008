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
