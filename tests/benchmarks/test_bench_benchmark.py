"""The coverage benchmark of paired differences in small."""

import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_intervals_of_paired_differences_contain_the_truth() -> None:
    measure = runpy.run_path(str(BENCHMARKS / "bench_coverage.py"))["measure"]
    equal, different = measure(20, 60, "number")
    assert min(equal["coverage"], different["coverage"]) >= 0.8
    assert abs(equal["true"]) < 1 < abs(different["true"])
    assert equal["significant"] <= 0.2
