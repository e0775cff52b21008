"""Whom and what the numbers are of: features, subjects, target."""

from __future__ import annotations

from prima_features.models.caveats import bundled_as
from prima_features.page.digits import count, decimals_for, number
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
