"""Comparing two saved probes by the folds that both were evaluated on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.evaluation import Comparison, corrected_t_test
from prima_features.probes.persistence.files import read_json
from prima_features.probes.persistence.layout import MAX_DOCUMENT_BYTES, METRICS


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


_MOST_FOLDS = 100_000


def _folds(folder: Path) -> dict[str, Any]:
    path = folder / METRICS
    found = read_json(path, MAX_DOCUMENT_BYTES).get("folds")
    if not isinstance(found, dict) or not {"digest", "metric", "values", "n_train", "n_test"} <= set(found):
        raise UsageError(f"{path} holds no results by fold: only cross-validated probes can be compared")
    lists = [found[name] for name in ("values", "n_train", "n_test")]
    if not all(isinstance(one, list) and len(one) == len(lists[0]) <= _MOST_FOLDS for one in lists) or any(
        isinstance(value, bool) or not isinstance(value, int | float | None) for one in lists for value in one
    ):
        raise UsageError(f"{path} holds results by fold that are not lists of numbers: it is damaged")
    return found


def _caveat(folder: Path) -> str:
    return str(read_json(folder / METRICS, MAX_DOCUMENT_BYTES).get("caveat", ""))


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
