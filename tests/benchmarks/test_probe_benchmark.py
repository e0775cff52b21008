"""The probes' benchmark runs, and both sides of each comparison predict the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "probes.py"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """What a quick run prints: one JSON object and nothing else."""
    command = [sys.executable, str(SCRIPT), "--quick", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_it_says_what_it_ran_on(result: dict[str, Any]) -> None:
    assert result["cores"] >= 1
    assert result["processor"]
    assert set(result["versions"]) == {"numpy", "scipy", "scikit-learn", "xgboost"}


@pytest.mark.parametrize("shape", ["wide", "tall"])
def test_nested_ridge_predicts_what_the_plain_pipeline_predicts(result: dict[str, Any], shape: str) -> None:
    part = result["ridge"][shape]
    assert (part["shape"][0] < part["shape"][1]) == (shape == "wide")
    assert part["seconds"] > 0
    assert set(part["plain"]) == {"float32", "float64"}
    for plain in part["plain"].values():
        assert plain["same_alphas"]
        assert plain["largest_difference"] < 1e-4
        assert plain["ratio"] == pytest.approx(plain["seconds"] / part["seconds"])


def test_nested_logistic_regression_predicts_what_the_plain_pipeline_predicts(result: dict[str, Any]) -> None:
    assert len(result["logistic"]) == 4
    for part in result["logistic"].values():
        assert part["same_penalties"]
        assert part["largest_difference"] < 1e-3
        assert part["cpu_ratio"] == pytest.approx(part["plain_cpu_seconds"] / part["cpu_seconds"])


def test_the_whole_command_is_measured(result: dict[str, Any]) -> None:
    assert list(result["command"]) == ["60 x 30"]
    for part in result["command"].values():
        assert part["cpu_seconds"] > 0
        assert part["auroc"] > 0.5


@pytest.mark.parametrize("name", ["large", "large-logistic"])
def test_the_large_run_counts_its_own_memory(result: dict[str, Any], name: str) -> None:
    part = result[name]
    assert part["data_bytes"] == 4 * part["shape"][0] * part["shape"][1]
    assert part["peak_bytes"] >= part["data_bytes"]
    assert part["peak_over_data"] == pytest.approx(part["peak_bytes"] / part["data_bytes"])
    assert len(part["penalties"]) == 5
    assert part["pearson_r"] > 0.3


def test_the_xgboost_probe_predicts_what_xgboost_predicts(result: dict[str, Any]) -> None:
    part = result["xgboost"]
    assert part["largest_difference"] == 0
    assert part["same_choices"]
    assert part["ratio"] == pytest.approx(part["seconds"] / part["plain_seconds"])
