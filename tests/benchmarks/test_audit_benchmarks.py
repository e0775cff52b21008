"""The audit's coverage benchmark in small."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_coverage", BENCHMARKS / "audit_coverage.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit_coverage"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("place", [0, 1])
def test_intervals_contain_the_truth_about_as_often_as_they_say(benchmark: ModuleType, place: int) -> None:
    setting = benchmark.SETTINGS[place]
    lines = benchmark.coverage(setting, 30)
    assert {"auroc", "tpr", "ppv", "gap_tpr", "gap_auroc", "macro_auroc"} <= {
        line["number"] for line in lines
    }
    # 30 cohorts: a true coverage of 0.95 gives fewer than 25 in one of 600 cases per number.
    # Lines of gaps have the share of cohorts with a significant one instead.
    low = [line["number"] for line in lines if "share" not in line and line["coverage"] < 24 / 30]
    assert not low
