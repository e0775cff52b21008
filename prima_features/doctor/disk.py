"""The disk that results are written to, and the one for temporary files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prima_features.doctor.check import Check, Setup, Status, failed, passed, size, warned

_LITTLE_SPACE = 5e9
"""Bytes: embeddings of 20,000 studies at the published sizes, as part files and then as one file, to round numbers."""
_NO_SPACE = 1e8
_LITTLE_TEMPORARY_SPACE = 1e9
"""Bytes: the largest scans unpacked by several workers."""
_ELSEWHERE = "choose another folder for the output"


def disk(setup: Setup) -> Iterator[Check]:
    """Space in the output's folder, and whether a file there can be made and put into place."""
    from prima_features.files.disk import replacing

    if not setup.folder.is_dir():
        yield failed("disk", f"the folder {setup.folder} does not exist", "create it, or name another")
        return
    space = _space("disk", setup.folder, _LITTLE_SPACE, "free some space, or choose another folder")
    if space.status is Status.FAIL:
        yield space
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".prima-doctor-", dir=setup.folder) as folder:
            with replacing(Path(folder) / "written") as temporary:
                temporary.write_bytes(bytes(1 << 20))
            _claim(Path(folder) / "claim")
    except OSError as error:  # an OutputError is one, with the disk's own as its cause
        why = getattr(error.__cause__ or error, "strerror", None) or str(error)
        yield failed("disk", f"{setup.folder} cannot be written to: {why}", _ELSEWHERE)
        return
    yield space


def can_be_written_to(folder: Path) -> bool:
    """Whether `disk` finds no fault with a folder's existence and permissions."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def temporary_disk(setup: Setup) -> Iterator[Check]:
    """Space for what dcm2niix unpacks."""
    remedy = "free some space, or set TMPDIR to a folder with more"
    yield _space("temporary files", Path(tempfile.gettempdir()), _LITTLE_TEMPORARY_SPACE, remedy)


def hdf5_locking(setup: Setup) -> Iterator[Check]:
    """Whether the HDF5 library's file locks work on the output's disk: on many network disks they do not.

    A folder that cannot be written to is left to `disk`.
    """
    if not can_be_written_to(setup.folder):
        return
    setting = os.environ.get("HDF5_USE_FILE_LOCKING")
    if setting is not None and setting.upper() in ("FALSE", "0"):
        yield passed("HDF5 locking", f"turned off by HDF5_USE_FILE_LOCKING={setting}; prima does not need it")
        return
    with tempfile.TemporaryDirectory(prefix=".prima-doctor-", dir=setup.folder) as folder:
        problem = _locking_problem(Path(folder) / "locked.h5")
    if problem:
        remedy = "prima needs no locks; for your own scripts set HDF5_USE_FILE_LOCKING=FALSE"
        yield warned("HDF5 locking", problem, remedy)
    else:
        yield passed("HDF5 locking", "HDF5 file locks work here")


def _claim(path: Path) -> None:
    """Make a file that must not be there, twice: the second time has to be refused."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    raise OSError("exclusive file creation (O_EXCL), which runs use to share work, does not work here")


def _locking_problem(path: Path) -> str:
    """What is wrong with HDF5's locks (flock) at a path; empty if nothing is."""
    import fcntl

    import h5py

    try:
        with h5py.File(path, "w", locking=True) as file:
            file["x"] = 1
    except OSError as error:
        return f"the file system does not support file locks: {str(error).splitlines()[0]}"
    # Not through HDF5 twice: within one process it shares an open file and asks for no second lock.
    with path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        try:
            h5py.File(path, "a", locking=True).close()
        except OSError:
            return ""
    return "file locks are granted but have no effect"


def _space(name: str, folder: Path, little: float, remedy: str) -> Check:
    usage = shutil.disk_usage(folder)
    found = f"{size(usage.free)} free of {size(usage.total)} in {folder.resolve()}"
    if usage.free < _NO_SPACE:
        return failed(name, found, remedy)
    return warned(name, found, remedy) if usage.free < little else passed(name, found)
