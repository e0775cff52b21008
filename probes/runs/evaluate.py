"""Evaluating a saved probe on another cohort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.targets import Maker, as_inputs, check_folder
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.labels import LabelRequest
from prima_features.probes.persistence.save import write_evaluation
from prima_features.probes.probe import Probe
from prima_features.probes.report import ReportContent, feature_map
from prima_features.probes.runs.sources import Sources, read
from prima_features.files.new_directory import new_directory


def evaluate(
    name: str | Path,
    embeddings: Path,
    labels: LabelRequest,
    output: Path | None = None,
    *,
    n_bootstrap: int = 1000,
    command: str = "",
    overwrite: bool = False,
) -> Evaluation:
    """Predict another cohort's studies, and compare with their labels. Nothing is fitted.

    Args:
        name: the probe's directory, or its id on the Hub.
        embeddings: file of the cohort.
        labels: its labels; task, classes and features are the probe's.
        output: directory to make, with metrics.json, predictions.tsv and report.html.
        n_bootstrap: resamples of subjects.
        command: for the records.
        overwrite: replace the directory if it holds something.

    Raises:
        UsageError: the probe, the embeddings or the labels do not fit together.
        OutputError: the directory cannot be written.
    """
    maker = Maker("prima probe evaluate", as_inputs(name, embeddings, labels.files), option="--overwrite")
    if output is not None:
        check_folder(output, maker, overwrite)
    probe = Probe.load(name)
    assert probe.fitted is not None
    source = probe.fitted.training.source
    asked = _as_trained(labels, probe)
    data = read(Sources(embeddings, asked, source.level, source.series))
    if data.task.classes != probe.task.classes:
        raise UsageError(
            f"this probe tells {_said(probe.task.classes)} apart, and the labels are {_said(data.task.classes)}"
        )
    evaluation = probe.evaluate(data.features, data.frame, data.joined.cohort, n_bootstrap=n_bootstrap)
    evaluation = replace(evaluation, warnings=(*data.warnings, *evaluation.warnings))
    if output is not None:
        report = ReportContent(
            evaluation=evaluation,
            training=probe.fitted.training,
            map=feature_map(data.features.X, data.frame, data.task, probe.recipe.seed),
            join=data.join,
            command=command,
            n_bootstrap=n_bootstrap,
        )
        with new_directory(output, overwrite, maker) as made:
            write_evaluation(made, evaluation, report)
    return evaluation


def _as_trained(labels: LabelRequest, probe: Probe) -> LabelRequest:
    """The request with the probe's task, and its classes where the user names no positive values."""
    named = replace(labels, task=probe.task.name, kind="class" if probe.task.classes else "number")
    return named if labels.positive else replace(named, classes=probe.task.classes)


def _said(classes: tuple[str, ...]) -> str:
    return ", ".join(classes) or "numbers"
