"""Files that were made or changed to do harm: refused in one sentence, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prima_features.errors import UsageError
from prima_features.probes import Probe

Saved = Callable[[str], Path]
Tamper = Callable[..., None]
Document = dict[str, Any]


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("name", ["model.safetensors", "probe.json", "training_subjects.txt", "model.pkl"])
def test_a_pickle_in_place_of_a_file_is_never_run(
    name: str, saved: Saved, tamper: Tamper, tmp_path: Path
) -> None:
    folder, canary = saved("ridge, Cole"), tmp_path / "canary"
    (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
    if name == "model.safetensors":
        tamper(folder)
    if name in {"model.safetensors", "probe.json"}:
        with pytest.raises(UsageError, match="is not"):
            Probe.load(folder)
    else:
        Probe.load(folder)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists(), "the bomb works"


DOCUMENTS: dict[str, tuple[Callable[[Document], Any], str]] = {
    "an unknown key": (lambda document: document.update(hook="os.system"), "does not know"),
    "an unknown key inside": (lambda document: document["task"].update(hook=1), "does not know"),
    "a key missing": (lambda document: document.pop("decision"), "decision"),
    "text for a number": (lambda document: document["training"].update(n_features="6"), "does not know"),
    "another estimator": (lambda document: document["recipe"].update(estimator="svm"), "unknown estimator"),
    "an unknown option": (
        lambda document: document["recipe"].update(options={"callback": "x"}),
        "no option 'callback'",
    ),
    "another format": (lambda document: document.update(format="prima-model"), "does not describe a probe"),
    "a version that is text": (lambda document: document.update(format_version="1"), "format version '1'"),
    "a file outside": (lambda document: document["files"].update({"../x": "0"}), "does not know"),
    "more features": (lambda document: document["training"].update(n_features=7), "do not fit together"),
    "more classes": (
        lambda document: document["task"].update(classes=["a", "b", "c"]),
        "ridge cannot predict classes",
    ),
    "no classes": (lambda document: document["task"].update(classes=["a", "a"]), "different classes"),
    "a bias correction that is none": (
        lambda document: document["correction"].update(method="magic"),
        "correction.method",
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_that_no_release_writes_is_refused(case: str, saved: Saved, tamper: Tamper) -> None:
    folder = saved("ridge, Cole")
    edit, message = DOCUMENTS[case]
    path = folder / "probe.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=message):
        Probe.load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "is not JSON"),
        ("[]", "does not contain a JSON object"),
        ("", "is not JSON"),
        ("{}", "describe"),
    ],
)
def test_a_document_that_is_no_object_is_refused(content: str, message: str, saved: Saved) -> None:
    folder = saved("ridge, Cole")
    (folder / "probe.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        Probe.load(folder)


ARRAYS: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], Any], str]] = {
    "missing": ("ridge, Cole", lambda a: a.pop("estimator.coef"), "do not fit together"),
    "too short": ("ridge, Cole", lambda a: a.update({"estimator.coef": np.zeros(3)}), "do not fit together"),
    "of another rank": (
        "ridge, Cole",
        lambda a: a.update({"estimator.coef": np.zeros((6, 6))}),
        "do not fit together",
    ),
    "not finite": (
        "ridge, Cole",
        lambda a: a.update({"estimator.coef": np.full(6, np.nan)}),
        "NaN or infinite",
    ),
    "bytes": ("ridge, Cole", lambda a: a.update(x=np.zeros(4, np.uint8)), "type U8"),
    "classes of neighbours beyond the last": (
        "knn, three classes",
        lambda a: a.update({"estimator.y": np.full(90, 10**12)}),
        "do not fit together",
    ),
    "classes of neighbours below 0": (
        "knn, three classes",
        lambda a: a.update({"estimator.y": np.full(90, -1)}),
        "do not fit together",
    ),
    "ranges of another width": (
        "ridge, Cole",
        lambda a: a.update({"range.mean": np.zeros(3)}),
        "do not fit together",
    ),
    "a site too few": (
        "logistic with ComBat, Platt",
        lambda a: a.update({"adjust.offset": np.zeros((1, 6))}),
        "do not fit together",
    ),
    "a layer that does not follow": (
        "mlp, classes",
        lambda a: a.update({"estimator.layer0.weights": np.zeros((3, 4))}),
        "do not fit together",
    ),
    **{
        f"attention: {what}": ("attention, three classes", edit, "do not fit together")
        for what, edit in {
            "gates of another width": lambda a: a.update({"estimator.network.V": np.zeros((4, 1, 3))}),
            "more networks than the recipe has": lambda a: a.update(
                {"estimator.network.u": np.zeros((2, 16))}
            ),
            "an output too few": lambda a: a.update(
                {"estimator.network.W": np.zeros((4, 1, 2)), "estimator.network.b": np.zeros((1, 2))}
            ),
            "whole numbers": lambda a: a.update({"estimator.network.b": np.zeros((1, 3), np.int64)}),
            "components without variance": lambda a: a.update({"estimator.reduction.variance": np.zeros(4)}),
            "axes of another width": lambda a: a.update({"estimator.reduction.axes": np.zeros((5, 4))}),
            "no gates": lambda a: a.pop("estimator.network.U"),
            "arrays of something else": lambda a: a.update({"estimator.other.U": np.zeros(3)}),
        }.items()
    },
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_contradict_the_probe_are_refused(case: str, saved: Saved, tamper: Tamper) -> None:
    kind, edit, message = ARRAYS[case]
    folder = saved(kind)
    path = folder / "model.safetensors"
    arrays = dict(load_file(path))
    edit(arrays)
    save_file(arrays, path)
    tamper(folder)
    with pytest.raises(UsageError, match=message):
        Probe.load(folder)


def test_a_changed_byte_is_seen(saved: Saved) -> None:
    folder = saved("ridge, Cole")
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match="damaged or was changed"):
        Probe.load(folder)


@pytest.mark.parametrize("name", ["probe.json", "model.safetensors", "model.xgboost.json"])
def test_a_file_that_is_missing_or_no_file_is_named(name: str, saved: Saved) -> None:
    folder = saved("xgboost, number")
    (folder / name).unlink()
    with pytest.raises(UsageError, match=name):
        Probe.load(folder)
    (folder / name).mkdir()
    with pytest.raises(UsageError, match=name):
        Probe.load(folder)


def _tree(edit: Callable[[Document], Any]) -> Callable[[Document], Any]:
    return lambda document: edit(document["learner"]["gradient_booster"]["model"]["trees"][0])


TREES: dict[str, Callable[[Document], Any]] = {
    "a child that is its own parent": _tree(lambda tree: tree["left_children"].__setitem__(0, 0)),
    "a child beyond the last": _tree(lambda tree: tree["left_children"].__setitem__(0, 10**6)),
    "a child below 0": _tree(lambda tree: tree["right_children"].__setitem__(0, -7)),
    "a node with one child": _tree(lambda tree: tree["right_children"].__setitem__(0, -1)),
    "two parents of one node": _tree(lambda tree: tree["right_children"].__setitem__(0, 1)),
    "a feature that is not there": _tree(lambda tree: tree["split_indices"].__setitem__(0, 99)),
    "a feature below 0": _tree(lambda tree: tree["split_indices"].__setitem__(0, -1)),
    "a list too short": _tree(lambda tree: tree["split_conditions"].pop()),
    "text for a number": _tree(lambda tree: tree["split_conditions"].__setitem__(0, "1")),
    "categories": _tree(lambda tree: tree["categories"].append(3)),
    "more nodes than there are": _tree(lambda tree: tree["tree_param"].update(num_nodes="4000000")),
    "leaves of vectors": _tree(lambda tree: tree["tree_param"].update(size_leaf_vector="64")),
    "another booster": lambda document: document["learner"]["gradient_booster"].update(name="dart"),
    "another objective": lambda document: document["learner"]["objective"].update(name="rank:ndcg"),
    "a number of features": lambda document: document["learner"]["learner_model_param"].update(
        num_feature="9"
    ),
    "a number of targets": lambda document: document["learner"]["learner_model_param"].update(num_target="9"),
    "a tree too many": lambda document: document["learner"]["gradient_booster"]["model"]["tree_info"].append(
        0
    ),
    "an order of trees": lambda document: document["learner"]["gradient_booster"]["model"].update(
        iteration_indptr=[0, 5]
    ),
    "no learner": lambda document: document.pop("learner"),
}


@pytest.mark.parametrize("case", TREES)
def test_trees_that_would_lead_xgboost_astray_never_reach_it(case: str, saved: Saved, tamper: Tamper) -> None:
    folder = saved("xgboost, two classes")
    path = folder / "model.xgboost.json"
    document = json.loads(path.read_text())
    TREES[case](document)
    path.write_text(json.dumps(document))
    tamper(folder)
    with pytest.raises(UsageError, match="complete trees"):
        Probe.load(folder)


FUZZ = """
import sys
from pathlib import Path
import numpy as np
import pandas as pd
from prima_features.errors import UsageError
from prima_features.probes import Features, Probe, FeatureSource
X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
features = Features.of(X, FeatureSource("tiny", "1", "0" * 64))
frame = pd.DataFrame({"study": [str(i) for i in range(20)]})
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        Probe.load(folder).predict(features, frame)
        print("read")
    except UsageError:
        print("refused")
"""


def test_files_changed_at_random_are_read_or_refused_and_never_crash(
    saved: Saved, tamper: Tamper, tmp_path: Path
) -> None:
    rng = random.Random(0)
    original = saved("xgboost, three classes")
    files = {path.name: path.read_bytes() for path in original.iterdir()}
    many = tmp_path / "many"
    for i in range(60):
        folder = many / f"{i:03d}"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        name = "model.xgboost.json" if i % 3 else "model.safetensors"
        content = bytearray(files[name])
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.choice(b'0123456789-,[]{}"e.')
        (folder / name).write_bytes(content)
        tamper(folder)
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(many)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 60
    assert "refused" in done.stdout


COUNTS: dict[str, tuple[Callable[[Document], Any], str]] = {
    "no checksums": (lambda document: document.update(files={}), "does not record the checksums"),
    "a version of 0": (lambda document: document.update(format_version=0), "format version 0"),
    "a version below 0": (lambda document: document.update(format_version=-7), "format version -7"),
    "a version that is true": (lambda document: document.update(format_version=True), "format version True"),
    "a trillion features": (
        lambda document: document["training"].update(n_features=10**12),
        "impossible counts",
    ),
    "ten million features": (
        lambda document: document["training"].update(n_features=10**7),
        "do not fit together",
    ),
    "studies below 0": (lambda document: document["training"].update(n_studies=-1), "impossible counts"),
    "a count of 300 digits": (
        lambda document: document["training"].update(n_studies=10**300),
        "impossible counts|not a valid probe",
    ),
    "threads": (
        lambda document: document["recipe"].update(options={"n_jobs": 10**6}),
        "does not know|no option",
    ),
    "a threshold that is infinite": (
        lambda document: document["decision"].update(threshold=float("inf")),
        "contains Infinity",
    ),
    "an age that is NaN": (
        lambda document: document["training"].update(age_range=[float("nan"), 1.0]),
        "contains NaN",
    ),
    "a task that nests": (lambda document: document.update(task=nested(100)), "is nested deeper"),
}


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("case", COUNTS)
def test_counts_versions_and_numbers_that_no_probe_has_are_refused(
    case: str, saved: Saved, tamper: Tamper
) -> None:
    folder = saved("ridge, Cole")
    edit, message = COUNTS[case]
    path = folder / "probe.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=message) as told:
        Probe.load(folder)
    assert "\n" not in str(told.value)


def test_checksums_cannot_be_left_out(saved: Saved) -> None:
    folder = saved("xgboost, number")
    path = folder / "probe.json"
    document = json.loads(path.read_text())
    for name in tuple(document["files"]):
        fewer = {key: value for key, value in document["files"].items() if key != name}
        path.write_text(json.dumps(document | {"files": fewer}))
        with pytest.raises(UsageError, match="does not record the checksums"):
            Probe.load(folder)


@pytest.mark.parametrize("name", ["probe.json", "model.safetensors", "training_subjects.txt"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name: str, saved: Saved) -> None:
    folder = saved("ridge, Cole")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UsageError, match=r"is not a file|contains no probe\.json"):
        Probe.load(folder)
