"""Boosted trees as xgboost's own JSON, checked before xgboost reads them.

xgboost trusts the indices in such a file: a child or feature that does not exist makes it read memory that is not
its own. So only what is checked here is handed on, written out again.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.safe import load_json
from prima_features.probes.persistence.files import MAX_TREES_BYTES, MAX_TREES_VALUES, read_json
from prima_features.probes.tasks import Task

_ROOT_PARENT = 2**31 - 1
_NUMBERS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_WHOLE = ("default_left", "left_children", "right_children", "parents", "split_indices", "split_type")
_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def read_trees(path: Path, n_features: int, task: Task) -> bytes:
    """The checked content of a file of trees.

    Args:
        path: the file.
        n_features: that the probe reads.
        task: of the probe.

    Returns:
        JSON for `xgboost.Booster`.

    Raises:
        UsageError: it is not such a file, or its trees contradict the probe or themselves.
    """
    document = read_json(path, MAX_TREES_BYTES, MAX_TREES_VALUES)
    try:
        if task.labels:
            checked: dict[str, Any] = _checked_labels(document, n_features, len(task.labels))
        else:
            checked = _checked(document, n_features, task)
        return json.dumps(checked, allow_nan=False).encode()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise UsageError(f"{path} does not contain complete trees ({error}): the probe is damaged") from error


def _checked_labels(document: dict[str, Any], n_features: int, n_labels: int) -> dict[str, Any]:
    """A booster of two classes for each label."""
    boosters = document["labels"]
    _require(isinstance(boosters, list) and len(boosters) == n_labels, "number of labels")
    two = Task("label", "", ("0", "1"))
    return {"labels": [_checked(one, n_features, two) for one in boosters]}


def _checked(document: dict[str, Any], n_features: int, task: Task) -> dict[str, Any]:
    n_classes = len(task.classes)
    learner = document["learner"]
    n_columns = n_classes if n_classes > 2 else 1
    objective = _objective(task)
    _require(learner["objective"]["name"] == objective["name"], "another objective")
    expected = {"num_class": n_classes if n_classes > 2 else 0, "num_feature": n_features, "num_target": 1}
    parameters = learner["learner_model_param"]
    for key, value in expected.items():
        _require(int(parameters[key]) == value, key)
    start = parameters["base_score"]
    numbers = load_json(start)
    numbers = numbers if isinstance(numbers, list) else [numbers]
    _require(all(_is_number(value) for value in numbers) and len(numbers) in (1, n_columns), "base score")
    return {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": _checked_booster(learner["gradient_booster"], n_features, n_columns),
            "learner_model_param": {key: str(value) for key, value in expected.items()}
            | {"base_score": start, "boost_from_average": "1"},
            "objective": objective,
        },
        "version": [_whole(value, 0, 1000) for value in document["version"]],
    }


def _objective(task: Task) -> dict[str, Any]:
    n_classes = len(task.classes)
    if task.scale == "survival":
        return {"name": "survival:cox"}
    if task.scale == "count":
        return {"name": "count:poisson", "poisson_regression_param": {"max_delta_step": "0.699999988"}}
    if n_classes > 2:
        return {"name": "multi:softprob", "softmax_multiclass_param": {"num_class": str(n_classes)}}
    name = "binary:logistic" if n_classes else "reg:squarederror"
    return {"name": name, "reg_loss_param": {"scale_pos_weight": "1"}}


def _checked_booster(booster: dict[str, Any], n_features: int, n_columns: int) -> dict[str, Any]:
    _require(booster["name"] == "gbtree", "another booster than gbtree")
    model = booster["model"]
    trees, groups, starts = model["trees"], model["tree_info"], model["iteration_indptr"]
    size = {key: int(value) for key, value in model["gbtree_model_param"].items()}
    _require(len(trees) == len(groups) == size["num_trees"], "number of trees")
    _require(size["num_parallel_tree"] == 1, "parallel trees")
    _require(starts == list(range(0, len(trees) + 1, n_columns)), "order of the trees")
    _require(groups == [i % n_columns for i in range(len(trees))], "order of the classes")
    checked = [_checked_tree(tree, i, n_features) for i, tree in enumerate(trees)]
    # What a release of xgboost writes of categories when there are none differs, and it reads a model without.
    kept = {key: value for key, value in model.items() if key != "cats"}
    return {"name": "gbtree", "model": kept | {"trees": checked}}


def _checked_tree(tree: dict[str, Any], i: int, n_features: int) -> dict[str, Any]:
    parameters = tree["tree_param"]
    n = _whole(int(parameters["num_nodes"]), 1, 1 << 20)
    _require(tree["id"] == i and int(parameters["num_deleted"]) == 0, "numbers of nodes")
    _require(int(parameters["num_feature"]) == n_features, "another number of features")
    _require(int(parameters["size_leaf_vector"]) <= 1, "leaves of several numbers")
    _require(not any(tree[key] for key in _CATEGORIES), "categories")
    for key in (*_NUMBERS, *_WHOLE):
        _require(len(tree[key]) == n, f"length of {key}")
    _require(all(_is_number(value) for key in _NUMBERS for value in tree[key]), "not a number")
    for value in tree["split_indices"]:
        _whole(value, 0, n_features)
    _require(not any(tree["split_type"]), "categories")
    _require(all(value in (0, 1) for value in tree["default_left"]), "directions")
    _check_shape(tree["left_children"], tree["right_children"], tree["parents"], n)
    known = (*_NUMBERS, *_WHOLE, *_CATEGORIES, "id", "tree_param")
    return {key: tree[key] for key in known}


def _check_shape(left: list[int], right: list[int], parents: list[int], n: int) -> None:
    """Every node but the root is the child of one node before it, so that each walk comes to a leaf."""
    _require(parents[0] == _ROOT_PARENT, "root")
    seen = set()
    for node in range(n):
        if left[node] == -1 == right[node]:
            continue
        for child in (left[node], right[node]):
            _whole(child, node + 1, n)
            _require(parents[child] == node, "parents")
            _require(child not in seen, "a node with two parents")
            seen.add(child)
    _require(len(seen) == n - 1, "nodes without a parent")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, low: int, high: int) -> int:
    """A whole number from `low` to below `high`."""
    _require(isinstance(value, int) and not isinstance(value, bool) and low <= value < high, "out of range")
    return value


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
