"""probe.json as a record. Only what this release would write itself is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from prima_features.errors import UsageError
from prima_features.probes.persistence.files import (
    ARRAYS,
    DOCUMENT,
    FORMAT,
    FORMAT_VERSION,
    MAX_DOCUMENT_BYTES,
    MODEL_FILES,
    TREES,
    read_json,
    upgraded,
)
from prima_features.probes.recipe import Recipe
from prima_features.probes.steps.hazard import SurvivalCurve
from prima_features.probes.steps.outputs import BiasCorrection, Calibration, Decision
from prima_features.probes.tasks import Task
from prima_features.probes.training import TrainingSet

_MOST = 100_000_000
"""Features or studies."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """All of a probe but its arrays."""

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    prima_features_version: str
    created: str
    """ISO 8601, UTC."""
    command: str = ""
    task: Task
    recipe: Recipe
    chosen: dict[str, int | float]
    """What the inner loop chose for the estimator."""
    calibration: Calibration
    decision: Decision
    correction: BiasCorrection
    curve: SurvivalCurve
    training: TrainingSet
    """Without the subjects, who are in a file of their own."""
    sites: tuple[str, ...] = ()
    """That ComBat was fitted on."""
    files: dict[str, str]
    """SHA-256 of each file with arrays."""


def to_json(document: Document) -> dict[str, Any]:
    """As plain dictionaries and lists."""
    return TypeAdapter(Document).dump_python(document, mode="json")


def read_document(folder: Path) -> Document:
    """Read probe.json.

    Raises:
        UsageError: it is missing, of another format or a newer version, or not as this release writes it.
    """
    path = folder / DOCUMENT
    values = read_json(path, MAX_DOCUMENT_BYTES)
    if values.get("format") != FORMAT:
        raise UsageError(f"{path} does not describe a probe: expected a folder written by prima probe fit")
    version = values.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT_VERSION:
        raise UsageError(
            f"{path} has format version {version!r}, but this release reads versions up to {FORMAT_VERSION}: run "
            "pip install --upgrade prima-features"
        )
    try:
        values = upgraded(values)
        document = TypeAdapter(Document).validate_python(values)
    except (ArithmeticError, AttributeError, KeyError, RecursionError) as error:
        raise UsageError(f"{path} is not a valid probe: a value has the wrong type") from error
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise UsageError(f"{path} is not a valid probe: its training set has no source") from error
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path} is not a valid probe ({where}: {first['msg']})") from error
    # Reading ignores keys it does not know and turns "1" into 1; writing shows whether it had to.
    try:
        same = to_json(document) == values
    except ValueError:  # pydantic's, of what it cannot write
        same = False
    if not same or not set(document.files) <= set(MODEL_FILES):
        raise UsageError(f"{path} has fields or values that this version does not know: refusing to load it")
    _check_numbers(path, document)
    return document


def _check_numbers(path: Path, document: Document) -> None:
    """Refuse counts that no training set has, and options that say how this machine is used."""
    training = document.training
    counts = (training.n_features, training.n_studies, training.n_subjects, document.recipe.inner_folds)
    if not all(1 <= count <= _MOST for count in counts) or training.n_subjects > training.n_studies:
        raise UsageError(
            f"{path} has impossible counts of features, studies or subjects: refusing to load it"
        )
    if "n_jobs" in document.recipe.options:
        raise UsageError(f"{path} has fields or values that this version does not know: refusing to load it")
    # An array of no probe may be missing here: its checksum would then not be looked at.
    needed = {ARRAYS, TREES} if document.recipe.estimator_name(document.task) == "xgboost" else {ARRAYS}
    if set(document.files) != needed:
        raise UsageError(
            f"{path} does not record the checksums of {' and '.join(sorted(needed))}: refusing to load it"
        )
