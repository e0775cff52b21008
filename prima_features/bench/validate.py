"""Checking a bench.json that somebody else made: its form, and that its numbers fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.safe import MIB, load_json, read_text
from prima_features.files.text import bounded
from prima_features.probes import tasks
from prima_features.probes.kinds.classes import CLASS_METRICS, MULTICLASS_METRICS
from prima_features.probes.kinds.counts import COUNT_METRICS
from prima_features.probes.kinds.labels import LABEL_METRICS
from prima_features.probes.kinds.numbers import REGRESSION_METRICS
from prima_features.probes.kinds.ordinal import ORDINAL_METRICS

FORMAT, FORMAT_VERSION = "prima-bench", 1
_MOST_BYTES = 64 * MIB
_TOLERANCE = 1e-6
_MOST_HORIZONS = 100
_METRICS = {
    "regression": REGRESSION_METRICS,
    "multiclass": MULTICLASS_METRICS,
    "ordinal": ORDINAL_METRICS,
    "count": COUNT_METRICS,
    "labels": LABEL_METRICS,
}
"""By kind of task; of all others those of two classes."""
_SHARES = ("auroc", "auprc", "prevalence", "balanced_accuracy", "brier", "c_index", "uno_c",
           "hand_till_auc", "auroc_micro", "auprc_micro", "ordinal_c", "rps")  # fmt: skip
_RELIABILITY = ("icc", "identification", "discriminability")
_MAPS = ("baselines", "over_baselines", "probes", "site_decodability", "site_variance", "worst_group", "openbhb",
         "few_shot")  # fmt: skip


class _ContentError(Exception):
    """What is wrong, after the place where."""


def read_bench(path: Path) -> dict[str, Any]:
    """Read and check a bench.json.

    Raises:
        UsageError: it cannot be read, is not a bench.json of a known version, lacks something, or contradicts itself.
    """
    try:
        document = load_json(read_text(path, _MOST_BYTES))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror or error}): give a bench.json that prima bench wrote"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} cannot be read as JSON ({bounded(str(error), 200)})") from error
    try:
        _check(document)
    except _ContentError as problem:
        raise UsageError(
            f"{path} is not a valid bench.json: {problem}; write it again with prima bench"
        ) from problem
    return dict(document)


def _check(document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _ContentError(f'it has no "format": "{FORMAT}"')
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise _ContentError(f"it has format_version {version!r}, and this release reads {FORMAT_VERSION}")
    for name, kind in (
        ("created", str),
        ("prima_features_version", str),
        ("command", str),
        ("cohort", str),
        ("synthetic", bool),
        ("options", dict),
        ("n_studies", int),
        ("n_subjects", int),
        ("encoders", dict),
        ("left_out", dict),
        ("tasks", dict),
        ("reliability", dict),
        ("warnings", list),
    ):
        _get(document, name, kind, "")
    encoders = document["encoders"]
    if not encoders:
        raise _ContentError("encoders is empty")
    for name, one in encoders.items():
        where = f"encoders.{name}"
        for key in ("encoder", "model", "revision", "sha256", "licence", "citation"):
            _get(one, key, str, where)
        _get(one, "width", int, where)
        if "settings" in one:  # not in files of the first version
            _get(one, "settings", dict, where)
        for key in ("seconds", "gflop"):
            _number(_get(one, "cost_per_scan", dict, where), key, f"{where}.cost_per_scan")
        _get(one["cost_per_scan"], "machine", str, f"{where}.cost_per_scan")
    if not document["tasks"] and not document["reliability"]:
        raise _ContentError("it has neither tasks nor reliability")
    for key, task in document["tasks"].items():
        _task(task, encoders, f"tasks.{key}", document["n_studies"])
    _named(document["reliability"], encoders, "reliability", all_of_them=True)
    for name, one in document["reliability"].items():
        where = f"reliability.{name}"
        for metric in _RELIABILITY:
            if metric != "icc" or metric in one:  # without a complete design there is none
                _estimate(
                    _get(one, metric, dict, where), f"{where}.{metric}", (-1 if metric == "icc" else 0, 1)
                )
    if document["reliability"]:
        _get(document, "repeats", dict, "")


def _task(task: Any, encoders: Mapping[str, Any], where: str, n_studies: int) -> None:
    for name, kind in (("kind", str), ("primary", str), ("higher_is_better", bool), ("n_studies", int),
                       ("n_subjects", int), ("folds", dict), ("classes", list), ("unit", str)):  # fmt: skip
        _get(task, name, kind, where)
    if not 0 < task["n_studies"] <= n_studies:
        raise _ContentError(
            f"{where}.n_studies is {task['n_studies']}, but {n_studies} studies are in all files"
        )
    metrics = _metrics(task, where)
    if task["primary"] not in metrics:
        raise _ContentError(
            f"{where}.primary is {bounded(task['primary'], 64)!r}, which is no metric of the task"
        )
    for name in _MAPS:
        _get(task, name, dict, where)
    for kind, own in (("", task), *task["probes"].items()):
        _probe(own, encoders, metrics, task["primary"], f"{where}.probes.{kind}" if kind else where)
    for name, found in task["baselines"].items():
        for metric in metrics:
            _estimate(_get(found, metric, dict, f"{where}.baselines.{name}"), f"{where}.baselines.{name}.{metric}",
                      _ends(metric))  # fmt: skip
    if task.get("leave_site_out") is not None:
        _probe(task["leave_site_out"], encoders, metrics, task["primary"], f"{where}.leave_site_out")
    for name in (
        "over_baselines",
        "site_decodability",
        "site_variance",
        "worst_group",
        "openbhb",
        "few_shot",
    ):
        _named(task[name], encoders, f"{where}.{name}")


def _metrics(task: Mapping[str, Any], where: str) -> tuple[str, ...]:
    if task["kind"] != "survival":
        return _METRICS.get(task["kind"], CLASS_METRICS)
    horizons = _get(task, "horizons", list, where)
    if len(horizons) > _MOST_HORIZONS or not all(type(one) in (int, float) for one in horizons):
        raise _ContentError(f"{where}.horizons is not a short list of numbers")
    try:
        return tasks.survival(task["unit"], horizons).metrics
    except UsageError as error:
        raise _ContentError(f"{where}.horizons: {error}") from error


def _probe(own: Any, encoders: Mapping[str, Any], metrics: tuple[str, ...], primary: str, where: str) -> None:
    _get(own, "estimator", str, where)
    found = _get(own, "encoders", dict, where)
    _named(found, encoders, f"{where}.encoders", all_of_them=True)
    for name, one in found.items():
        for metric in metrics:
            place = f"{where}.encoders.{name}"
            _estimate(_get(one, metric, dict, place), f"{place}.{metric}", _ends(metric))
    pairs = _get(own, "differences", dict, where)
    expected = {f"{first} - {second}": (first, second) for first, second in _ordered_pairs(list(found))}
    if len(pairs) != len(found) * (len(found) - 1) // 2 or not set(pairs) <= set(expected):
        raise _ContentError(f"{where}.differences does not have each pair of encoders once")
    for pair, one in pairs.items():
        place = f"{where}.differences.{pair}"
        _estimate(one, place, (-float("inf"), float("inf")))
        for key in ("p", "p_holm"):
            if (value := _number(one, key, place)) is not None and not 0 <= value <= 1:
                raise _ContentError(f"{place}.{key} is {value}, outside of 0 to 1")
        first, second = (found[name][primary]["value"] for name in expected[pair])
        value = one["value"]
        if None not in (first, second, value) and abs(first - second - value) > _TOLERANCE * (1 + abs(first)):
            raise _ContentError(f"{place} is {value}, but the encoders differ by {first - second}")


def _ordered_pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    return ((first, second) for first in names for second in names if first != second)


def _named(
    found: Mapping[str, Any], encoders: Mapping[str, Any], where: str, all_of_them: bool = False
) -> None:
    if unknown := next((name for name in found if name not in encoders), None):
        raise _ContentError(f"{where} names {bounded(unknown, 64)}, which is not among the encoders")
    if found and all_of_them and (lacking := next((name for name in encoders if name not in found), None)):
        raise _ContentError(f"{where} lacks the encoder {lacking}")


def _ends(metric: str) -> tuple[float, float]:
    if metric in _SHARES:
        return 0.0, 1.0
    if metric in ("pearson_r", "kappa"):
        return -1.0, 1.0
    low = 0.0 if metric in ("mae", "rmse", "class_error", "deviance", "calibration_ratio") else -float("inf")
    return low, float("inf")


def _estimate(one: Any, where: str, ends: tuple[float, float]) -> None:
    """A value inside its interval and between the ends of the metric, as far as they are known."""
    value, low, high = (_number(one, key, where) for key in ("value", "ci_low", "ci_high"))
    if value is None:
        return
    if not ends[0] - _TOLERANCE <= value <= ends[1] + _TOLERANCE:
        raise _ContentError(f"{where} is {value}, outside of {ends[0]:g} to {ends[1]:g}")
    reach = _TOLERANCE * (1 + abs(value))
    # A percentile interval need not contain the value, but its ends are in order.
    if low is not None and high is not None and low > high + reach:
        raise _ContentError(f"{where} has an interval whose lower end is above its upper end")


def _number(one: Any, key: str, where: str) -> float | None:
    if not isinstance(one, dict) or key not in one:
        raise _ContentError(f"{where} has no {key}")
    value = one[key]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _ContentError(f"{where}.{key} is not a number")
    return value


_KINDS: dict[type, str] = {
    str: "a text",
    dict: "an object",
    list: "a list",
    int: "a whole number",
    bool: "true or false",
}


def _get(one: Any, key: str, kind: type, where: str) -> Any:
    place = f"{where}.{key}" if where else key
    if not isinstance(one, dict) or key not in one:
        raise _ContentError(f"{place} is missing")
    value = one[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _ContentError(f"{place} is not {_KINDS[kind]}")
    return value
