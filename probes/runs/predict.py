"""Predicting studies with a saved probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prima_features.embedding.read import read_embeddings
from prima_features.probes.feature_matrix import features
from prima_features.probes.labels import LabelRequest, describe
from prima_features.probes.persistence.files import write_bytes
from prima_features.probes.probe import Predictions, Probe


def predict(
    name: str | Path, embeddings: Path, labels: LabelRequest | None = None, output: Path | None = None
) -> Predictions:
    """Predict every study of an embeddings file.

    Args:
        name: the probe's directory, or its id on the Hub.
        embeddings: the file.
        labels: tables that tell age (for the gap), sex or site (for ComBat) of the studies; no target is read.
        output: table to write, tab-separated.

    Raises:
        UsageError: the probe does not read these embeddings, or the tables tell of no study.
        OutputError: the table cannot be written.
    """
    probe = Probe.load(name)
    assert probe.fitted is not None
    source = probe.fitted.training.source
    file = read_embeddings(embeddings)
    frame, warnings = describe(file, replace(labels or LabelRequest(), task=probe.task.name))
    found, known = features(file, source.level, source.series).aligned(frame)
    predicted = probe.predict(found, known)
    if missing := len(frame) - len(known):
        warnings = (*warnings, f"{missing} studies have no series {source.series!r} and are not predicted")
    predicted = replace(predicted, warnings=(*warnings, *predicted.warnings))
    if output is not None:
        text = predicted.table.to_csv(sep="\t", index=False, na_rep="n/a")
        write_bytes(output, text.encode())
    return predicted
