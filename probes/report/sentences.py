"""Results in a sentence, for the page and for the text to copy."""

from __future__ import annotations

import numpy as np

from prima_features.page.digits import count, number, with_interval, with_unit
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.words import baseline, class_name, decimals, in_sentence, target
from prima_features.wording import capital, listed

RESEARCH_ONLY = "For research use only: not a medical device, and not for decisions about any person."


def title(content: ReportContent) -> str:
    """As given, else what is predicted."""
    task = content.evaluation.task
    return content.title or capital(target(task) if task.name == "custom" else task.name.replace("-", " "))


def main_result(content: ReportContent) -> str:
    """The primary metric with its interval, and in whom it was measured."""
    return f"{_what(content)} {_where(content)}."


def beside_baseline(content: ReportContent) -> str:
    """The best baseline and how far the probe is from it; empty without baselines."""
    found = content.evaluation
    primary = found.task.primary
    known = {name: one[primary] for name, one in found.baselines.items() if np.isfinite(one[primary].value)}
    if not known:
        return ""
    best = (min if primary == "mae" else max)(known, key=lambda name: known[name].value)
    digits, unit = decimals(primary, found), found.task.unit if primary == "mae" else ""
    difference = found.over_baselines[best][primary]
    has = f"{in_sentence(primary)} {with_unit(number(known[best].value, digits), unit)}"
    text = (
        f"The best baseline without the image ({baseline(best, found.task).lower()}) has {has}; probe minus baseline "
        f"is {with_interval(difference, digits, unit)}"
    )
    return text + _verdict(difference, lower_is_better=primary == "mae")


def association(found: Evaluation) -> str:
    """The association of label and site in a sentence; empty if it is not defined."""
    value = found.label_by_site.association
    if not np.isfinite(value):
        return ""
    measure = (
        "Cram\u00e9r's V with Bergsma's bias correction"
        if found.task.is_classification
        else "epsilon squared, the share of its variance between sites"
    )
    return (
        f"The association of label and site is {value:.2f} ({measure}; 0: none, 1: the site gives the label)."
    )


def decodability(found: Evaluation) -> str:
    """How well the site can be read from the features, in a sentence; empty where it was not measured."""
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


def _what(content: ReportContent) -> str:
    found = content.evaluation
    task, primary = found.task, found.task.primary
    if not np.isfinite(found.metrics[primary].value):
        return f"The {in_sentence(primary)} of {target(task)} is not defined"
    result = with_interval(
        found.metrics[primary], decimals(primary, found), task.unit if primary == "mae" else ""
    )
    if task.kind == "multiclass":
        return f"{capital(listed(map(class_name, task.classes)))}: mean one-vs-rest AUROC {result}"
    if task.kind == "binary":
        return f"{capital(class_name(task.positive))} vs {class_name(task.classes[0])}: AUROC {result}"
    return f"{capital(target(task))}: {in_sentence(primary)} {result}"


def _where(content: ReportContent) -> str:
    found = content.evaluation
    subjects = count(found.n_subjects, "subject")
    if found.n_studies != found.n_subjects:
        subjects = f"{count(found.n_studies, 'study', 'studies')} of {subjects}"
    if found.gap is not None:
        low, high = found.gap.age_range
        subjects += f" aged {low:.0f} to {high:.0f} years"
    if found.task.classes:
        counts = content.counted["target"].value_counts()
        unit = "" if found.n_studies == found.n_subjects else "studies: "
        said = ", ".join(f"{counts.get(name, 0):,} {name}" for name in found.task.classes)
        subjects += f" ({unit}{said})"
    if found.splits is None:
        return f"in another cohort, {subjects}"
    if found.splits.scheme.kind == "leave-site-out":
        return f"in {subjects}, each site predicted by a probe that was fitted on the other sites"
    if len(found.splits.folds) == 1:
        return f"in {subjects} of the test set"
    return f"in {subjects}, out-of-fold predictions"
