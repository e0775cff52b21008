"""What the HTML report of a probe shows, with the names and sentences that its sections share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.digits import count, decimals_for, number, with_interval, with_unit
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.kinds import kind_of
from prima_features.probes.tasks import Task
from prima_features.wording import capital, listed

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation import LearningCurve
    from prima_features.probes.labels.records import JoinSummary
    from prima_features.probes.report.feature_map import FeatureMap
    from prima_features.probes.training import TrainingSet

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
    "hand_till_auc": "Hand-Till AUC",
    "auroc_micro": "Micro AUROC",
    "auprc_micro": "Micro AUPRC",
    "mean_error": "Mean error",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "in_the_large": "Calibration in the large",
    "slope": "Calibration slope",
    "c_index": "Harrell's C",
    "uno_c": "Uno's C",
    "ibs": "Integrated Brier score",
    "auc": "AUC",
    "observed_expected": "Observed over expected events",
    "kappa": "Quadratic weighted kappa",
    "ordinal_c": "Ordinal C",
    "class_error": "Mean absolute error in classes",
    "rps": "Ranked probability score",
    "mean_shift": "Mean error in classes",
    "deviance": "Mean Poisson deviance",
    "d2": "D\u00b2",
    "calibration_ratio": "Observed over predicted count",
}
"""By name; those of survival at a horizon have it at the end of their name, as in `auc_365`."""
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
    "hand_till_auc": "0.5 is chance",
    "in_the_large": "0 is ideal",
    "slope": "1 is ideal",
    "auroc_micro": "all labels together",
    "auprc_micro": "all labels together",
    "c_index": "0.5 is chance",
    "uno_c": "0.5 is chance",
    "ibs": "lower is better",
    "auc": "0.5 is chance",
    "observed_expected": "1 is ideal",
    "kappa": "0 is chance, 1 is perfect",
    "ordinal_c": "0.5 is chance",
    "class_error": "lower is better",
    "rps": "lower is better",
    "deviance": "lower is better",
    "d2": "0 is the mean, 1 is perfect",
    "calibration_ratio": "1 is ideal",
}
IN_UNITS = ("mae", "rmse", "mean_error")
VARIABLES = {
    "sex": "Sex",
    "age_band": "Age, years",
    "site": "Site",
    "scanner": "Scanner",
    "field_strength": "Field strength",
}
_BASELINE_PARTS = {
    "age": "age",
    "sex": "sex",
    "icv": "intracranial volume",
    "grade": "grade",
    "site": "site",
    "initial": "initial value",
}
_ABBREVIATIONS = {"ad", "cn", "mci", "hc", "nc", "asd", "td"}
_SEXES = {"F": "female", "M": "male"}
RESEARCH_ONLY = "For research use only: not a medical device, and not for decisions about any person."


@dataclass(frozen=True)
class PageContent:
    """Everything that the page and its texts show; absent parts are left out."""

    evaluation: Evaluation
    training: TrainingSet | None = None
    """Training set of the final probe; None if the probe was only evaluated."""
    curve: LearningCurve | None = None
    map: FeatureMap | None = None
    join: JoinSummary | None = None
    command: str = ""
    """As it was typed."""
    title: str = ""
    """Default is the task's name."""
    n_bootstrap: int | None = None
    """Bootstrap resamples of the intervals; None if unknown: the text then gives no number."""

    @property
    def counted(self) -> pd.DataFrame:
        """The rows of the predictions that count in the metrics."""
        table = self.evaluation.predictions
        return table[table["counts"] == 1].reset_index(drop=True)

    @property
    def is_external(self) -> bool:
        """Whether a fitted probe was evaluated on another cohort."""
        return self.evaluation.splits is None

    @property
    def is_grouped(self) -> bool:
        """Some groups, such as families, have several subjects."""
        table = self.evaluation.predictions
        return bool(table["group"].nunique() < table["subject"].nunique())

    def ages(self, table: pd.DataFrame) -> pd.Series:
        """Known ages in years, of rows of the predictions."""
        name = "target" if self.evaluation.task.is_age else "age"
        return table[name].astype(float).dropna()


def metric(name: str, unit: str = "") -> str:
    """`Mean absolute error, years`, `AUC at 365 days`."""
    base, horizon = _at_horizon(name)
    if horizon:
        return f"{METRICS[base]} at {horizon}{' ' + unit if unit else ''}"
    return METRICS[name] + (f", {unit}" if unit and name in IN_UNITS else "")


def _at_horizon(name: str) -> tuple[str, str]:
    """`auc_365` to `auc` and `365`; any other name as it is, and nothing."""
    base, _, horizon = name.rpartition("_")
    return (base, horizon) if base in METRICS and name not in METRICS else (name, "")


def direction(name: str, task: Task) -> str:
    """Which values are good; empty if obvious."""
    if name == "balanced_accuracy":
        return f"{1 / (len(task.classes) or 2):.2g} is chance"
    return DIRECTIONS.get(_at_horizon(name)[0], "")


def in_sentence(name: str, unit: str = "") -> str:
    """A metric's name inside a sentence: `mean absolute error`, `AUROC`, `AUC at 365 days`.

    Args:
        unit: of times.
    """
    text = metric(name, unit if _at_horizon(name)[1] else "")
    keep = METRICS[_at_horizon(name)[0]].isupper() or text.startswith(
        ("Pearson", "Brier", "R\u00b2", "D\u00b2", "Harrell", "Uno", "Hand", "Micro")
    )
    return text if keep else text[0].lower() + text[1:]


def the_metric(name: str) -> str:
    """As `in_sentence`, with an article: `the AUROC`, but `Harrell's C`."""
    text = in_sentence(name)
    return text if text.split()[0].endswith("'s") else f"the {text}"


_ABBREVIATED = {"mrs": "mRS", "cdr": "CDR", "nihss": "NIHSS points", "glioma-idh": "glioma IDH"}
"""Tasks whose names are abbreviations, as they are written."""


def target(task: Task) -> str:
    """What is predicted, inside a sentence: `age`, `annual change of MMSE`, the labels, or the task's name."""
    if task.labels:
        return listed(task.labels)
    if task.is_age:
        return "age"
    return task.description if task.name in ("custom", "change") else _ABBREVIATED.get(task.name, task.name)


def variable(task: Task) -> str:
    """What is predicted, as the name of an axis: `age`, `MMSE`."""
    return target(task).removeprefix("the column ")


def class_counts(table: pd.DataFrame, task: Task) -> list[str]:
    """`12 control`, `9 AD` of each class; `12 of class 0` if the classes are called by numbers."""
    named = any(name[0].isdecimal() for name in task.classes)
    counts = table["target"].value_counts()
    return [f"{counts.get(name, 0):,} {'of class ' if named else ''}{name}" for name in task.classes]


def baseline(name: str, task: Task) -> str:
    """`Age and sex`, `Site alone`."""
    if name == "dummy":
        return kind_of(task).words.dummy
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


def title(content: PageContent) -> str:
    """As given, else what is predicted."""
    task = content.evaluation.task
    return content.title or capital(
        target(task) if task.name in ("custom", "change", *_ABBREVIATED) else task.name.replace("-", " ")
    )


def main_result(content: PageContent) -> str:
    """The primary metric with its interval, and in whom it was measured."""
    return f"{_what(content)} {_where(content)}."


def versus_baseline(content: PageContent) -> str:
    """The best baseline and how far the probe is from it; empty without baselines."""
    found = content.evaluation
    primary = found.task.primary
    known = {name: one[primary] for name, one in found.baselines.items() if np.isfinite(one[primary].value)}
    if not known:
        return ""
    higher = found.kind.higher_is_better
    best = (max if higher else min)(known, key=lambda name: known[name].value)
    digits, unit = decimals(primary, found), found.task.unit if primary in IN_UNITS else ""
    difference = found.over_baselines[best][primary]
    has = f"{in_sentence(primary)} {with_unit(number(known[best].value, digits), unit)}"
    text = (
        f"The best baseline without the image ({baseline(best, found.task).lower()}) has {has}; probe minus baseline "
        f"is {with_interval(difference, digits, unit)}"
    )
    return text + _verdict(difference, lower_is_better=not higher)


def association(found: Evaluation) -> str:
    """The association of label and site in a sentence; empty if it is not defined."""
    value = found.label_by_site.association
    if not np.isfinite(value):
        return ""
    measure = found.kind.words.association_long
    return (
        f"The association of label and site is {value:.2f} ({measure}; 0: none, 1: the site gives the label)."
    )


def decodability(found: Evaluation) -> str:
    """How well the site can be read from the features, in a sentence; empty if it was not measured."""
    one = found.site_decodability
    if one is None:
        return ""
    balanced = one.balanced_accuracy
    text = (
        f"A classifier identified the site from the features with a balanced accuracy of {with_interval(balanced, 3)} "
        f"({len(one.sites)} sites, chance {one.chance:.3f}){_against_chance(balanced, one.chance)}."
    )
    if one.harmonized is None:
        return text
    return (
        f"{text} After harmonisation, fitted in the same folds, the balanced accuracy was "
        f"{with_interval(one.harmonized, 3)}{_against_chance(one.harmonized, one.chance)}."
    )


def _against_chance(balanced: Estimate, chance: float) -> str:
    if not np.isfinite(balanced.ci_low):
        return ""
    return ", above chance" if balanced.ci_low > chance else ", not shown to be above chance"


def _verdict(difference: Estimate, *, lower_is_better: bool) -> str:
    """The end of the sentence on probe minus baseline: nothing is concluded without an interval."""
    if not np.isfinite(difference.ci_low):
        return "."
    if difference.ci_low <= 0 <= difference.ci_high:
        return ". The interval includes 0: the probe is not shown to be better."
    better = (difference.ci_high < 0) == lower_is_better
    return f": the probe is {'better' if better else 'worse'}."


def _what(content: PageContent) -> str:
    found = content.evaluation
    task, primary = found.task, found.task.primary
    if not np.isfinite(found.metrics[primary].value):
        return f"{capital(the_metric(primary))} of {target(task)} is not defined"
    result = with_interval(
        found.metrics[primary], decimals(primary, found), task.unit if primary in IN_UNITS else ""
    )
    if task.kind == "multiclass":
        return f"{capital(listed(map(class_name, task.classes)))}: mean one-vs-rest AUROC {result}"
    if task.labels:
        return f"{capital(listed(task.labels))}: mean AUROC of {len(task.labels)} labels {result}"
    if task.kind == "binary":
        return f"{capital(class_name(task.positive))} vs {class_name(task.classes[0])}: AUROC {result}"
    return f"{capital(target(task))}: {in_sentence(primary)} {result}"


def _where(content: PageContent) -> str:
    found = content.evaluation
    subjects = count(found.n_subjects, "subject")
    if found.n_studies != found.n_subjects:
        subjects = f"{count(found.n_studies, found.noun)} of {subjects}"
    if found.gap is not None:
        low, high = found.gap.age_range
        subjects += f" aged {low:.0f} to {high:.0f} years"
    if found.task.classes:
        unit = "" if found.n_studies == found.n_subjects else "studies: "
        subjects += f" ({unit}{', '.join(class_counts(content.counted, found.task))})"
    if found.labels:
        unit = "" if found.n_studies == found.n_subjects else "studies: "
        said = ", ".join(f"{one.n_positive:,} of {one.n:,} with {name}" for name, one in found.labels.items())
        subjects += f" ({unit}{said})"
    if found.task.kind == "survival":
        n_events = int(content.counted["event"].sum())
        subjects += f" ({n_events:,} of {found.n_studies:,} studies with the event)"
    if found.splits is None:
        return f"in another cohort, {subjects}"
    if found.splits.scheme.kind == "leave-site-out":
        return f"in {subjects}, each site predicted by a probe that was fitted on the other sites"
    if len(found.splits.folds) == 1:
        return f"in {subjects} of the test set"
    return f"in {subjects}, out-of-fold predictions"
