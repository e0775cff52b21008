"""The benchmark of synthetic studies measures every step."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "synth.py"


def test_each_step_of_a_study_is_measured_by_both_clocks() -> None:
    spec = importlib.util.spec_from_file_location("synth_benchmark", SCRIPT)
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    study = benchmark.one_study(0, "cpu")
    for clock in ("cpu", "wall"):
        assert set(study[clock]) == set(benchmark.STEPS)
        means = benchmark.mean_of([study], clock)
        whole = sum(seconds for step, seconds in study[clock].items() if step != "dicom")
        assert abs(means["whole_bids"] - whole) < 0.01
    assert study["voxels"] > 1e6
