"""What a command may write: no command replaces a file or folder that it did not make, and an input is never an output.

`check_file`     before a file is written
`check_folder`   before a folder is made or replaced
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.files.paths import home_folder, is_folder, longest_name, resolved
from prima_features.files.text import bounded

_IDENTITIES = re.compile(rb"study\W+patient_id\W+study_instance_uid\W+folder\W+(?:day\W+)?key\b")
"""How a table of identities (`OUTPUT.ids.tsv`) begins. It cannot be made again, so no command replaces it."""


@dataclass(frozen=True)
class Maker:
    """The command that writes an output."""

    command: str
    """As in messages, such as `prima export`."""
    inputs: tuple[Path, ...] = ()
    """Files and folders that it reads; those that do not exist are ignored."""
    is_own: Callable[[Path], bool] = lambda path: False
    """Whether an existing output was made by an earlier run of the command, by its content."""
    kind: str = ""
    """What `is_own` looks for, as in messages: `an embeddings file`."""
    option: str = "--force"
    """What the user gives to replace an output that is not recognised; empty if nothing is."""


def check_file(output: Path, maker: Maker, force: bool = False) -> None:
    """Check that a file may be written.

    Args:
        force: replace a file that the command did not make. An input is not replaced either way.

    Raises:
        UsageError: the output's folder does not exist; or the output is a folder or device, an input (also by another
            name: a link, a hard link, other case), inside an input folder, a table of identities, or a file that
            another program made.
    """
    check_name(output)
    if is_folder(output):
        raise UsageError(f"{output} is a folder; name a file in it")
    if not is_folder(output.parent):
        raise UsageError(f"The folder {output.parent} does not exist; create it or name another")
    _refuse_inputs(output, maker)
    if not os.path.lexists(output) or _is_dangling(output):
        return
    if not output.is_file():
        raise UsageError(f"{output} is a device or pipe and not a file; name another output")
    if _is_own(output, maker):
        return
    if _links_to_patients(output):
        raise UsageError(
            f"{output} is the link from pseudonyms to patients of an embeddings file; name another output"
        )
    for folder in maker.inputs:
        if folder.is_dir() and _is_inside(output, folder):
            raise UsageError(f"{output} is a file in {folder}, which is an input; name another output")
    if not force:
        raise _not_ours(output, maker)


def check_folder(output: Path, maker: Maker, force: bool = False) -> None:
    """Check that a folder may be made, or replaced as a whole.

    Args:
        force: replace a folder that holds something.

    Raises:
        UsageError: the parent folder does not exist; or the output is a file, holds something while `force` is off, or
            would take an input, the current folder or the home folder with it.
    """
    check_name(output)
    if not is_folder(output.parent):
        raise UsageError(f"{output.parent} is not a folder; create it first, or name another output")
    if os.path.lexists(output) and not output.is_dir():
        raise UsageError(f"{output} is a file, but the output is a new folder; name another output")
    _refuse_inputs(output, maker)
    if not output.is_dir() or not any(output.iterdir()):
        return
    for one in (*maker.inputs, Path.cwd(), home_folder()):
        if one is not None and one.exists() and _is_inside(one, output):
            what = "an input" if one in maker.inputs else "a folder that must not be replaced"
            raise UsageError(f"{output} contains {one}, {what}; name another output")
    if not force and not _is_own(output, maker):
        raise _not_ours(output, maker)


def check_name(output: Path) -> None:
    """Check that the disk can store a file of this name.

    Raises:
        UsageError: the name is too long, or has a NUL.
    """
    most, bytes_of_name = longest_name(output.parent), len(os.fsencode(output.name))
    if bytes_of_name > most:
        raise UsageError(
            f"The name {bounded(output.name, 64)} has {bytes_of_name} bytes, but the file system allows at most "
            f"{most}; "
            "choose a shorter one"
        )
    if "\0" in str(output):
        raise UsageError(f"{output} has a NUL character, which no file name can have; name another output")


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file: by links, hard links, or names that the disk takes for the same."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _refuse_inputs(output: Path, maker: Maker) -> None:
    for path in maker.inputs:
        if same_file(output, path):
            what = f"{maker.kind} to write" if maker.kind else "an output"
            raise UsageError(f"{output} is an input of {maker.command}, not {what}; name another output")


def _is_own(output: Path, maker: Maker) -> bool:
    try:
        return maker.is_own(output)
    except (OSError, ValueError):
        return False


def _links_to_patients(path: Path) -> bool:
    """Whether a file is a table of identities, also if another program has saved it with other separators."""
    with path.open("rb") as file:
        return _IDENTITIES.search(file.read(1024).replace(b"\0", b"")) is not None


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is the folder or in it, compared by the files and not by the names."""
    real = resolved(path)
    return any(same_file(one, folder) for one in (real, *real.parents))


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _not_ours(output: Path, maker: Maker) -> UsageError:
    if output.is_dir():
        what = "is not an empty folder"
    elif maker.kind:
        what = f"exists and is not {maker.kind}"
    else:
        what = "exists already"
    way = f", or give {maker.option} to replace it" if maker.option else ""
    return UsageError(f"{output} {what}; name another output{way}")


def starts_with(*beginnings: bytes) -> Callable[[Path], bool]:
    """A test of whether a file begins with one of some bytes."""

    def is_own(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(max(map(len, beginnings))).startswith(beginnings)

    return is_own


def is_page(*kinds: str) -> Callable[[Path], bool]:
    """A test of whether a file is an HTML report of this tool whose title ends with one of some words."""

    def is_own(path: Path) -> bool:
        with path.open("rb") as file:
            head = file.read(4096)
        return b'content="prima-features"' in head and any(
            f": {kind}</title>".encode() in head for kind in kinds
        )

    return is_own


def as_inputs(*paths: str | Path | Iterable[Path] | None) -> tuple[Path, ...]:
    """Inputs of a command as paths; None and names that are no paths are left out.

    `FILE.xlsx#SHEET`, one sheet of a workbook, is that file.
    """
    found: list[Path] = []
    for one in paths:
        if isinstance(one, str | Path):
            found.append(Path(one))
        elif one is not None:
            found.extend(map(Path, one))
    files = [path.with_name(path.name.rpartition("#")[0]) for path in found if path.name.rpartition("#")[0]]
    return tuple(path for path in (*found, *files) if os.path.lexists(path))
