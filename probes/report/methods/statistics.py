"""Metrics, intervals, tests, and what stands beside the result."""

from __future__ import annotations

import numpy as np

from prima_features.probes.evaluation.groups import MIN_GROUPS
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.references import Citations
from prima_features.probes.report.projection import MAX_ROWS
from prima_features.probes.report.words import VARIABLES
from prima_features.wording import listed

_READ = {"age": "age, age squared", "icv": "intracranial volume", "site": "the site"}
"""What the baselines of `evaluation.baselines` see."""


def statistics(content: ReportContent, cite: Citations) -> str:
    """Sentences for what this run has, in the order of the page."""
    parts = [_metrics, _intervals, _baselines, _permutation, _groups, _sites, _curve, _map]
    return " ".join(text for part in parts if (text := part(content, cite)))


def _metrics(content: ReportContent, cite: Citations) -> str:
    found = content.evaluation
    if not found.task.is_classification:
        names = "mean absolute error, root mean squared error, the coefficient of determination R\u00b2 and Pearson's r"
        text = f"Metrics were {names}"
    else:
        text = (
            "Metrics were the areas under the ROC curve (AUROC) and under the precision-recall curve without "
            f"interpolation (AUPRC, beside the prevalence), balanced accuracy, the Brier score and the calibration "
            f"slope {cite('slope')}"
        )
        if found.task.kind == "multiclass":
            text += "; all but balanced accuracy are of each class against the rest, averaged without weights"
    if found.splits is not None and found.splits.n_repeats > 1:
        text += "; each is the mean over repeats"
    return text + "."


def _intervals(content: ReportContent, cite: Citations) -> str:
    whole = "group (such as a family)" if content.is_grouped else "subject"
    within = ", within classes" if content.evaluation.task.is_classification else ""
    number = f"{content.n_bootstrap:,} " if content.n_bootstrap else ""
    return (
        f"Intervals (95%) are from {number}resamples of the Bayesian bootstrap {cite('bootstrap')}: "
        f"in each, every {whole} has a random weight for all its studies{within}. Models were not refitted for "
        f"them{_widened(content, cite)}. Percentiles were widened for small samples "
        f"{cite('expanded')}; {_ends(content, cite)}."
    )


def _ends(content: ReportContent, cite: Citations) -> str:
    if not content.evaluation.task.is_classification:
        return "intervals of correlations are on Fisher's scale"
    return (
        f"intervals of AUROC include Newcombe's score interval {cite('newcombe')}, and those of balanced accuracy, "
        f"sensitivity and specificity the exact binomial ones {cite('exact')}, also at perfect separation"
    )


def _widened(content: ReportContent, cite: Citations) -> str:
    splits, scores = content.evaluation.splits, content.evaluation.fold_scores
    if splits is None or scores is None or len(splits.folds) == 1:
        return ""
    factor = 1 + scores.n_test.sum() / splits.n_repeats / scores.n_train.mean()
    return (
        f"; since subjects tested in one fold train the models of the others, the variance of the weights was raised "
        f"by the factor 1 + n_tested / n_train = {factor:.2f} {cite('variance')}"
    )


def _baselines(content: ReportContent, cite: Citations) -> str:
    found = content.evaluation
    if not found.baselines:
        return ""
    dummy = "the frequencies of the classes in training" if found.task.classes else "the mean training target"
    if found.splits is not None and len(found.splits.folds) > 1:
        dummy += " (averaged over folds)"
    others = [name for name in found.baselines if name != "dummy"]
    said = [dummy] if "dummy" in found.baselines else []
    if others:
        kind = "logistic" if found.task.classes else "ridge"
        names = listed((f"on {_reads(name)}" for name in others), "or")
        said.append(f"{kind} regression {names}, fitted in the same folds")
    return f"Baselines were {listed(said)}; differences from them are on the same resamples."


def _reads(name: str) -> str:
    parts = [_READ.get(part, part) for part in name.split("_")]
    return listed(part for one in parts for part in one.split(", "))


def _permutation(content: ReportContent, cite: Citations) -> str:
    test = content.evaluation.permutation
    if test is None:
        return ""
    return (
        f"For a permutation test, labels were exchanged {test.n_permutations:,} times between subjects or groups of "
        f"one size, as whole blocks {cite('blocks')}, and the whole nested procedure was run each time; p = (1 + "
        f"permutations that did as well) / (1 + permutations) {cite('p-value')}."
    )


def _groups(content: ReportContent, cite: Citations) -> str:
    groups = content.evaluation.groups
    if not groups:
        return ""
    names = listed(VARIABLES[name].partition(",")[0].lower() for name in groups)
    each = " of each class" if content.evaluation.task.classes else ""
    return (
        f"Metrics by {names} are given for levels with {MIN_GROUPS} subjects{each} or more. Intervals of the largest "
        "difference between two levels are Bonferroni-corrected for the number of pairs."
    )


def _sites(content: ReportContent, cite: Citations) -> str:
    found = content.evaluation
    said = []
    if np.isfinite(found.label_by_site.association):
        said.append(
            f"The association of class and site is Cram\u00e9r's V with Bergsma's bias correction {cite('cramer')}."
            if found.task.classes
            else "The association of target and site is epsilon squared, the share of the target's variance between "
            f"sites {cite('epsilon')}."
        )
    if found.site_decodability is not None:
        said.append(
            "Site decodability was measured by logistic regression in 5-fold cross-validation, grouped in the same "
            f"way, among {len(found.site_decodability.sites)} sites with {MIN_GROUPS} subjects or more"
            + (", before and after harmonisation." if found.site_decodability.harmonized else ".")
        )
    return " ".join(said)


def _curve(content: ReportContent, cite: Citations) -> str:
    if not content.curve:
        return ""
    whole = "groups" if content.is_grouped else "subjects"
    return (
        f"For the learning curve the training sets were thinned to parts of their {whole}, {len(content.curve)} sizes "
        "in all, and tested on the same studies."
    )


def _map(content: ReportContent, cite: Citations) -> str:
    if content.map is None:
        return ""
    thinned = f" {MAX_ROWS:,} randomly drawn" if len(content.map.points) == MAX_ROWS else " all"
    return f"The feature map shows the first two principal components of the standardised features of{thinned} studies."
