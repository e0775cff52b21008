"""What is read next to the vectors: the cost of a scan, and which file disagrees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from prima_features.bench.inputs import Cost, read_shared
from prima_features.embedding.record.run_file import run_path
from prima_features.errors import UsageError
from tests.bench.conftest import write_vectors

IDS = [("a", "1"), ("b", "1"), ("c", "1")]


def run_file(path: Path, share: float = 1, **counts: float) -> None:
    """A run file of two runs that took 30 s for so many series, with this share of the work of several models."""
    record = {
        "id": "0", "kind": "embed", "started": "2026-01-01", "ended": "finished", "settings_hash": "x",
        "seconds": 15.0, "counts": {"embedded": 3, **counts}, "stages": {"prepare": 1.0},
        "machine": {"processor": "a processor", "cores": 2}, "options": {"devices": ["cpu"]}, "share": share,
    }  # fmt: skip
    document = {
        "format": "prima-run", "format_version": 2, "left_out": [], "runs": [record, record],
        "total": {"seconds": 30.0, "counts": {"embedded": 3, **counts}, "stages": {}},
    }  # fmt: skip
    run_path(path).write_text(json.dumps(document))


def test_the_time_per_scan_is_that_of_all_runs_over_the_series(tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "a.h5", IDS, np.eye(3))
    assert np.isnan(Cost.of(path).seconds), "no run file"
    run_file(path, series=12)
    cost = Cost.of(path)
    assert cost.seconds == 2.5 and np.isnan(cost.gflop)
    assert cost.machine == "a processor (2 cores)"
    run_file(path, series=12, gflop=240.0)
    assert Cost.of(path).gflop == 20
    run_file(path, share=0.25, series=12)  # runs of several models
    assert Cost.of(path).seconds == 0.625
    run_file(path, share=2, series=12)
    assert np.isnan(Cost.of(path).seconds), "no share"
    run_path(path).write_text("{")
    assert np.isnan(Cost.of(path).seconds)


def test_files_that_name_other_subjects_for_a_study_are_refused(tmp_path: Path) -> None:
    one = write_vectors(tmp_path / "a.h5", IDS, np.eye(3))
    other = write_vectors(tmp_path / "b.h5", IDS, np.eye(3))
    import h5py

    with h5py.File(other, "r+") as file:
        file["study/subject"][1] = "z"
    with pytest.raises(UsageError, match="A and B name different subjects for the study sub-b_ses-1"):
        read_shared({"A": one, "B": other})
    with pytest.raises(UsageError, match="give the embeddings files to compare"):
        read_shared({})


def test_mean_vectors_of_series_can_be_compared(tmp_path: Path) -> None:
    one = write_vectors(tmp_path / "a.h5", IDS, np.eye(3))
    found = read_shared({"A": one}, "series", "T1")
    np.testing.assert_array_equal(found.encoders[0].X, np.eye(3))
    assert found.encoders[0].source.level == "series"
