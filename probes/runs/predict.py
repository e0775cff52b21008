"""Predicting studies with a saved probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prima_features.embedding.record.output import files_next_to
from prima_features.embedding.file.read import read_embeddings
from prima_features.files.targets import Maker, as_inputs, check_file, starts_with
from prima_features.probes.feature_matrix import features
from prima_features.probes.labels import LabelRequest, describe
from prima_features.probes.persistence.files import table_bytes, write_bytes
from prima_features.probes.probe import Predictions, Probe
from prima_features.wording import count, verb


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
        labels: tables that tell age (for the gap), sex or site (for ComBat) of the studies; no target is read.
        output: table to write, tab-separated; replaced if it is an earlier one with the same columns.
        force: replace a file that is no such table; never an input.

    Raises:
        UsageError: the probe does not read these embeddings, or the tables tell of no study.
        OutputError: the table cannot be written.
    """
    labels = labels or LabelRequest()
    maker = Maker("prima probe predict", as_inputs(name, embeddings, files_next_to(embeddings), labels.files))
    if output is not None:  # an input would be found too late
        check_file(output, maker, force=True)
    probe = Probe.load(name)
    assert probe.fitted is not None
    source = probe.fitted.training.source
    file = read_embeddings(embeddings)
    frame, warnings = describe(file, replace(labels, task=probe.task.name))
    found, known = features(file, source.level, source.series).aligned(frame)
    predicted = probe.predict(found, known)
    if missing := len(frame) - len(known):
        warnings = (
            *warnings,
            f"{count(missing, 'study')} {verb(missing, 'has', 'have')} no series {source.series!r} and "
            f"{verb(missing, 'is', 'are')} not predicted",
        )
    predicted = replace(predicted, warnings=(*warnings, *predicted.warnings))
    if output is not None:
        content = table_bytes(predicted.table)
        header = content.partition(b"\n")[0] + b"\n"
        check_file(
            output, replace(maker, is_own=starts_with(header), kind="a table of such predictions"), force
        )
        write_bytes(output, content)
    return predicted
