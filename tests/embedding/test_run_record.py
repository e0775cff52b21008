"""What a run leaves of itself: records in the parts, and one file of them all."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prima_features.embedding.record.journal import Journal, PeakMemory
from prima_features.embedding.record.run_file import grouped, read_run_file, records_in
from prima_features.embedding.report.course import course
from prima_features.errors import StoppedError
from prima_features.studies.study import Failure


def test_a_record_is_there_while_the_run_goes_on_and_tells_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prima_features.embedding.record.journal._SAVE_INTERVAL", 0.0)
    with pytest.raises(StoppedError), Journal(tmp_path, "s", {"shard": "2/3"}) as journal:
        journal.study_done(4, here=True)
        (killed_now,) = records_in(tmp_path, "s")
        journal.study_done(0, here=True)
        journal.study_done(3, here=False)
        journal.times.read += 2.5
        raise StoppedError("stop")
    assert killed_now["ended"] == "running"
    assert killed_now["counts"]["embedded"] == 1
    (record,) = records_in(tmp_path, "s")
    assert (record["ended"], record["shard"]) == ("stopped", "2/3")
    expected = {"embedded": 1, "failed": 1, "kept": 1, "series": 4, "items": 0, "tokens": 0, "gflop": 0.0}
    assert record["counts"] == expected
    assert record["stages"]["read"] == 2.5
    assert record["id"] == killed_now["id"]
    assert records_in(tmp_path, "other settings") == []


def test_records_of_earlier_releases_that_count_subvolumes_are_read(tmp_path: Path) -> None:
    stages = {"read": 1.0, "tokenizer": 2.0, "encode": 0.0}
    total = {"seconds": 3.0, "counts": {"embedded": 1, "subvolumes": 640}, "stages": stages}
    old = total | {"id": "a", "kind": "embed", "started": "2025", "ended": "finished", "settings_hash": "s"}
    old |= {"per_minute": {"studies": 20.0, "subvolumes": 12800.0}}
    (tmp_path / "a.run").write_text(json.dumps(old))
    (record,) = records_in(tmp_path, "s")
    document = {"format": "prima-run", "format_version": 1, "total": total, "runs": [old], "left_out": []}
    (tmp_path / "out.run.json").write_text(json.dumps(document))
    read = read_run_file(tmp_path / "out.h5")
    assert read["runs"] == [record]
    assert record["counts"] == read["total"]["counts"] == {"embedded": 1, "items": 640}
    assert (record["per_minute"]["items"], record["unit"]) == (12800.0, "subvolumes")
    assert "gflop" not in read["total"]["counts"]  # unknown
    assert "The tokenizer encoded 640 subvolumes, 320 per second" in course(read).sentence


def test_a_record_does_not_bring_back_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    with Journal(folder, "s", {}) as journal:
        journal.save("running")
        (file,) = folder.iterdir()
        file.unlink()
        folder.rmdir()
    assert not folder.exists()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc")
def test_peak_memory_counts_what_child_processes_hold() -> None:
    memory = PeakMemory(pause=0.01)
    memory.look()
    alone = memory.bytes
    code = "held = b'x' * 200_000_000; import sys; print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        memory.start()
        time.sleep(0.1)
    finally:
        child.communicate()
    memory.stop()
    assert memory.bytes - alone > 150_000_000


def test_reasons_that_differ_by_a_number_are_one() -> None:
    failures = [
        Failure("a", "T1w", "read", "3.5% of its voxels are NaN", "replace them"),
        Failure("a", "T2w", "read", "12% of its voxels are NaN", "replace them"),
        Failure("b", "T1w", "read", "12% of its voxels are NaN", "replace them"),
        Failure("c", "", "read", "the file is empty", "fetch it again"),
        *[Failure("", f"{i}", "find", "functional", defect=False) for i in range(9)],
    ]
    nan, empty, functional = grouped(failures)
    assert (nan.reason, nan.rows, nan.studies) == ("\u2026% of its voxels are NaN", 3, ("a", "b"))
    assert (empty.reason, empty.rows) == ("the file is empty", 1)
    assert (functional.by_design, functional.rows, functional.studies) == (True, 9, ())
