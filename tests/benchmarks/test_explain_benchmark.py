"""The measurement of explanations on known lesions, in small."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from prima_features.explain.methods import Attribution

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("explain_benchmark", BENCHMARKS / "explain.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["explain_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def test_a_map_is_scored_against_the_lesion(benchmark: ModuleType) -> None:
    truth = np.array([False, True, True, False])
    assert benchmark.auroc(truth, np.array([0.1, 0.9, 0.8, 0.2])) == 1
    assert benchmark.auroc(truth, np.array([0.9, 0.1, 0.2, 0.8])) == 0


def test_coverage_compares_two_runs_with_both_spreads(benchmark: ModuleType) -> None:
    def run(values: list[float]) -> Attribution:
        return Attribution("lime", np.array(values), np.full(3, 3.0), np.arange(3))

    assert benchmark.covered(run([0, 0, 0]), run([4.0, 4.5, -9])) == round(1 / 3, 4)


def test_the_explained_series_is_recognised_by_its_name(benchmark: ModuleType) -> None:
    for name in ("t2_tirm_tra_dark_fluid", "T2W_FLAIR_AX", "Ax_FLAIR-BRAIN_W_WO-Protocol"):
        assert benchmark._is(name, "FLAIR")
        assert not benchmark._is(name, "DWI")
    assert not benchmark._is("t1_mpr_ns_sag_p2_iso", "FLAIR")
    assert benchmark._is("sDWI_SSh_TRA", "DWI")
