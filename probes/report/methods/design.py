"""Sentences on features, subjects, targets and the design of the evaluation."""

from __future__ import annotations

import numpy as np

from prima_features.models.caveats import bundled_as
from prima_features.page.digits import count, decimals_for, number
from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.feature_matrix import FeatureSource
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.references import Citations
from prima_features.probes.report.words import target as named
from prima_features.probes.training import TrainingSet
from prima_features.wording import listed


def features(content: ReportContent, cite: Citations) -> str:
    """Where the features come from; empty where that is not known."""
    if content.training is None:
        return ""
    source, width = content.training.source, count(content.training.n_features, "number")
    if not source.model:
        return f"Features were {width} per study."
    identity = [f"revision {source.model_revision}"] if source.model_revision else []
    identity += [f"SHA-256 {source.model_sha256}"] if source.model_sha256 else []
    named_by = f" ({', '.join(identity)})" if identity else ""
    model = f"the model {source.model}{named_by}"
    if source.level == "study":
        features = f"Features were the study embeddings of {model}, {width} per study."
    else:
        named = f" whose name matches the pattern {source.series!r}" if source.series else ""
        features = (
            f"Features were the means over each study's series{named} of the series embeddings of {model}, {width} "
            "per study."
        )
    return f"{features} The model was not trained further. {_origin(source, cite)} {source.caveat}".rstrip()


def _origin(source: FeatureSource, cite: Citations) -> str:
    """What is known of where the model comes from, and nothing more."""
    match bundled_as(source.model, source.model_sha256):
        case "prima-synth":
            return (
                f"It is part of the prima-features package: a small network of the Prima architecture {cite('prima')}, "
                "trained on synthetic images and reports that the same package generates. Its weights are not those of "
                "the cited paper."
            )
        case "prima-untrained":
            return (
                f"It is part of the prima-features package: a small network of the Prima architecture {cite('prima')} "
                "with random weights. Its weights are not those of the cited paper."
            )
    architecture = (
        f"It has the Prima architecture {cite('prima')}. " if source.encoder in ("", "prima") else ""
    )
    return f"{architecture}Who trained its weights, and on what data, is not recorded in the embeddings file."


def subjects(content: ReportContent) -> str:
    """How many, of which classes, ages, sexes and sites."""
    found, table = content.evaluation, content.counted
    cohort = "The cohort that the probe was tested on had" if content.is_external else "Evaluated were"
    sites = table.loc[table["site"] != "", "site"].nunique()
    parts = [
        f"{cohort} {count(found.n_studies, 'study', 'studies')} of {count(found.n_subjects, 'subject')}"
        + (f" in {count(table['group'].nunique(), 'group')} (such as families)" if content.is_grouped else "")
        + (f" from {count(sites, 'site')}" if sites else "")
    ]
    if found.task.classes:
        counts = [f"{int((table['target'] == name).sum()):,} {name}" for name in found.task.classes]
        parts.append(f"studies by class were {listed(counts)}")
    ages = content.ages(table)
    if len(ages) > 1:
        parts.append(
            f"age was {ages.mean():.1f} years on average (standard deviation {ages.std():.1f}, range "
            f"{ages.min():.0f} to {ages.max():.0f}{'' if len(ages) == len(table) else f', known for {len(ages):,}'})"
        )
    sexes = {"female": int((table["sex"] == "F").sum()), "male": int((table["sex"] == "M").sum())}
    if sum(sexes.values()):
        unknown = len(table) - sum(sexes.values())
        said = [f"{n:,} were {name}" for name, n in sexes.items()] + (
            [f"{unknown:,} unknown"] if unknown else []
        )
        parts.append(f"by study, {listed(said)}")
    return "; ".join(parts) + "."


def left_out(content: ReportContent) -> str:
    """Studies that were predicted and do not count; and how the join went."""
    found = []
    n = len(content.evaluation.predictions) - len(content.counted)
    if n:
        found.append(
            f"{count(n, 'further study was', 'further studies were')} of patients or of unknown status: predicted, "
            "but neither in training nor in the metrics."
        )
    if content.join is not None:
        found.append(
            f"{content.join.n_matched:,} of {count(content.join.n_studies, 'embedded study', 'embedded studies')} "
            "had a label."
        )
    return " ".join(found)


def target(content: ReportContent) -> str:
    """What was predicted."""
    task = content.evaluation.task
    if task.kind == "binary":
        return f"The target was {task.positive} (positive class) against {task.classes[0]}."
    if task.kind == "multiclass":
        return f"The target had {len(task.classes)} classes: {listed(task.classes)}."
    if task.is_age:
        return "The target was age at the scan in years."
    values = content.counted["target"].astype(float)
    digits = min(decimals_for(values.abs().max()), 6)
    unit = f" {task.unit}" if task.unit else ""
    return (
        f"The target was {named(task)}: mean {number(values.mean(), digits)}{unit} (standard deviation "
        f"{number(values.std(), digits)}, range {number(values.min(), digits)} to {number(values.max(), digits)})."
    )


def trained_on(training: TrainingSet) -> str:
    """Whom a probe that met another cohort had been fitted on."""
    cohort = f" of the cohort {training.cohort}" if training.cohort else ""
    ages = ""
    if training.age_range is not None:
        low, high = training.age_range
        ages = f", aged {low:.0f} to {high:.0f} years"
    sites = f", from {count(len(training.sites), 'site')}" if training.sites else ""
    return (
        f"The probe had been fitted on {count(training.n_studies, 'study', 'studies')} of "
        f"{count(training.n_subjects, 'subject')}{cohort}{ages}{sites}."
    )


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
