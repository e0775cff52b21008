"""The files of a probe's directory: their names, the version of the format, and reading and writing them.

Files may be hostile: all are read with limits, and arrays as safetensors, which cannot run code.

Format version 5. A reader refuses newer versions; whoever changes what a key means raises the version and writes
the rule that reads the older one here.

Version 2 added `encoder` and `caveat` to the source of the features, and to the arrays the limits of `TrainingRange`
on both sides; probes of version 1 only flag studies that are too far from the training set (`TrainingRange.restore`).
Version 3 added `citation` to the source of the features.
Version 4 added `scale` and `horizons` to the task, `curve` to the probe and its baseline of covariates, and `cuts` to
decisions.
Version 5 added `change` to the source of the features, `labels` to the task and `thresholds` to decisions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.files.safe import VALUES, UnsafeFileError, load_json, read_bytes

FORMAT = "prima-probe"
FORMAT_VERSION = 5
DOCUMENT = "probe.json"
"""Everything but arrays, with the checksums of the files of arrays."""
ARRAYS = "model.safetensors"
"""Weights and the range of the training embeddings. A file of plain numbers, which cannot contain code."""
TREES = "model.xgboost.json"
"""Boosted trees, in xgboost's own JSON."""
METRICS = "metrics.json"
REPORT = "report.html"
CARD = "README.md"
PREDICTIONS = "predictions.tsv"
ATTENTION = "attention.tsv"
"""Attention weights of the predictions."""
SUBJECTS = "training_subjects.txt"
"""Short hashes of the training subjects' ids, a line each."""
MODEL_FILES = (ARRAYS, TREES)
SHARED = (DOCUMENT, *MODEL_FILES, METRICS, REPORT, CARD)
"""Files that may be published. `PREDICTIONS`, `ATTENTION` and `SUBJECTS` contain individual-level data."""
MAX_DOCUMENT_BYTES = 16 << 20
MAX_TREES_BYTES = 256 << 20
MAX_TREES_VALUES = 32 << 20
MAX_ARRAYS_BYTES = 8 << 30
"""More than any probe of this package has: a larger file is not read."""
TYPES = ("F64", "F32", "I64")


_NO_CURVE: dict[str, list[float]] = {"times": [], "hazard": [], "limits": []}


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """A document of an earlier version as one of this version."""
    if (version := document.get("format_version")) == FORMAT_VERSION:
        return document
    from prima_features.probes.feature_matrix import FeatureSource

    training = dict(document.get("training") or {})
    source = dict(training.get("source") or {}) | {"change": None}
    task = dict(document.get("task") or {}) | {"labels": []}
    steps = {"decision": document["decision"] | {"thresholds": []}}
    training.setdefault("covariates", None)
    if isinstance(training["covariates"], dict):
        own = training["covariates"]
        training["covariates"] = own | {"decision": own["decision"] | {"thresholds": []}}
    if version == 1:
        known = FeatureSource(str(source.get("model", "")), model_sha256=str(source.get("model_sha256", "")))
        source |= {"encoder": "prima" if source.get("model") else "", "caveat": known.caveat}
    if version in (1, 2):
        source["citation"] = ""
    if version in (1, 2, 3):
        task |= {"scale": "", "horizons": []}
        steps = {"decision": steps["decision"] | {"cuts": []}, "curve": dict(_NO_CURVE)}
        if isinstance(training["covariates"], dict):
            own = training["covariates"]
            more = {"curve": dict(_NO_CURVE), "decision": own["decision"] | {"cuts": []}}
            training["covariates"] = own | more
    return document | {
        "format_version": FORMAT_VERSION,
        "task": task,
        "training": training | {"source": source},
        **steps,
    }


def check_size(path: Path, limit: int) -> None:
    """Refuse what is no regular file or has more bytes than any probe's.

    Raises:
        UsageError: it is missing, no regular file, or larger than `limit` bytes.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist or is not a file: expected the directory of a probe")
    if (size := path.stat().st_size) > limit:
        raise UsageError(f"{path} has {size} bytes, more than any probe needs ({limit}): refusing to load it")


def read_json(path: Path, limit: int, values: int = VALUES) -> dict[str, Any]:
    """A file's JSON object, without NaN or infinite numbers.

    Args:
        path: the file.
        limit: bytes that it may have.
        values: items of all its lists and objects at most.

    Raises:
        UsageError: as `check_size`, or it is not a JSON object within the bounds of `files.safe.load_json`.
    """
    check_size(path, limit)
    try:
        document = load_json(read_bytes(path, limit), values=values)
    except UnsafeFileError as error:
        raise UsageError(f"{path} is not JSON within the limits of a probe: it {error}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON: the probe is damaged") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} does not contain a JSON object: the probe is damaged")
    return document


def json_bytes(document: dict[str, Any]) -> bytes:
    """As JSON. NaN has no place in it: numbers that are not defined must be None."""
    return json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"


Arrays = dict[str, np.ndarray]


def to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file's content."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values) for name, values in arrays.items()})


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file.

    Raises:
        UsageError: it is not a safetensors file, is larger than any probe's, or contains types other than float64,
            float32 and int64, or numbers that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    check_size(path, MAX_ARRAYS_BYTES)
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if other := {file.get_slice(name).get_dtype() for name in names}.difference(TYPES):
                raise UsageError(f"{path} contains numbers of type {min(other)}: expected {', '.join(TYPES)}")
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not a safetensors file: the probe is damaged") from error
    if bad := [name for name, values in arrays.items() if not np.isfinite(values).all()]:
        raise UsageError(f"{path} contains NaN or infinite numbers ({bad[0]}): the probe is damaged")
    return arrays


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Arrays under `prefix.`."""
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def below(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Arrays that are under `prefix.`, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
