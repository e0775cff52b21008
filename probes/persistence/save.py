"""Writing a probe's directory: complete or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features._version import __version__
from prima_features.errors import UsageError
from prima_features.files.new_directory import new_directory
from prima_features.probes.persistence.card import card
from prima_features.probes.persistence.document import Document, to_json
from prima_features.probes.persistence.files import json_bytes, table_bytes
from prima_features.probes.persistence.layout import (
    CARD,
    DOCUMENT,
    METRICS,
    PREDICTIONS,
    REPORT,
    SUBJECTS,
)
from prima_features.probes.persistence.model import model_bytes

if TYPE_CHECKING:
    from prima_features.probes.evaluation import Evaluation
    from prima_features.probes.probe import Probe
    from prima_features.probes.report import ReportContent


@dataclass(frozen=True)
class Extras:
    """What is written beside the probe itself."""

    evaluation: Evaluation | None = None
    """Gives metrics.json and predictions.tsv, and the numbers of the card."""
    report: ReportContent | None = None
    """Gives report.html."""
    command: str = ""
    overwrite: bool = False
    """Replace the folder if it holds something."""


def save(probe: Probe, folder: Path, extras: Extras | None = None) -> Path:
    """Write a fitted probe.

    Raises:
        UsageError: the probe is not fitted, or the folder holds something.
        OutputError: the folder cannot be written; nothing is left of it.
    """
    extras = extras or Extras()
    if probe.fitted is None:
        raise UsageError("this probe is not fitted: call fit before save")
    files = model_bytes(probe.fitted)
    document = _document(probe, files, extras.command)
    with new_directory(folder, extras.overwrite) as made:
        for name, content in files.items():
            (made / name).write_bytes(content)
        digests = probe.fitted.training.subject_digests
        (made / SUBJECTS).write_text("".join(f"{digest}\n" for digest in digests), encoding="ascii")
        write_evaluation(made, extras.evaluation, extras.report)
        (made / CARD).write_text(card(document, extras.evaluation), encoding="utf-8")
        (made / DOCUMENT).write_bytes(json_bytes(to_json(document)))
    return folder


def write_evaluation(folder: Path, evaluation: Evaluation | None, report: ReportContent | None) -> None:
    """Write metrics.json, predictions.tsv and report.html, as far as they are given, to a folder that is new."""
    if evaluation is not None:
        (folder / METRICS).write_bytes(json_bytes(evaluation.metrics_json()))
        table = evaluation.predictions
        if evaluation.caveat:
            table = table.assign(caveat=evaluation.caveat)
        (folder / PREDICTIONS).write_bytes(table_bytes(table))
    if report is not None:
        from prima_features.probes.report import write_report

        write_report(folder / REPORT, report)


def _document(probe: Probe, files: dict[str, bytes], command: str) -> Document:
    assert probe.fitted is not None
    fitted = probe.fitted.recipe
    adjust = fitted.estimator.adjust_
    return Document(
        task=probe.task,
        # How many threads there were says nothing of the probe.
        recipe=replace(
            probe.recipe, options={k: v for k, v in probe.recipe.options.items() if k != "n_jobs"}
        ),
        chosen=dict(fitted.estimator.best_params_),
        calibration=fitted.calibration,
        decision=fitted.decision,
        correction=fitted.correction,
        training=replace(probe.fitted.training, subject_digests=()),
        sites=tuple(getattr(adjust, "sites_", ())),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        prima_features_version=__version__,
    )
