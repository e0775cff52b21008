"""The embedding benchmarks run, at small sizes, and their ways agree."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def suite(tmp_path: Path, study_a: Path) -> Path:
    """A suite of one DICOM series and what dcm2niix makes of it."""
    from dcm2niix import bin as dcm2niix

    (tmp_path / "suite" / "Ref").mkdir(parents=True)
    shutil.copytree(min(path for path in study_a.iterdir() if path.is_dir()), tmp_path / "suite" / "In")
    command = [dcm2niix, "-z", "n", "-o", str(tmp_path / "suite" / "Ref"), str(tmp_path / "suite" / "In")]
    subprocess.run(command, check=True, capture_output=True)
    return tmp_path


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script here. What it prints is one JSON object and nothing else."""

    def ran(script: str, *options: str) -> dict[str, Any]:
        monkeypatch.syspath_prepend(FOLDER)  # as for a script that is started
        monkeypatch.setattr(sys, "argv", [script, "--json", *options])
        runpy.run_path(str(FOLDER / script), run_name="__main__")
        return json.loads(capsys.readouterr().out)

    return ran


def test_all_ways_of_embedding_a_study_agree(run: Run) -> None:
    result = run("embed.py", "--quick")
    assert result["subvolumes"]["all"] > result["subvolumes"]["kept"]
    assert result["largest_relative_difference"]["fp32"] < 1e-5
    assert 0.999 < result["cosine"]["bf16"] < 1
    assert set(result["times_as_fast_as_plain"]) == {"plain", "filtered", "fp32", "bf16"}


def test_resources_of_a_study_are_measured(run: Run, study_a: Path) -> None:
    result = run("resources.py", str(study_a), "--quick", "--precision", "fp32")["fp32"]
    assert (result["studies"], result["series"]) == (1, 5)
    assert result["tokens"] >= result["subvolumes"] > 0
    assert 500 * result["tokens"] < result["token_bytes"] < result["file_bytes"]
    assert result["peak_mb"] > 100


def test_the_gpu_benchmark_runs_on_any_device(run: Run) -> None:
    result = run("gpu.py", "--quick")
    assert result["studies"] == 2
    assert result["cosine_to_cpu_fp32"] > 0.999
    assert 0 < result["gpu_busy"] <= 1
    assert result["tokens_per_second"] > 0


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc")
def test_the_cohort_is_embedded_and_watched() -> None:
    command = [sys.executable, str(FOLDER / "cohort.py"), "--json", "--studies", "6", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    part = json.loads(done.stdout)["workers 1"]
    assert part["studies"] == 6
    assert 0 <= part["waits_for_input"] < 1
    assert part["times"]["read"] > 0
    assert part["peak_ratio"] >= 1


def test_reading_is_compared_with_nibabel(run: Run) -> None:
    result = run("read.py", "--quick")
    assert result["shape"] == [16, 46, 52]
    assert result["subvolumes"] > 0
    assert set(result["prima_over"]) == {"get_fdata", "get_fdata float32"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_finding_is_timed_on_trees_of_every_maker(run: Run) -> None:
    result = run("index.py", "--sessions", "8", "--slices", "800", "--repeats", "1")
    bids, dicom = result["bids"]["full"], result["dicom"]["full"]
    assert (bids["files"], bids["studies"], bids["series"], bids["left_out"]) == (32, 8, 16, 0)
    assert (dicom["files"], dicom["studies"], dicom["series"], dicom["left_out"]) == (800, 4, 20, 0)
    assert "with_index" not in result["dicom"]


@pytest.mark.slow
def test_finding_with_an_index_is_timed(run: Run) -> None:
    result = run("index.py", "--only", "dicom", "--slices", "1000", "--repeats", "1")["dicom"]
    assert (result["with_index"]["studies"], result["with_index"]["series"]) == (5, 25)
    assert (result["with_index_grown"]["studies"], result["with_index_grown"]["files"]) == (6, 1200)


def test_a_public_suite_is_compared_voxel_by_voxel(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(FOLDER / "dcm_qa.py"))["main"]
    monkeypatch.setattr(sys, "argv", ["dcm_qa.py", "--json", str(suite)])
    assert main() == 0
    (row,) = json.loads(capsys.readouterr().out)["series"]
    assert (row["verdict"], row["voxels_differing"]) == ("equal", 0)
    (path,) = (suite / "suite" / "Ref").glob("*.nii")
    image = nib.load(path)
    values = np.asanyarray(image.dataobj).copy()
    values[50:60, 50:60, 5:9] += 300
    nib.save(nib.Nifti1Image(values, image.affine, image.header), path)
    assert main() == 1
    assert json.loads(capsys.readouterr().out)["series"][0]["verdict"] == "differs"


def test_parts_are_merged_and_the_report_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", os.fsync)  # which the script replaces
    result = run("merge.py", "--parts", "3")
    assert (result["parts"], result["merge_peak_mb"] > 0, result["page_peak_mb"] > 0) == (3, True, True)


def test_all_parts_of_a_large_run_are_measured(run: Run) -> None:
    parts = run("scale.py", "--quick")["parts"]
    assert {name.split()[0] for name in parts} == {
        *("keep", "resume", "merge", "inspect", "report", "plan", "ids", "compare", "bids", "dicom", "sync")
    }
    assert all(one["cpu_s"] >= 0 for part in parts.values() for one in part["measured"])
    assert not any("at_a_million" in name for part in parts.values() for name in part), "sizes are too small"
