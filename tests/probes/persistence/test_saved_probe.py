"""A probe that is saved and read again is the same probe."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from prima_features.errors import OutputError, UsageError
from prima_features.probes import Features, FeatureSource, Probe
from prima_features.probes.evaluation import EvaluationPlan
from prima_features.probes.persistence import Extras

AnyProbe = tuple[Probe, Features, pd.DataFrame]


def test_it_predicts_the_same_bits(any_probe: AnyProbe, tmp_path: Path) -> None:
    probe, features, frame = any_probe
    again = Probe.load(probe.save(tmp_path / "probe"))
    expected, found = probe.predict(features, frame), again.predict(features, frame)
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    assert found.warnings == expected.warnings


def test_saving_what_was_read_gives_the_same_files(any_probe: AnyProbe, tmp_path: Path) -> None:
    first = any_probe[0].save(tmp_path / "first")
    second = Probe.load(first).save(tmp_path / "second")
    for path in first.iterdir():
        if path.name == "probe.json":
            one, other = (json.loads((folder / path.name).read_text()) for folder in (first, second))
            assert one | {"created": ""} == other | {"created": ""}
        else:
            assert (second / path.name).read_bytes() == path.read_bytes(), path.name


def test_every_file_is_of_a_format_that_cannot_hold_code(any_probe: AnyProbe, tmp_path: Path) -> None:
    readers = {".json": lambda path: json.loads(path.read_text()), ".safetensors": load_file}
    for path in any_probe[0].save(tmp_path / "probe").iterdir():
        assert path.suffix in {".json", ".safetensors", ".md", ".txt"}
        readers.get(path.suffix, Path.read_text)(path)


def test_it_takes_only_embeddings_of_its_own_model(saved: Callable[[str], Path]) -> None:
    probe = Probe.load(saved("ridge, Cole"))
    X = np.zeros((2, 6), np.float32)
    frame = pd.DataFrame({"study": ["a", "b"]})
    with pytest.raises(UsageError, match="fitted on embeddings of tiny"):
        probe.predict(Features.of(X, FeatureSource("tiny", "1", "f" * 64)), frame)
    with pytest.raises(UsageError, match="level study"):
        probe.predict(Features.of(X, FeatureSource("tiny", "1", "0" * 64, "series", "T1w")), frame)
    with pytest.raises(UsageError, match="6 features per study, but these have 5"):
        probe.predict(Features.of(X[:, :5], FeatureSource("tiny", "1", "0" * 64)), frame)


def test_a_newer_version_is_refused_with_what_to_do(
    saved: Callable[[str], Path], tamper: Callable[..., None]
) -> None:
    folder = saved("ridge, Cole")
    tamper(folder, lambda document: document.update(format_version=6))
    with pytest.raises(UsageError, match=r"format version 6.*pip install --upgrade"):
        Probe.load(folder)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_probe_of_an_earlier_version_is_read(
    saved: Callable[[str], Path], tamper: Callable[..., None], version: int
) -> None:
    folder = saved("ridge, Cole")

    def older(document: dict[str, Any]) -> None:
        document["format_version"] = version
        del document["training"]["source"]["change"]
        if version == 4:
            return
        del document["curve"], document["task"]["scale"], document["task"]["horizons"]
        if document["training"]["covariates"]:
            del document["training"]["covariates"]["curve"]
        if version == 2:
            del document["training"]["source"]["citation"]

    tamper(folder, older)
    assert Probe.load(folder).fitted.training.source == FeatureSource("tiny", "1", "0" * 64)


def test_a_baseline_of_covariates_that_does_not_fit_the_task_is_refused(
    saved: Callable[[str], Path], tamper: Callable[..., None]
) -> None:
    folder = saved("ridge, Cole")
    of = {
        "names": ["sex"],
        "typical": [0.5],
        "intercept": [1.0],
        "decision": {"threshold": 0.5, "frequency": [], "cuts": [], "thresholds": []},
        "curve": {"times": [], "hazard": [], "limits": []},
    }
    for coefficients in ([[1.0], [2.0]], [[1.0, 2.0]], []):
        baseline = of | {"coefficients": coefficients}
        tamper(folder, lambda document, baseline=baseline: document["training"].update(covariates=baseline))
        with pytest.raises(UsageError, match="do not fit together: the probe is damaged"):
            Probe.load(folder)


def test_evaluation_is_written_beside_it(any_probe: AnyProbe, tmp_path: Path) -> None:
    probe, features, frame = any_probe
    evaluation = probe.cross_validate(features, frame, EvaluationPlan(n_bootstrap=20, site_check=False))
    folder = probe.save(tmp_path / "probe", Extras(evaluation))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["metrics"]) == set(probe.task.metrics)
    assert set(metrics["metrics"][probe.task.primary]) == {"value", "ci_low", "ci_high"}
    assert "dummy" in metrics["baselines"]
    predictions = pd.read_csv(folder / "predictions.tsv", sep="\t")
    assert list(predictions["study"]) == list(frame["study"])
    card = (folder / "README.md").read_text()
    assert str(evaluation.metrics[probe.task.primary]) in card
    assert "Not a medical device" in card.split("---\n")[2].splitlines()[0]


def test_what_is_shared_names_no_subject(any_probe: AnyProbe, tmp_path: Path) -> None:
    probe, features, frame = any_probe
    evaluation = probe.cross_validate(features, frame, EvaluationPlan(n_bootstrap=20, site_check=False))
    folder = probe.save(tmp_path / "probe", Extras(evaluation))
    for name in ("probe.json", "metrics.json", "README.md"):
        assert "sub-" not in (folder / name).read_text()
    assert not json.loads((folder / "probe.json").read_text())["training"]["subject_digests"]
    assert Probe.load(folder).fitted.training.subject_digests == probe.fitted.training.subject_digests


def test_a_folder_that_holds_something_is_left_alone(saved: Callable[[str], Path]) -> None:
    folder = saved("ridge, Cole")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    probe = Probe.load(folder)
    with pytest.raises(UsageError, match="is not an empty folder"):
        probe.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    probe.save(folder, Extras(overwrite=True))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_cannot_be_written_leaves_nothing(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe.load(saved("ridge, Cole"))
    there = tmp_path / "full"
    there.symlink_to("/proc/self")
    if not stat.S_ISDIR(there.stat().st_mode):
        pytest.skip("needs /proc, a folder that takes no files")
    with pytest.raises(OutputError, match="cannot be written"):
        probe.save(there / "probe")


def test_a_probe_that_is_not_fitted_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not fitted"):
        Probe("autism").save(tmp_path / "probe")
    assert not list(tmp_path.iterdir())
