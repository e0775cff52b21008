"""How training and test were kept apart."""

from __future__ import annotations

import numpy as np

from prima_features.page.digits import count
from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.references import Citations
from prima_features.probes.report.methods.subjects import trained_on


def design(content: ReportContent, cite: Citations) -> str:
    """The scheme with its numbers, the grouping, and the inner loop."""
    splits = content.evaluation.splits
    if splits is None:
        return _external(content)
    outer = {"nested": _nested, "leave-site-out": _leave_site_out, "split": _split}[splits.scheme.kind]
    return f"{outer(content, splits, cite)} {_inner(content, splits, cite)} {_final(content, splits)}".strip()


def _final(content: ReportContent, splits: Splits) -> str:
    """The probe that is kept; empty where none was fitted."""
    training = content.training
    if training is None:
        return ""
    tested = "those fitted in the folds" if len(splits.folds) > 1 else "the one fitted on the training set"
    return (
        f"The final probe was fitted in the same way, with {content.evaluation.recipe.inner_folds} inner folds, on all "
        f"{count(training.n_studies, 'study', 'studies')} of {count(training.n_subjects, 'subject')}; the metrics are "
        f"not of that probe but of {tested}."
    )


def _whole(content: ReportContent) -> str:
    """What was kept on one side of every split."""
    return "group (such as a family)" if content.is_grouped else "subject"


def _nested(content: ReportContent, splits: Splits, cite: Citations) -> str:
    n_folds = sum(fold.repeat == 0 for fold in splits.folds)
    repeats = ""
    if splits.n_repeats > 1:
        repeats = f", repeated {splits.n_repeats} times with other divisions"
    return (
        f"Performance was estimated by nested cross-validation {cite('nested')} with {n_folds} outer folds"
        f"{repeats} (seed {splits.scheme.seed}). Folds were stratified by {_strata(content)}, and all studies of one "
        f"{_whole(content)} stayed on one side of every split."
    )


def _leave_site_out(content: ReportContent, splits: Splits, cite: Citations) -> str:
    return (
        f"Each of {len(splits.folds)} sites was tested by a probe fitted on the other sites (leave-site-out, seed "
        f"{splits.scheme.seed}); no {_whole(content)} with a study at the left-out site trained the probe that tested "
        "it, and studies without a known site were neither trained on nor tested."
    )


def _split(content: ReportContent, splits: Splits, cite: Citations) -> str:
    n_train = len(splits.folds[0].train)
    return (
        f"The division into training and test set was given beforehand: {count(n_train, 'study', 'studies')} "
        f"trained and {count(content.evaluation.n_studies, 'study', 'studies')} tested (seed {splits.scheme.seed}); "
        f"no {_whole(content)} was in both."
    )


def _inner(content: ReportContent, splits: Splits, cite: Citations) -> str:
    n = max(len(np.unique(fold.inner)) for fold in splits.folds)
    return (
        f"Within each training set, hyperparameters were chosen by {n}-fold cross-validation, grouped in the same way "
        f"and stratified by {_strata(content)}."
    )


def _external(content: ReportContent) -> str:
    parts = [
        "A probe that had been fitted before was applied, unchanged, to another cohort; nothing was fitted there."
    ]
    if content.training is not None:
        parts.append(trained_on(content.training))
    n = content.evaluation.recipe.inner_folds
    parts.append(
        f"Its hyperparameters had been chosen by {n}-fold cross-validation within the training set, grouped by subject "
        f"or family and stratified by {_strata(content)}."
    )
    return " ".join(parts)


def _strata(content: ReportContent) -> str:
    task = content.evaluation.task
    return "class" if task.is_classification else "age in bins" if task.is_age else "the target in bins"
