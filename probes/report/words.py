"""Names of what a report shows, and sentences made of them."""

from __future__ import annotations

from prima_features.page.digits import decimals_for
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.tasks import Task
from prima_features.wording import capital, listed

METRICS = {
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "r2": "R\u00b2",
    "pearson_r": "Pearson's r",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "prevalence": "Prevalence",
    "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score",
    "calibration_slope": "Calibration slope",
    "mean_error": "Mean error",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
DIRECTIONS = {
    "mae": "lower is better",
    "rmse": "lower is better",
    "r2": "1 is perfect",
    "pearson_r": "1 is perfect",
    "auroc": "0.5 is chance",
    "auprc": "prevalence is chance",
    "prevalence": "share of positives",
    "brier": "lower is better",
    "calibration_slope": "1 is ideal",
}
IN_UNITS = ("mae", "rmse", "mean_error")
VARIABLES = {
    "sex": "Sex",
    "age_band": "Age, years",
    "site": "Site",
    "scanner": "Scanner",
    "field_strength": "Field strength",
}
_BASELINE_PARTS = {"age": "age", "sex": "sex", "icv": "intracranial volume", "site": "site"}
_ABBREVIATIONS = {"ad", "cn", "mci", "hc", "nc", "asd", "td"}
_SEXES = {"F": "female", "M": "male"}


def metric(name: str, unit: str = "") -> str:
    """`Mean absolute error, years`."""
    return METRICS[name] + (f", {unit}" if unit and name in IN_UNITS else "")


def direction(name: str, task: Task) -> str:
    """What values are good; empty where that goes without saying."""
    if name == "balanced_accuracy":
        return f"{1 / len(task.classes):.2g} is chance"
    return DIRECTIONS.get(name, "")


def in_sentence(name: str) -> str:
    """A metric's name inside a sentence: `mean absolute error`, but `AUROC`."""
    text = METRICS[name]
    keep = text.isupper() or text.startswith(("Pearson", "Brier", "R\u00b2"))
    return text if keep else text[0].lower() + text[1:]


def target(task: Task) -> str:
    """What is predicted, inside a sentence: `age`, `the column MMSE`, or the task's name."""
    return "age" if task.is_age else task.description if task.name == "custom" else task.name


def baseline(name: str, task: Task) -> str:
    """`Age and sex`, `Site alone`."""
    if name == "dummy":
        return "Class frequencies" if task.is_classification else "Training mean"
    parts = [_BASELINE_PARTS.get(part, part) for part in name.split("_")]
    return capital(parts[0] + " alone" if len(parts) == 1 else listed(parts))


def level(variable: str, name: str) -> str:
    """A group's name as it is shown."""
    if variable == "sex":
        return capital(_SEXES.get(name, name))
    if variable == "field_strength" and name.replace(".", "", 1).isdecimal():
        return f"{name} T"
    return name.replace("-", "\u2013") if variable == "age_band" else name


def decimals(name: str, evaluation: Evaluation) -> int:
    """Digits after the point of a metric: three digits of an error, three decimals of what has no unit."""
    return decimals_for(evaluation.metrics["mae"].value) if name in IN_UNITS else 3


def class_name(name: str) -> str:
    """A class inside a sentence: abbreviations such as `ad` and `mci` in capitals, others as they are."""
    return name.upper() if name in _ABBREVIATIONS else name
