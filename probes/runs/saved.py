"""Using saved probes: evaluating one on another cohort, predicting studies, and comparing two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.record.output import files_next_to
from prima_features.errors import UsageError
from prima_features.files.disk import write_bytes
from prima_features.files.new_directory import new_directory
from prima_features.files.tables import table_bytes
from prima_features.files.targets import Maker, as_inputs, check_file, check_folder, starts_with
from prima_features.probes.evaluation import Comparison, Evaluation, corrected_t_test
from prima_features.probes.feature_matrix import features, lacked
from prima_features.probes.labels import LabelRequest, describe
from prima_features.probes.persistence.directory import write_evaluation
from prima_features.probes.persistence.files import MAX_DOCUMENT_BYTES, METRICS, read_json
from prima_features.probes.probe import Predictions, Probe
from prima_features.probes.report import PageContent, feature_map
from prima_features.probes.runs.fit import Sources, changes, read
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

_MOST_FOLDS = 100_000


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
        overwrite: replace the directory if it is not empty.

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
    data = read(Sources(embeddings, asked, source.level, source.series), bags=probe.recipe.reads_bags)
    if data.task.classes != probe.task.classes:
        raise UsageError(
            f"this probe predicts {_named(probe.task.classes)}, but the labels are {_named(data.task.classes)}: give "
            "labels of the same classes"
        )
    if data.task.labels != probe.task.labels:
        raise UsageError(
            f"this probe predicts the labels {_named(probe.task.labels)}, but the tables have "
            f"{_named(data.task.labels)}: give --label-columns of these names, in this order, or leave it out"
        )
    if data.task.unit != probe.task.unit and data.task.scale:
        raise UsageError(
            f"this probe predicts times in {probe.task.unit}, but the labels are in {data.task.unit}: convert them"
        )
    evaluation = probe.evaluate(data.features, data.frame, data.joined.cohort, n_bootstrap=n_bootstrap)
    evaluation = replace(
        evaluation,
        visits=data.changes.summary if data.changes else None,
        warnings=(*data.warnings, *evaluation.warnings),
    )
    if output is not None:
        report = PageContent(
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
    """The request with the probe's task, and its classes if the user names no positive values."""
    scale = probe.task.scale
    kind: Literal["class", "number", "ordinal", "count"] = "class" if probe.task.classes else "number"
    if scale == "ordinal" or scale == "count":
        kind = scale
    named = replace(labels, task=probe.task.name, kind=kind, horizons=probe.task.horizons)
    if probe.fitted is not None and (change := probe.fitted.training.source.change):
        named = replace(named, change=change)
    if probe.task.labels:
        columns = labels.label_columns or probe.task.labels
        # A single column lists names, and those of the probe are looked for.
        wanted = probe.task.labels if len(columns) == 1 else ()
        return replace(named, label_columns=columns, classes=wanted, all_labels=True, kind="auto")
    return named if labels.positive else replace(named, classes=probe.task.classes)


def _named(classes: tuple[str, ...]) -> str:
    return ", ".join(classes) or "numbers"


def predict(
    name: str | Path,
    embeddings: Path,
    labels: LabelRequest | None = None,
    output: Path | None = None,
    force: bool = False,
) -> Predictions:
    """Predict every study of an embeddings file.

    Args:
        name: the probe's directory, or its id on the Hub.
        embeddings: the file.
        labels: tables with age (for the gap), sex or site (for ComBat) of the studies; no target is read.
        output: table to write, tab-separated; replaced if it is an earlier one with the same columns. A probe that
            pools with attention also writes its weights (see `attention_file`).
        force: replace a file that is no such table; never an input.

    Raises:
        UsageError: the probe does not read these embeddings, or the tables contain no study.
        OutputError: the table cannot be written.
    """
    labels = labels or LabelRequest()
    maker = Maker("prima probe predict", as_inputs(name, embeddings, files_next_to(embeddings), labels.files))
    if output is not None:  # an input would be found too late
        check_file(output, maker, force=True)
    probe = Probe.load(name)
    assert probe.fitted is not None
    if output is not None and probe.recipe.reads_bags:
        check_file(attention_file(output), maker, force=True)
    source = probe.fitted.training.source
    file = read_embeddings(embeddings)
    frame, warnings = describe(file, replace(labels, task=probe.task.name))
    found, known = features(file, source.level, source.series, bags=probe.recipe.reads_bags).aligned(frame)
    missing = len(frame) - len(known)
    if source.change:
        made, found, known = changes(file, found, known, source.change)
        warnings = (*warnings, *made.warnings)
    predicted = probe.predict(found, known)
    if missing:
        warnings = (
            *warnings,
            f"{count(missing, 'study')} {verb(missing, 'has', 'have')} no {lacked(source)} and "
            f"{verb(missing, 'is', 'are')} not predicted",
        )
    predicted = replace(predicted, warnings=(*warnings, *predicted.warnings))
    if output is not None:
        _write_table(output, predicted.table, maker, "a table of such predictions", force)
        if predicted.attention is not None:
            _write_table(attention_file(output), predicted.attention, maker, "a table of such weights", force)
    return predicted


def attention_file(output: Path) -> Path:
    """The table of attention weights next to one of predictions: `predictions.attention.tsv`."""
    return output.with_name(f"{output.stem}.attention{output.suffix}")


def _write_table(path: Path, table: pd.DataFrame, maker: Maker, kind: str, force: bool) -> None:
    content = table_bytes(table, missing="n/a")
    header = content.partition(b"\n")[0] + b"\n"
    check_file(path, replace(maker, is_own=starts_with(header), kind=kind), force)
    write_bytes(path, content)


def compare(first: Path, second: Path) -> Comparison:
    """Test whether two probes differ; see `corrected_t_test`.

    Args:
        first: a probe's directory with its metrics.json.
        second: another's.

    Raises:
        UsageError: one was not cross-validated, or not on the same folds of the same studies.
    """
    one, other = _folds(first), _folds(second)
    if one["digest"] != other["digest"] or one["metric"] != other["metric"]:
        raise UsageError(
            f"{first} and {second} were not evaluated on the same folds: fit both on the same file and labels, "
            "with the same task, scheme and seed"
        )
    found = corrected_t_test(
        one["metric"],
        _numbers(one["values"]),
        _numbers(other["values"]),
        np.array(one["n_train"]),
        np.array(one["n_test"]),
    )
    return replace(found, caveat=_caveat(first) or _caveat(second))


def _folds(folder: Path) -> dict[str, Any]:
    path = folder / METRICS
    found = read_json(path, MAX_DOCUMENT_BYTES).get("folds")
    if not isinstance(found, dict) or not {"digest", "metric", "values", "n_train", "n_test"} <= set(found):
        raise UsageError(f"{path} contains no results by fold: only cross-validated probes can be compared")
    lists = [found[name] for name in ("values", "n_train", "n_test")]
    if not all(isinstance(one, list) and len(one) == len(lists[0]) <= _MOST_FOLDS for one in lists) or any(
        isinstance(value, bool) or not isinstance(value, int | float | None) for one in lists for value in one
    ):
        raise UsageError(f"the results by fold in {path} are not lists of numbers: the file is damaged")
    return found


def _caveat(folder: Path) -> str:
    return str(read_json(folder / METRICS, MAX_DOCUMENT_BYTES).get("caveat", ""))


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
