"""Small fitted probes of every kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prima_features.probes import Features, FeatureSource, Probe, Recipe, tasks
from prima_features.probes.bags import Bags

N, D = 90, 6
SOURCE = FeatureSource("tiny", "1", "0" * 64)
KINDS = {
    "ridge, Cole": ("brain-age", Recipe("ridge", bias_correction="cole")),
    "ridge without confounds, Beheshti": (
        "brain-age",
        Recipe(confounds=("sex",), bias_correction="beheshti"),
    ),
    "logistic with ComBat, Platt": ("autism", Recipe("logistic", harmonize="combat", calibration="platt")),
    "logistic, three classes, isotonic": ("dementia", Recipe(calibration="isotonic")),
    "xgboost, number": ("brain-age", Recipe("xgboost", {"rounds": [3, 6], "depths": [2], "n_jobs": 1})),
    "xgboost, two classes": ("autism", Recipe("xgboost", {"rounds": [3, 6], "depths": [2]})),
    "xgboost, three classes": ("dementia", Recipe("xgboost", {"rounds": [3, 6], "depths": [2]})),
    "mlp, number": ("brain-age", Recipe("mlp", {"hidden": [4], "components": 4, "max_steps": 20})),
    "mlp, classes": ("autism", Recipe("mlp", {"hidden": [4], "components": 4, "max_steps": 20})),
    "attention, number": ("brain-age", Recipe("attention", {"steps": [5], "alphas": [1.0], "components": 4})),
    "attention, three classes": (
        "dementia",
        Recipe("attention", {"steps": [5], "alphas": [1.0], "components": 4}),
    ),
    "knn, number": ("brain-age", Recipe("knn", {"components": 4})),
    "knn, three classes": ("dementia", Recipe("knn", {"components": 4})),
}
CLASSES = {"dementia": ("cn", "mci", "ad"), "autism": ("control", "autism")}


def table() -> pd.DataFrame:
    """Labels of every task, by seed."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "study": [f"sub-{i:02d}" for i in range(N)],
            "age": rng.uniform(20, 80, N).round(1),
            "sex": rng.choice(["F", "M"], N),
            "site": rng.choice(["Guys", "HH"], N),
            "autism": rng.choice(["control", "autism"], N),
            "dementia": rng.choice(["cn", "mci", "ad"], N),
        }
    )


def vectors(frame: pd.DataFrame) -> np.ndarray:
    """(N, D) numbers that tell all of the labels, with noise."""
    told = np.column_stack(
        [
            (frame["age"] - 50) / 10,
            frame["autism"] == "autism",
            frame["dementia"].map({"cn": 0, "mci": 1, "ad": 2}),
            frame["site"] == "HH",
        ]
    ).astype(float)
    noise = np.random.default_rng(1).normal(size=(len(frame), D))
    noise[:, : told.shape[1]] += 2 * told
    return noise.astype(np.float32)


def as_bags(features: Features) -> Features:
    """The same studies with two series each, whose mean is the study's vector."""
    noise = np.random.default_rng(2).normal(size=features.X.shape).astype(np.float32)
    values = np.stack([features.X + noise, features.X - noise], axis=1).reshape(-1, features.X.shape[1])
    columns = {"series": np.tile([0, 1], N), "name": np.tile(np.array(["T1w", "FLAIR"], dtype=object), N)}
    bags, rows = Bags.of(values, np.repeat(np.arange(N), 2), columns)
    return Features(bags.means(), rows, replace(features.source, level="series"), bags)


@cache
def fitted(kind: str) -> tuple[Probe, Features, pd.DataFrame]:
    """A probe of this kind, with what it was fitted on."""
    name, recipe = KINDS[kind]
    frame = table()
    frame["target"] = frame["age"] if name == "brain-age" else frame[name]
    features = Features.of(vectors(frame), SOURCE)
    if recipe.reads_bags:
        features = as_bags(features)
    return Probe(tasks.get(name, CLASSES.get(name, ())), recipe).fit(features, frame), features, frame


@pytest.fixture(params=KINDS)
def any_probe(request: pytest.FixtureRequest) -> tuple[Probe, Features, pd.DataFrame]:
    """A fitted probe of each kind, with what it was fitted on."""
    return fitted(request.param)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a probe of the kind that is named."""
    return lambda kind: fitted(kind)[0].save(tmp_path / "probe")


@pytest.fixture
def tamper() -> Callable[..., None]:
    """Changes probe.json as an attacker would: the checksums are those of the files as they are now."""

    def change(folder: Path, edit: Callable[[dict[str, Any]], Any] = lambda document: None) -> None:
        path = folder / "probe.json"
        document = json.loads(path.read_text())
        edit(document)
        for name in document.get("files", {}):
            document["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(document))

    return change
