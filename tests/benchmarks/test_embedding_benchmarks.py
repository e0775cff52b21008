"""The embedding benchmarks run, at small sizes, and their ways agree."""

import json
import runpy
import shutil
import subprocess
import sys
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


def run(script: str, *options: str) -> dict[str, Any]:
    """What a run prints: one JSON object and nothing else."""
    command = [sys.executable, str(FOLDER / script), "--json", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_all_ways_of_embedding_a_study_agree() -> None:
    result = run("embed.py", "--quick")
    assert result["subvolumes"]["all"] > result["subvolumes"]["kept"]
    assert result["largest_relative_difference"]["fp32"] < 1e-5
    assert 0.999 < result["cosine"]["bf16"] < 1
    assert set(result["times_as_fast_as_plain"]) == {"plain", "filtered", "fp32", "bf16"}


def test_the_gpu_benchmark_runs_on_any_device() -> None:
    result = run("gpu.py", "--quick")
    assert result["studies"] == 2
    assert result["cosine_to_cpu_fp32"] > 0.999
    assert 0 < result["gpu_busy"] <= 1
    assert result["tokens_per_second"] > 0


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc")
def test_the_cohort_is_embedded_and_watched() -> None:
    part = run("cohort.py", "--studies", "12", "--workers", "1")["workers 1"]
    assert part["studies"] == 12
    assert 0 <= part["waits_for_input"] < 1
    assert part["times"]["read"] > 0
    assert part["peak_ratio"] >= 1


def test_reading_is_compared_with_nibabel() -> None:
    result = run("read.py", "--quick")
    assert result["shape"] == [16, 46, 52]
    assert result["subvolumes"] > 0
    assert set(result["prima_over"]) == {"get_fdata", "get_fdata float32"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_finding_is_timed_on_trees_of_every_maker() -> None:
    result = run("index.py", "--sessions", "8", "--slices", "1600", "--repeats", "1")
    bids, dicom = result["bids"]["full"], result["dicom"]["full"]
    assert (bids["files"], bids["studies"], bids["series"], bids["left_out"]) == (32, 8, 16, 0)
    assert (dicom["files"], dicom["studies"], dicom["series"], dicom["left_out"]) == (1600, 8, 40, 0)


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
