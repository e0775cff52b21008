"""Wrong use and bad luck: one sentence, the right exit code, nothing half-written."""

import contextlib
import ctypes
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from prima_features.cli.main import main

PR_GET_SECUREBITS, PR_SET_SECUREBITS, NO_SETUID_FIXUP = 27, 28, 4
CAPABILITY_VERSION_3, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 0x20080522, 1, 2


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and the one line of stderr."""
    code = main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("Error: ")
    assert not any("Traceback" in line for line in lines)
    return code, lines[-1]


CASES = {
    "missing path": (["embed", "{tmp}/nowhere", "{tmp}/out.h5"], 2, "does not exist"),
    "empty folder": (["embed", "{tmp}/empty", "{tmp}/out.h5"], 4, "it is empty"),
    "folder of text": (["embed", "{tmp}/text", "{tmp}/out.h5"], 4, "none of its 2 files is DICOM or NIfTI"),
    "text file": (["embed", "{tmp}/text/a.txt", "{tmp}/out.h5"], 4, "is not NIfTI"),
    "no output": (["embed", "{bids}"], 2, "OUTPUT.h5"),
    "no command": (
        ["{bids}", "{tmp}/out.h5"],
        2,
        "to embed the scans in {bids}: prima embed {bids} OUTPUT.h5",
    ),
    "output folder missing": (["embed", "{bids}", "{tmp}/no/out.h5"], 2, "does not exist; create it"),
    "output is a folder": (["embed", "{bids}", "{tmp}/empty"], 2, "is a folder"),
    "output is another file": (["embed", "{bids}", "{tmp}/text/a.txt"], 2, "is not an embeddings file"),
    "another table of identities": (["embed", "{bids}", "{tmp}/text/a.h5"], 2, "a.ids.tsv is not a table"),
    "unknown model": (["embed", "{bids}", "{tmp}/out.h5", "--model", "prima-typo"], 2, "prima-typo"),
    "model directory without model": (
        ["embed", "{bids}", "{tmp}/out.h5", "--model", "{tmp}/empty"],
        2,
        "config.json",
    ),
    "model is a file": (["embed", "{bids}", "{tmp}/out.h5", "--model", "{tmp}/text/a.txt"], 2, "is a file"),
    "unknown participant": (
        ["embed", "{bids}", "{tmp}/out.h5", "--participant-label", "7"],
        2,
        "no participant 7",
    ),
    "unknown device": (
        ["embed", "{bids}", "{tmp}/out.h5", "--device", "tpu9"],
        2,
        "not available on this machine",
    ),
    "unknown option": (["embed", "{bids}", "{tmp}/out.h5", "--modle", "x"], 2, "No such option"),
    "bad choice": (["embed", "{bids}", "{tmp}/out.h5", "--dtype", "int8"], 2, "--dtype"),
    "less than no workers": (["embed", "{bids}", "{tmp}/out.h5", "--workers", "-1"], 2, "--workers"),
    "half a worker": (["embed", "{bids}", "{tmp}/out.h5", "--workers", "0.5"], 2, "--workers"),
    "empty batches": (["embed", "{bids}", "{tmp}/out.h5", "--batch-size", "0"], 2, "--batch-size"),
    "unknown precision": (["embed", "{bids}", "{tmp}/out.h5", "--precision", "fp16"], 2, "--precision"),
    "unknown command": (["embedd"], 2, "embedd"),
    "inspect a missing file": (["inspect", "{tmp}/nowhere.h5"], 2, "does not exist"),
    "missing filter file": (["inspect", "{bids}", "--bids-filter-file", "{tmp}/f.json"], 2, "filter file"),
    "missing manifest": (["embed", "--manifest", "{tmp}/t.tsv", "{tmp}/out.h5"], 2, "does not exist"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_told_in_one_sentence(
    case: str, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("hello")
    (tmp_path / "text" / "a.ids.tsv").write_text("mine\n1\n")
    arguments, code, reason = CASES[case]
    before = sorted(tmp_path.rglob("*"))
    found_code, sentence = fails(capsys, *(text.format(tmp=tmp_path, bids=bids) for text in arguments))
    assert found_code == code, sentence
    assert reason.format(tmp=tmp_path, bids=bids) in sentence
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_usable_leaves_nothing(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for scan in bids.rglob("*.nii.gz"):
        scan.write_bytes(b"")
    code, sentence = fails(capsys, "embed", bids, tmp_path / "out.h5")
    assert code == 4
    assert "the file is empty (6 times)" in sentence
    assert [entry.name for entry in tmp_path.iterdir()] == ["bids"]


@contextmanager
def heeding_permissions() -> Iterator[None]:
    """Without the superuser's right to read and write everything, which nobody else has.

    See capget(2); access(2) looks at what is permitted as well, unless a secure bit is set (capabilities(7)).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)  # effective; still permitted
    assert libc.capset(header, without) == 0
    secure = libc.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0)
    libc.prctl(PR_SET_SECUREBITS, secure | NO_SETUID_FIXUP, 0, 0, 0)  # refused to others, who need it not
    try:
        yield
    finally:
        libc.prctl(PR_SET_SECUREBITS, secure, 0, 0, 0)
        assert libc.capset(header, before) == 0


linux = pytest.mark.skipif(sys.platform != "linux", reason="gives up rights in Linux's way")


@linux
def test_an_unreadable_scan_is_told_and_the_rest_goes_on(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz").chmod(0)
    with heeding_permissions():
        assert main(["embed", str(bids), str(tmp_path / "out.h5")]) == 3
    printed = capsys.readouterr()
    assert "Permission denied" in printed.err
    assert "3 studies with 5 series" in printed.out


@linux
def test_a_read_only_output_folder_is_refused_before_any_work(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with heeding_permissions():
        code, sentence = fails(capsys, "embed", bids, locked / "out.h5")
    assert code == 2
    assert sentence.startswith(f"Error: The folder {locked} is not writable")


@contextmanager
def limited(file_size: int) -> Iterator[None]:
    """No file may grow beyond a size: what a full disk or a quota does to a process."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("file_size", [512, 20_000])
def test_a_disk_that_takes_no_more_stops_the_run_and_leaves_nothing_half_written(
    bids: Path, tmp_path: Path, file_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    with limited(file_size):
        code, sentence = fails(capsys, "embed", bids, output)
    assert code == 1
    assert "cannot be written" in sentence or "disk is full" in sentence
    assert not output.exists()
    assert not list(tmp_path.rglob(".*.tmp"))
    assert main(["embed", str(bids), str(output)]) == 0  # what was finished is taken up again


def test_an_internal_error_is_told_without_a_traceback(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("prima_features.embedding.run.find", broken)
    code, sentence = fails(capsys, "embed", bids, tmp_path / "out.h5")
    assert code == 1
    assert "Internal error: ZeroDivisionError" in sentence
    with pytest.raises(ZeroDivisionError):
        main(["embed", str(bids), str(tmp_path / "out.h5"), "--debug"])


def test_a_header_of_20000_slices_is_refused_without_allocating(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import gzip

    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((512, 512, 20000))
    header.set_sform(np.eye(4), 1)
    (tmp_path / "claims.nii.gz").write_bytes(gzip.compress(header.binaryblock + b"\0" * 4))
    code, sentence = fails(capsys, "embed", tmp_path / "claims.nii.gz", tmp_path / "out.h5")
    assert code == 4
    assert "20000 slices give 320000 subvolumes" in sentence


def test_a_current_folder_that_was_deleted_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with contextlib.chdir(gone):
        gone.rmdir()
        assert main(["weights", "list"]) == 2
    assert "The current folder was deleted" in capsys.readouterr().err
