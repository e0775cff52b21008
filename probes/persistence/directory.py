"""Writing a probe's directory (complete or not at all), reading it, and publishing it on the Hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features._version import __version__
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.new_directory import new_directory
from prima_features.files.tables import table_bytes
from prima_features.hub import repositories as hub
from prima_features.probes.estimators.base import ProbeEstimator
from prima_features.probes.persistence.card import card
from prima_features.probes.persistence.document import Document, read_document, to_json
from prima_features.probes.persistence.files import (
    ARRAYS,
    ATTENTION,
    CARD,
    DOCUMENT,
    MAX_ARRAYS_BYTES,
    MAX_DOCUMENT_BYTES,
    METRICS,
    PREDICTIONS,
    REPORT,
    SHARED,
    SUBJECTS,
    TREES,
    Arrays,
    below,
    check_size,
    json_bytes,
    prefixed,
    read_arrays,
    to_bytes,
)
from prima_features.probes.persistence.trees import read_trees
from prima_features.probes.probe import Fitted, Probe
from prima_features.probes.recipe import FittedRecipe
from prima_features.probes.samples import unlabelled
from prima_features.probes.steps.novelty import TrainingRange
from prima_features.probes.steps.outputs import Steps

if TYPE_CHECKING:
    from prima_features.probes.evaluation import Evaluation
    from prima_features.probes.report import PageContent


def model_bytes(fitted: Fitted) -> dict[str, bytes]:
    """The content of the files with arrays, by name."""
    estimator = fitted.recipe.estimator
    arrays = prefixed("range", fitted.range.state())
    if estimator.adjust_ is not None:
        arrays |= prefixed("adjust", estimator.adjust_.state()[1])
    if _has_trees(estimator):
        return {ARRAYS: to_bytes(arrays), TREES: estimator.model_bytes()}
    return {ARRAYS: to_bytes(arrays | prefixed("estimator", estimator.state()))}


def restore(folder: Path, document: Document) -> Fitted:
    """What was fitted, from a probe's directory.

    Raises:
        UsageError: arrays are missing, or their shapes contradict the document.
    """
    arrays = read_arrays(folder / ARRAYS)
    try:
        # Before anything of this width is made: a document can claim any.
        if arrays["range.mean"].shape != (document.training.n_features,):
            raise ValueError("width of the training range")
        fitted = FittedRecipe(
            recipe=document.recipe,
            estimator=_estimator(folder, document, arrays),
            calibration=document.calibration,
            decision=document.decision,
            correction=document.correction,
            curve=document.curve,
        )
        found = Fitted(fitted, document.training, TrainingRange.restore(below("range", arrays)))
        _try(found, document)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"the arrays of {folder} do not fit together: the probe is damaged") from error
    return found


def _estimator(folder: Path, document: Document, arrays: Arrays) -> ProbeEstimator:
    task, n_classes = document.task, len(document.task.classes)
    estimator = document.recipe.make(task)
    if task.labels:
        n_classes, estimator.n_labels_ = 2, len(task.labels)
    if n_classes:
        estimator.classes_ = np.arange(n_classes)
    if _has_trees(estimator):
        trees = read_trees(folder / TREES, document.training.n_features, task)
        estimator.restore_model(trees)
    else:
        own = below("estimator", arrays)
        _check_votes(own, n_classes)
        estimator.restore(own)
    estimator.best_params_ = dict(document.chosen)
    estimator.adjust_ = None
    if estimator.adjust is not None:
        state = {"sites": document.sites, "unseen": document.recipe.unseen_sites}
        estimator.adjust_ = estimator.adjust.restore(state, below("adjust", arrays))
    return estimator


def _has_trees(estimator: ProbeEstimator) -> bool:
    return hasattr(estimator, "restore_model")


def _check_votes(arrays: Arrays, n_classes: int) -> None:
    """Refuse neighbours with a class that there is not: votes are counted in an array as long as the largest."""
    for name, codes in arrays.items():
        if (
            name.rpartition(".")[2] == "y"
            and n_classes
            and (codes.dtype.kind != "i" or not np.isin(codes, range(n_classes)).all())
        ):
            raise ValueError("classes of the neighbours")


def _try(found: Fitted, document: Document) -> None:
    """Predict one study of zeros: arrays that do not fit together fail here, and not when they are needed."""
    import pandas as pd

    site = (document.sites or ("",))[0]
    frame = pd.DataFrame({"site": [site], "age": [50.0], "sex": ["F"], "icv": [1500.0]})
    given = unlabelled(np.zeros((1, document.training.n_features)), frame, document.task)
    if not given.kind.fits(found.recipe):
        raise ValueError("steps of the probe")
    outcome: Any = found.recipe.predict(given)
    empty = given.kind.empty(1)
    shapes = [(np.shape(getattr(one, name))) for one in (outcome, empty) for name in vars(empty)]
    if shapes[: len(shapes) // 2] != shapes[len(shapes) // 2 :]:
        raise ValueError("shapes of the predictions")
    given.kind.columns(outcome, given.age)
    if (covariates := document.training.covariates) is not None:
        if len(covariates.coefficients) != given.kind.coefficient_rows:
            raise ValueError("rows of the covariates' coefficients")
        if not given.kind.fits(Steps(decision=covariates.decision, curve=covariates.curve)):
            raise ValueError("steps of the covariates")
        if covariates.predict(given).probability.shape != empty.probability.shape:
            raise ValueError("intercepts of the covariates")
    from prima_features.probes.steps.novelty import scores_of

    if np.shape(found.range.distance(given.X, scores_of(found.recipe.raw(given)))) != (1,):
        raise ValueError("shape of the distances")


@dataclass(frozen=True)
class Extras:
    """What is written in addition to the probe itself."""

    evaluation: Evaluation | None = None
    """Gives metrics.json and predictions.tsv, and the numbers of the card."""
    report: PageContent | None = None
    """Gives report.html."""
    command: str = ""
    overwrite: bool = False
    """Replace the folder if it is not empty."""


def save(probe: Probe, folder: Path, extras: Extras | None = None) -> Path:
    """Write a fitted probe.

    Raises:
        UsageError: the probe is not fitted, or the folder is not empty.
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


def write_evaluation(folder: Path, evaluation: Evaluation | None, report: PageContent | None) -> None:
    """Write metrics.json, predictions.tsv, attention.tsv and report.html, as far as they are given, to a new folder."""
    if evaluation is not None:
        (folder / METRICS).write_bytes(json_bytes(evaluation.metrics_json()))
        table = evaluation.predictions
        if evaluation.caveat:
            table = table.assign(caveat=evaluation.caveat)
        (folder / PREDICTIONS).write_bytes(table_bytes(table, missing="n/a"))
        if evaluation.attention is not None:
            table = evaluation.attention.table
            if evaluation.caveat:
                table = table.assign(caveat=evaluation.caveat)
            (folder / ATTENTION).write_bytes(table_bytes(table, missing="n/a"))
    if report is not None:
        from prima_features.probes.report import write_page

        write_page(folder / REPORT, report)


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
        curve=fitted.curve,
        training=replace(probe.fitted.training, subject_digests=()),
        sites=tuple(getattr(adjust, "sites_", ())),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        prima_features_version=__version__,
    )


def load(folder: Path) -> Probe:
    """Read a probe. Runs no code from its files, and refuses any that is not as it was written.

    Raises:
        UsageError: the folder contains no probe, one of a newer release, or a damaged one.
    """
    document = read_document(folder)
    _check_files(folder, document)
    probe = Probe(document.task, document.recipe)
    fitted = restore(folder, document)
    probe.fitted = replace(fitted, training=replace(document.training, subject_digests=_subjects(folder)))
    return probe


def is_probe(folder: Path) -> bool:
    """Whether a folder has what every probe has."""
    return (folder / DOCUMENT).is_file()


def locate(name: str | Path) -> Path:
    """The directory of a probe.

    Args:
        name: a directory, or `OWNER/NAME[@REVISION]` of a probe on the Hub; what is not in the Hub's cache is
            downloaded.

    Raises:
        UsageError: it is neither, or the Hub does not have it.
    """
    folder = Path(name)
    if folder.exists() or str(name).count("/") != 1:
        if not is_probe(folder):
            raise UsageError(f"{folder} contains no {DOCUMENT}: expected a folder written by prima probe fit")
        return folder
    from prima_features.hub import repositories as hub

    hub_id, revision = hub.split_revision(str(name))
    return hub.snapshot(hub_id, revision, SHARED, DOCUMENT, "a probe")


def _check_files(folder: Path, document: Document) -> None:
    for name, recorded in document.files.items():
        check_size(folder / name, MAX_ARRAYS_BYTES)
        if sha256(folder / name) != recorded:
            raise UsageError(
                f"{folder / name} does not match its checksum: the probe is damaged or was changed"
            )


def _subjects(folder: Path) -> tuple[str, ...]:
    path = folder / SUBJECTS
    if not path.exists():
        return ()
    check_size(path, MAX_DOCUMENT_BYTES)
    return tuple(path.read_text(encoding="ascii", errors="replace").split())


def push(source: Path, hub_id: str, private: bool = False) -> str:
    """Upload a probe in one commit, without the files that contain individual-level data.

    Returns:
        The commit's address.

    Raises:
        UsageError: the folder contains no complete probe, or the Hub refuses it or cannot be reached.
    """
    load(source)
    return hub.upload(source, hub_id, SHARED, "Upload probe", private)
