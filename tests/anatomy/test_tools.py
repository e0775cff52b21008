"""Programs that make masks, with small programs in their place."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from prima_features.anatomy.tools import MaskTool, find_program, installed, run_program
from prima_features.errors import SeriesError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="scripts with a shebang")

AFFINE = np.diag([2.0, -2.0, 3.0, 1.0])
VALUES = np.ones((20, 22, 24), np.float32)
VALUES[5:15, 5:15, 5:15] = 9

MAKE = """#!{python} -S
import gzip, os, sys
sys.path[:0] = {path!r}
import nibabel, numpy
{before}
arguments = sys.argv[1:]
open(os.environ["CALLS"], "a").write(" ".join(arguments) + chr(10))
image = nibabel.load(arguments[{image}])
mask = (numpy.asarray(image.dataobj) > 5).astype("uint8")
{change}
nibabel.save(nibabel.Nifti1Image(mask, image.affine), {mask})
{after}
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr("prima_features.anatomy.tools.find_spec", lambda name: None)
    return folder


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def script(
    path: Path, mask: str, image: int = 1, before: str = "", change: str = "", after: str = ""
) -> None:
    write(
        path,
        MAKE.format(
            python=sys.executable,
            path=sys.path,
            mask=mask,
            image=image,
            before=before,
            change=change,
            after=after,
        ),
    )


def synthstrip(programs: Path, **how: str) -> None:
    script(programs / "mri_synthstrip", "arguments[3]", **how)  # type: ignore[arg-type]


def run(tool: MaskTool, name: str = "T1w", seconds: float = 600) -> np.ndarray:
    program = find_program(tool, name)
    assert program is not None
    return run_program(program, VALUES, AFFINE, seconds)


@pytest.mark.parametrize("ending", ["sys.exit(1)", "sys.exit()"])
def test_a_program_that_fails_on_a_full_disk_is_not_at_fault(
    ending: str, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the scan would be recorded as one that cannot be masked."""
    synthstrip(programs, before=ending)
    with pytest.raises(SeriesError):
        run("synthstrip")
    usage = shutil.disk_usage(programs)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        run("synthstrip")


def test_a_program_is_found_by_a_relative_path(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthstrip(programs)
    monkeypatch.chdir(programs.parent)
    monkeypatch.setenv("PATH", f"programs{os.pathsep}/usr/bin{os.pathsep}/bin")
    np.testing.assert_array_equal(run("synthstrip"), VALUES > 5)


def test_synthstrip_is_called_with_image_and_mask(programs: Path, tmp_path: Path) -> None:
    synthstrip(programs)
    np.testing.assert_array_equal(run("synthstrip"), VALUES > 5)
    assert (tmp_path / "calls").read_text() == "-i image.nii.gz -m mask.nii.gz\n"


@pytest.mark.parametrize(
    ("version", "output", "options"),
    [("--save_bet_mask", "bet", "--disable_tta --save_bet_mask"), ("-mode", "mask", "-mode fast -tta 0")],
)
def test_both_versions_of_hd_bet_are_called_on_the_cpu(
    version: str, output: str, options: str, programs: Path, tmp_path: Path
) -> None:
    before = f"if '--help' in sys.argv: print('{version}'); sys.exit()"
    script(programs / "hd-bet", f"'stripped_{output}.nii.gz'", before=before)
    np.testing.assert_array_equal(run("hd-bet", "FLAIR"), VALUES > 5)
    calls = (tmp_path / "calls").read_text()
    assert calls == f"-i image.nii.gz -o stripped.nii.gz -device cpu {options}\n"


def test_robex_runs_in_its_own_folder_and_only_for_t1w(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    script(folder / "ROBEX", "arguments[2]", image=0, before="assert os.path.exists('ROBEX')")
    (folder / "runROBEX.sh").write_text("")
    write(folder / "runROBEX.sh", "#!/bin/sh\n")
    (programs / "runROBEX.sh").symlink_to(folder / "runROBEX.sh")
    np.testing.assert_array_equal(run("robex", "AX T1 MPRAGE"), VALUES > 5)
    assert (tmp_path / "calls").read_text().endswith("mask.nii.gz 0\n")
    for name in ("T2w", "FLAIR", "T1rho", "T1_FLAIR", ""):
        assert find_program("auto", name) is None
        with pytest.raises(SeriesError, match="T1w images only"):
            find_program("robex", name)


def test_the_first_installed_program_is_chosen(programs: Path) -> None:
    assert find_program("auto", "T1w") is None
    assert find_program("none", "T1w") is None
    write(programs / "hd-bet", "#!/bin/sh\n")
    assert find_program("auto", "T1w").name == "hd-bet"  # type: ignore[union-attr]
    write(programs / "mri_synthstrip", "#!/bin/sh\n")
    assert find_program("auto", "T1w").name == "mri_synthstrip"  # type: ignore[union-attr]
    assert [program.name for program in installed()] == ["mri_synthstrip", "hd-bet"]
    assert find_program("none", "T1w") is None


@pytest.mark.parametrize("tool", ["synthstrip", "hd-bet", "robex"])
def test_a_tool_that_was_asked_for_must_be_installed(tool: MaskTool, programs: Path) -> None:
    with pytest.raises(SeriesError, match=f"{tool} is not installed"):
        find_program(tool, "T1w")


FAULTS = {
    "exit code": ({"after": "print('no GPU'); sys.exit(7)"}, r"exit code 7 \(no GPU\)"),
    "killed": ({"after": "os.kill(os.getpid(), 9)"}, "exit code -9 .*no message"),
    "empty mask": ({"change": "mask[:] = 0"}, "the result of mri_synthstrip: its brain mask is empty"),
    "whole image": ({"change": "mask[:] = 1"}, "covers the entire image"),
    "no output": ({"change": "sys.exit()"}, "without writing a mask"),
    "no image": ({"after": "open(arguments[3], 'w').write('no image')"}, "cannot be used"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_failure_is_one_sentence(fault: str, programs: Path) -> None:
    how, message = FAULTS[fault]
    synthstrip(programs, **how)
    with pytest.raises(SeriesError, match=message) as error:
        run("synthstrip")
    assert error.value.hint and "\n" not in str(error.value)


def test_a_program_that_hangs_is_ended_with_what_it_started(programs: Path, tmp_path: Path) -> None:
    started = tmp_path / "child"
    write(programs / "mri_synthstrip", f"#!/bin/sh\nsleep 300 &\necho $! > '{started}'\nwait\n")
    with pytest.raises(SeriesError, match="took longer than 0 minutes"):
        run("synthstrip", seconds=5)
    child, deadline = int(started.read_text()), time.monotonic() + 20
    while not is_ended(child):  # a killed process may be there for a moment
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_program_ends_with_a_reader_that_is_killed(programs: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    write(
        programs / "mri_synthstrip",
        f"#!/bin/sh\necho $$ > '{started}.new' && mv '{started}.new' '{started}'\nexec sleep 300\n",
    )
    code = "import numpy; from prima_features.anatomy.tools import *\n"
    code += "run_program(find_program('synthstrip', ''), numpy.ones((4, 4, 4), 'f4'), numpy.eye(4))"
    reader = subprocess.Popen([sys.executable, "-c", code])
    while not started.exists():
        assert reader.poll() is None
        time.sleep(0.1)
    reader.kill()
    reader.wait()
    program = int(started.read_text())
    for _ in range(100):
        if is_ended(program):
            return
        time.sleep(0.1)
    pytest.fail("it still runs")


def test_a_program_that_cannot_start_is_one_sentence(programs: Path) -> None:
    write(programs / "mri_synthstrip", "#!/not/there\n")
    with pytest.raises(SeriesError, match="cannot be started"):
        run("synthstrip")
