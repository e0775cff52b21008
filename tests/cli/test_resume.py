"""Long runs: finished work is kept, what changed is made again, and whoever stops the run loses little."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features import embed
from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.resume.claims import Claims
from prima_features.errors import SourceError
from prima_features.volumes.read import READER_VERSION

from .conftest import dataset

Same = Callable[[Path, Path], None]
T1W = "sub-01/anat/sub-01_T1w.nii.gz"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "prima_features.cli.main", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def wait_for(found: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not list(found.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def with_more(bids: Path) -> Path:
    """The dataset with five more subjects; with --batch-size 1 the engine encodes them one by one."""
    for number in range(3, 8):
        target = bids / f"sub-{number:02}" / "anat"
        target.mkdir(parents=True)
        shutil.copy(bids / T1W, target / f"sub-{number:02}_T1w.nii.gz")
    return bids


@pytest.fixture
def many(bids: Path) -> Path:
    """Eight studies of the test's own."""
    return with_more(bids)


@pytest.fixture(scope="session")
def whole_many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run makes of them."""
    folder = tmp_path_factory.mktemp("many")
    assert run("embed", with_more(dataset(folder / "bids")), folder / "whole.h5", "--workers", 0) == 0
    return folder / "whole.h5"


def test_a_second_run_has_nothing_to_do_and_leaves_the_file_alone(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output) == 0
    before = output.stat()
    said(capsys)
    assert run("embed", bids, output) == 0
    assert "3 studies with 6 series, 3 of them from an earlier run" in said(capsys)
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / "out.h5.parts").exists()


def test_only_what_is_new_or_changed_is_embedded(
    bids: Path, tmp_path: Path, assert_same: Same, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output) == 0
    values = np.random.default_rng(99).integers(0, 900, (32, 32, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), bids / T1W)
    (bids / "sub-00" / "anat").mkdir(parents=True)
    shutil.copy(bids / T1W, bids / "sub-00" / "anat" / "sub-00_T1w.nii.gz")
    said(capsys)
    assert run("embed", bids, output) == 0
    assert "4 studies with 7 series, 2 of them from an earlier run" in said(capsys)
    assert run("embed", bids, tmp_path / "whole.h5") == 0
    assert_same(output, tmp_path / "whole.h5")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], ["--study-description", "HEAD"]),
        ([], ["--level", "token"]),
        ([], ["--precision", "bf16"]),
        ([], ["--force"]),
        (["--dtype", "float16"], []),
    ],
)
def test_other_settings_and_force_keep_nothing(
    bids: Path, tmp_path: Path, first: list[str], second: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output, *first) == 0
    said(capsys)
    assert run("embed", bids, output, *second) == 0
    assert "kept" not in said(capsys)
    assert read_embeddings(output).has_tokens == ("token" in second)
    assert read_embeddings(output).study_embedding.dtype == np.float32


def test_studies_embedded_by_an_older_reader_are_embedded_again(
    bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("embed", bids, tmp_path / "out.h5", "--participant-label", "01", "--workers", 0)
    with monkeypatch.context() as older:
        older.setattr("prima_features.embedding.run.READER_VERSION", READER_VERSION - 1)
        assert run(*arguments) == 0
    said(capsys)
    assert run(*arguments) == 0
    assert "kept" not in said(capsys)


def test_what_failed_is_remembered_until_it_is_to_be_tried_again(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, scan = tmp_path / "out.h5", bids / T1W
    sound, state = scan.read_bytes(), scan.stat()

    def put(content: bytes) -> None:
        """Other content behind the same size and time: a fault that was not the scan's."""
        scan.write_bytes(content)
        os.utime(scan, ns=(state.st_atime_ns, state.st_mtime_ns))

    put(bytes(len(sound)))
    assert run("embed", bids, output) == 3
    put(sound)
    said(capsys)
    assert run("embed", bids, output) == 3
    assert "3 studies with 5 series, 3 of them from an earlier run" in said(capsys)
    assert run("embed", bids, output, "--retry-failed") == 0
    assert "3 studies with 6 series, 2 of them from an earlier run" in said(capsys)
    assert len(read_embeddings(output).failures) == 0


def test_fail_fast_stops_at_the_first_scan_that_fails_and_goes_on_when_it_is_mended(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, scan = tmp_path / "out.h5", bids / "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz"
    state, sound = scan.stat(), scan.read_bytes()
    scan.write_bytes(bytes(len(sound)))
    assert run("embed", bids, output, "--fail-fast") == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("Error: Stopped at the first failure (--fail-fast): sub-02_ses-a T1w: ")
    assert not output.exists()
    scan.write_bytes(sound)
    os.utime(scan, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run("embed", bids, output, "--fail-fast") == 0
    assert "1 of them from an earlier run" in said(capsys)


@pytest.mark.parametrize(("number", "code", "workers"), [(signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 0)])
def test_a_signal_ends_the_run_in_good_order_and_the_same_command_goes_on(
    many: Path, whole_many: Path, tmp_path: Path, assert_same: Same, number: int, code: int, workers: int
) -> None:
    output, folder = tmp_path / "out.h5", tmp_path / "out.h5.parts"
    process = start("embed", many, output, "--batch-size", 1, "--workers", workers)
    wait_for(folder, "*.safetensors", process)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code, errors
    last = errors.splitlines()[-1]
    n_finished = len(list(folder.glob("*.safetensors")))
    assert last.startswith(f"Stopped: {n_finished} of 8 studies are finished and kept in {folder}")
    assert last.endswith("run the same command again to continue")
    assert not output.exists() and not list(folder.glob("*.claim")) and not list(folder.glob("*.worker"))
    assert run("embed", many, output) == 0
    assert_same(output, whole_many)


def test_two_processes_share_one_output_and_both_end_with_it_complete(
    many: Path, whole_many: Path, tmp_path: Path, assert_same: Same
) -> None:
    output = tmp_path / "out.h5"
    pair = [start("embed", many, output, "--batch-size", 1, "--workers", 0) for _ in range(2)]
    told = [process.communicate() for process in pair]
    assert [process.returncode for process in pair] == [0, 0], told
    assert all("8 studies with 11 series" in out for out, _ in told)
    assert not (tmp_path / "out.h5.parts").exists()
    assert_same(output, whole_many)


def test_a_process_joins_although_another_ended_and_removed_the_parts_in_between(
    many: Path, whole_many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same: Same
) -> None:
    output, folder = tmp_path / "out.h5", tmp_path / "out.h5.parts"
    announce, counts = Claims.announce, []

    def announce_late(claims: Claims, plan: str, shard: str) -> None:
        monkeypatch.undo()
        assert folder.is_dir()
        counts.append(run("embed", many, output))
        assert not folder.exists()
        announce(claims, plan, shard)

    monkeypatch.setattr(Claims, "announce", announce_late)
    counts.append(run("embed", many, output))
    assert counts == [0, 0]
    assert not folder.exists()
    assert_same(output, whole_many)


def test_nothing_is_written_to_the_parts_after_a_process_withdrew(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may be removing the folder then, and a late file would make it stay."""
    output, folder = tmp_path / "out.h5", tmp_path / "out.h5.parts"
    left: list[set[tuple[str, int]]] = []

    def content() -> set[tuple[str, int]]:
        return {(path.name, path.stat().st_mtime_ns) for path in folder.iterdir() if path.suffix != ".worker"}

    def withdraw(claims: Claims) -> None:
        original(claims)
        left.append(content())

    original = Claims.withdraw
    folder.mkdir()
    with Claims(folder):  # a process that is still at work
        monkeypatch.setattr(Claims, "withdraw", withdraw)
        assert run("embed", many, output) == 0
        assert content() <= left[0]
        monkeypatch.undo()
    assert any(name.endswith(".run") for name, _ in left[0])


def test_a_process_beside_one_with_other_settings_is_refused_and_beside_a_dead_one_goes_on(
    many: Path, whole_many: Path, tmp_path: Path, assert_same: Same, capsys: pytest.CaptureFixture[str]
) -> None:
    output, folder = tmp_path / "out.h5", tmp_path / "out.h5.parts"
    process = start("embed", many, output, "--batch-size", 1, "--workers", 0)
    wait_for(folder, "*.safetensors", process)
    process.send_signal(signal.SIGSTOP)
    assert run("embed", many, output, "--level", "token") == 2
    assert f"process {process.pid} on " in capsys.readouterr().err
    process.kill()
    process.communicate()
    assert list(folder.glob("*.claim"))
    assert run("embed", many, output) == 0
    assert not folder.exists()
    assert_same(output, whole_many)


def test_a_source_that_goes_away_stops_the_run_and_nothing_counts_as_failed(
    bids: Path, tmp_path: Path
) -> None:
    output, away = tmp_path / "out.h5", tmp_path / "away"
    asked = []

    def unmount() -> bool:
        """Asked after each study that is read: takes the scans away after the first."""
        asked.append(1)
        if len(asked) == 3:
            bids.rename(away)
            bids.mkdir()
        return False

    with pytest.raises(SourceError, match="the source no longer exists"):
        embed(bids, output, stoppable=nullcontext(unmount))
    assert not output.exists()
    bids.rmdir()
    away.rename(bids)
    summary = embed(bids, output)
    assert (summary.n_studies, summary.failures) == (3, ())


def test_a_scan_that_changes_while_it_is_read_is_not_passed_off_as_either_version(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    asked = []

    def overwrite() -> bool:
        asked.append(1)
        if len(asked) == 3:
            shutil.copy(bids / "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz", bids / T1W)
        return False

    summary = embed(bids, output, stoppable=nullcontext(overwrite))
    (failure,) = summary.failures
    assert (failure.study, failure.error) == ("sub-01", "its files changed while they were read")
    assert read_embeddings(output).studies["id"].tolist() == ["sub-02_ses-a", "sub-02_ses-b"]
    assert run("embed", bids, output, "--retry-failed") == 0
    assert "3 studies with 6 series, 2 of them from an earlier run" in said(capsys)


def test_a_damaged_part_is_made_again(bids: Path, whole: Path, tmp_path: Path, assert_same: Same) -> None:
    for shard in ("1/2", "2/2"):
        assert run("embed", bids, tmp_path / "again.h5", "--shard", shard) == 0
    folder = tmp_path / "again.h5.parts"
    for path, damage in zip(sorted(folder.glob("*.safetensors")), (100, -100, -1), strict=True):
        content = bytearray(path.read_bytes())
        content[damage] ^= 1
        path.write_bytes(content)
    assert run("embed", bids, tmp_path / "again.h5") == 0
    assert_same(whole, tmp_path / "again.h5")


def test_an_interrupted_force_goes_on_making_everything_anew(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output) == 0
    assert run("embed", bids, output, "--force", "--shard", "1/3") == 0
    said(capsys)
    assert run("embed", bids, output) == 0
    assert "3 studies with 6 series, 1 of them from an earlier run" in said(capsys)


FULL = """
import os, subprocess, sys
from prima_features.cli.main import main
size, folder, bids, copy = sys.argv[1:]
command = ["embed", bids, f"{folder}/out.h5", "--workers", "0"]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
print("ended with", main(command), *os.listdir(folder), file=sys.stderr)
subprocess.run(["mount", "-o", "remount,size=50m", folder], check=True)
assert main(command) == 0
subprocess.run(["cp", f"{folder}/out.h5", copy], check=True)
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs the right to mount",
)
@pytest.mark.parametrize("size", ["16k", "40k", "100k"])
def test_a_full_disk_stops_the_run_and_with_more_room_it_goes_on(
    bids: Path, whole: Path, tmp_path: Path, assert_same: Same, size: str
) -> None:
    folder, copy = tmp_path / "small", tmp_path / "copy.h5"
    folder.mkdir()
    command = ["unshare", "--mount", sys.executable, "-c", FULL, size, folder, bids, copy]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ended with 1 out.h5.parts\n" in done.stderr
    assert "Error: The disk is full: " in done.stderr and "Traceback" not in done.stderr
    assert_same(copy, whole)
