"""What the doctor says of software, hardware, codecs and disks, and that it notices when they are broken."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from prima_features.doctor import codecs, disk, hardware, software
from prima_features.doctor.check import Check, Setup, Status
from prima_features.doctor.run import examine, worst


def only(checks: Iterator[Check]) -> Check:
    (check,) = checks
    return check


@pytest.mark.parametrize(
    "examination",
    [
        *(software.python, software.packages, software.torch, codecs.codecs, codecs.dcm2niix),
        *(disk.disk, disk.hdf5_locking, software.mask_tools),
    ],
)
def test_a_sound_machine_passes(examination: Callable[[Setup], Iterator[Check]], tmp_path: Path) -> None:
    checks = list(examination(Setup(tmp_path)))
    assert checks and worst(checks) is Status.PASS, checks
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_missing_or_too_old_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "prima_features-9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: prima-features\nVersion: 9\nRequires-Python: >=99\n"
        "Requires-Dist: numpy>=9999\nRequires-Dist: h5py\nRequires-Dist: no-such-package\n"
        "Provides-Extra: more\nRequires-Dist: nor-this; extra == 'more'\n"
        "Requires-Dist: nor-that; sys_platform == 'never'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    check = only(software.packages(Setup()))
    assert check.status is Status.FAIL
    assert check.found == f"numpy {np.__version__} does not satisfy >=9999; no-such-package is not installed"
    assert check.remedy == "run pip install 'numpy>=9999' 'no-such-package'"
    assert only(software.python(Setup())).status is Status.FAIL


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_torch_does_not_see_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(hardware.device(Setup(device="cuda"))).status is Status.FAIL
    assert only(hardware.device(Setup(device="cpu"))).status is Status.PASS
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    check = only(hardware.device(Setup()))
    assert check.status is Status.WARN
    assert "sees no GPU" in check.found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named_with_its_memory() -> None:
    check = only(hardware.device(Setup()))
    assert check.status in (Status.PASS, Status.WARN)
    assert torch.cuda.get_device_name() in check.found


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert " available of " in only(hardware.memory(Setup())).found
    monkeypatch.setattr(hardware, "_LITTLE_MEMORY", 1e18)
    assert only(hardware.memory(Setup())).status is Status.WARN


def test_every_compression_of_the_archives_is_tried() -> None:
    assert [check.name for check in codecs.codecs(Setup())] == [
        *("codec JPEG", "codec JPEG-LS", "codec JPEG 2000", "codec RLE")
    ]


def test_a_codec_that_fails_or_changes_voxels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = codecs.frames()
    damaged = {name: (syntax, frame[:40]) for name, (syntax, frame) in sound.items()}
    monkeypatch.setattr(codecs, "frames", lambda: damaged)
    assert {check.status for check in codecs.codecs(Setup())} == {Status.FAIL}
    monkeypatch.setattr(codecs, "frames", lambda: sound)
    monkeypatch.setattr(codecs, "PICTURE", codecs.PICTURE + 1)
    checks = [*codecs.codecs(Setup()), *codecs.dcm2niix(Setup())]
    assert {check.status for check in checks} == {Status.FAIL}
    assert all("voxels" in check.found for check in checks)


def test_a_folder_that_cannot_be_written_to_fails_and_names_it(tmp_path: Path) -> None:
    check = only(disk.disk(Setup(tmp_path / "nowhere")))
    assert (check.status, check.found) == (Status.FAIL, f"the folder {tmp_path / 'nowhere'} does not exist")
    assert not list(disk.hdf5_locking(Setup(tmp_path / "nowhere")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    check = only(disk.disk(Setup(tmp_path)))
    tmp_path.chmod(0o755)
    assert check.status is Status.FAIL
    assert "cannot be written to" in check.found


def test_little_space_is_a_warning_and_none_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_LITTLE_SPACE", 1e18)
    assert only(disk.disk(Setup(tmp_path))).status is Status.WARN
    monkeypatch.setattr(disk, "_NO_SPACE", 1e18)
    assert only(disk.disk(Setup(tmp_path))).status is Status.FAIL


def test_locks_that_hold_nobody_back_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On some network disks flock succeeds and does nothing."""
    monkeypatch.setattr("fcntl.flock", lambda file, operation: None)
    check = only(disk.hdf5_locking(Setup(tmp_path)))
    assert check.status is Status.WARN
    assert "HDF5_USE_FILE_LOCKING=FALSE" in check.remedy


def test_a_check_that_breaks_is_a_finding_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcm2niix.bin", str(tmp_path / "not-there"))
    checks = {check.name: check for check in examine(Setup(tmp_path, "no-such-model"))}
    assert checks["dcm2niix"].status is Status.FAIL
    assert "FileNotFoundError" in checks["dcm2niix"].found
    assert checks["disk"].status is not Status.FAIL
    assert checks["weights"].found.startswith("no model no-such-model")
    assert checks["known answer"].status is Status.FAIL


def test_whatever_does_not_pass_names_a_remedy() -> None:
    with pytest.raises(ValueError, match="names no remedy"):
        Check("disk", Status.FAIL, "full")
