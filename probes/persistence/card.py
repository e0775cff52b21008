"""The card of a probe, as Markdown with the Hub's metadata in front: the README.md of its directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prima_features.probes.kinds import kind_of
from prima_features.probes.persistence.document import Document
from prima_features.wording import listed

if TYPE_CHECKING:
    from prima_features.probes.evaluation import Evaluation

_FRONT = """---
library_name: prima-features
pipeline_tag: {pipeline}
tags:
  - mri
  - brain
  - neuroimaging
  - probe
---
"""
_FIRST = (
    "**For research use only. Not a medical device: nothing it predicts may guide the care of a patient.**"
)


def card(document: Document, evaluation: Evaluation | None = None) -> str:
    """The text of the card: what the probe predicts, of whom, how well, and what speaks against using it.

    Args:
        document: the probe.
        evaluation: its metrics, if it was evaluated.
    """
    task = document.task
    pipeline = kind_of(task).words.pipeline
    caveat = document.training.source.caveat
    parts = [
        f"{_FRONT.format(pipeline=pipeline)}{_FIRST}",
        *([f"**{caveat}**"] if caveat else []),
        f"# Probe: {task.name}",
        "\n".join(_what(document)),
        "## Fitted on",
        "\n".join(_whom(document)),
        "## Performance",
        "\n".join(_numbers(evaluation)),
        "## Limits",
        "\n".join(_limits(document, evaluation)),
        "## Usage",
        _usage(document),
    ]
    return "\n\n".join(parts) + "\n"


def _what(document: Document) -> Iterator[str]:
    task, recipe, source = document.task, document.recipe, document.training.source
    yield f"Predicts from embeddings of brain MRI studies: {task.description or task.name}."
    yield ""
    if task.classes:
        positive = f"; the probability is that of {task.positive}" if task.positive else ""
        order = " in order, from low to high" if task.kind == "ordinal" else ""
        yield f"- Classes{order}: {', '.join(task.classes)}{positive}"
    elif task.labels:
        yield f"- The probability of each label, which can be present together: {', '.join(task.labels)}"
    elif task.kind == "survival":
        horizons = (
            f", and the probability of surviving {listed(f'{one:g}' for one in task.horizons)} {task.unit}"
        )
        yield f"- A log risk of the event{horizons if task.horizons else ''}"
    elif task.kind == "count":
        yield "- A mean count"
    else:
        yield f"- A number{f', in {task.unit}' if task.unit else ''}"
    yield f"- Reads {_read(document)}"
    revision = f", revision {source.model_revision}" if source.model_revision else ""
    checksum = f", SHA-256 `{source.model_sha256}`" if source.model_sha256 else ""
    yield f"- Embedding model: {source.model or 'not named'}{revision}{checksum}"
    chosen = ", ".join(f"{name} = {value:.4g}" for name, value in document.chosen.items())
    yield f"- Estimator: {recipe.estimator_name(task)}, with {chosen} chosen in cross-validation"
    if recipe.harmonize != "none":
        yield f"- Sites harmonised by {recipe.harmonize}; sites not in training: {recipe.unseen_sites}"
    if recipe.confounds:
        yield f"- Confounds removed from the features by linear regression: {', '.join(recipe.confounds)}"
    if recipe.calibration != "none":
        yield f"- Probabilities calibrated: {recipe.calibration}"
    if (correction := document.correction).method != "none":
        yield (
            f"- Gap corrected by {correction.method}, slope {correction.slope:.4f}, intercept "
            f"{correction.intercept:.4f} (for the gap only, never for accuracy)"
        )
    if task.positive:
        yield f"- Threshold: {task.positive} if its probability is {document.decision.threshold:.4f} or more"


def _read(document: Document) -> str:
    source, width = document.training.source, f"{document.training.n_features} numbers per"
    pattern = f" whose name matches `{source.series}`" if source.series else ""
    if source.level == "study":
        return f"the study's vector: {width} study"
    one, of = ("series", "series") if source.level == "series" else ("token", "tokens of its series")
    if document.recipe.reads_bags:
        return f"the vectors of its {of}{pattern}, pooled with attention: {width} {one}"
    return f"the mean of the vectors of its {of}{pattern}: {width} study"


def _whom(document: Document) -> Iterator[str]:
    training = document.training
    cohort = f" of {training.cohort}" if training.cohort else ""
    yield f"{training.n_studies} studies of {training.n_subjects} subjects{cohort}."
    yield ""
    if training.age_range:
        yield f"- Ages: {training.age_range[0]:.0f} to {training.age_range[1]:.0f} years"
    if training.sexes:
        yield f"- Sexes: {', '.join(f'{name} {n}' for name, n in training.sexes.items())}"
    if training.sites:
        yield f"- Sites: {', '.join(f'{name} {n}' for name, n in training.sites.items())}"
    if document.task.classes:
        shares = zip(document.task.classes, training.typical, strict=True)
        yield f"- Classes: {', '.join(f'{name} {share:.0%}' for name, share in shares)}"
    if document.task.labels:
        shares = zip(document.task.labels, training.typical, strict=True)
        yield f"- Labels: {', '.join(f'{name} {share:.0%}' for name, share in shares)}"


def _numbers(evaluation: Evaluation | None) -> Iterator[str]:
    if evaluation is None:
        yield "Not evaluated: it must not be used before it is."
        return
    scheme = evaluation.splits.scheme.kind if evaluation.splits else "another cohort"
    yield (
        f"Evaluation: {scheme}; {evaluation.n_studies} studies of {evaluation.n_subjects} subjects, "
        "with 95% bootstrap intervals over subjects."
    )
    yield ""
    columns = {"this probe": evaluation.metrics, **evaluation.baselines}
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for name in evaluation.task.metrics:
        cells = (found[name] for found in columns.values())
        yield f"| {name} | {' | '.join(map(str, cells))} |"


def _limits(document: Document, evaluation: Evaluation | None) -> Iterator[str]:
    yield "- It was fitted on the scanners, populations and diseases of its training set and on no others."
    yield "- `prima probe predict` flags studies that are unlike the training set; do not use their predictions."
    if document.training.age_range:
        yield "- Outside the ages above its numbers are extrapolations."
    if document.recipe.estimator == "knn":
        yield "- A nearest-neighbour probe contains its training studies' features: share it as you may share those."
    for warning in evaluation.warnings if evaluation else ():
        if warning == document.training.source.caveat:  # stated at the top
            continue
        yield f"- {warning[0].upper()}{warning[1:]}."


def _usage(document: Document) -> str:
    model = document.training.source.model or "MODEL"
    return f"```\nprima embed SCANS out.h5 --model {model}\nprima probe predict PROBE out.h5 predictions.tsv\n```"
