"""What an output may be, checked before any work is done, and what its HTML report is called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.record.ids import ids_path
from prima_features.embedding.record.run_file import run_path
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.errors import UsageError
from prima_features.files.paths import is_folder
from prima_features.files.targets import Maker, check_file, check_name, is_page, starts_with


def report_path(output: Path) -> Path:
    """`OUTPUT.report.html` for `OUTPUT.h5`."""
    return output.with_name(output.name.removesuffix(".h5") + ".report.html")


def index_path(output: Path) -> Path:
    """`OUTPUT.index` for `OUTPUT.h5` (see `studies.dicom.index`)."""
    return output.with_name(output.name.removesuffix(".h5") + ".index")


def files_next_to(path: Path) -> tuple[Path, ...]:
    """The files that belong to an embeddings file: its record of runs, HTML report and table of identities."""
    return (run_path(path), report_path(path), ids_path(path)) if path.name else ()


def check_output(output: Path, inputs: Iterable[Path] = (), report: bool = True) -> None:
    """Check that an embeddings file and the files next to it may be written, before any work is done.

    Args:
        inputs: files that are read, none of which is replaced.
        report: whether an HTML report is written as well.

    Raises:
        UsageError: the output's folder is missing or read-only, or one of the files exists and is none that `prima
            embed` or `prima merge` wrote.
    """
    for one in (output, *files_next_to(output), PartsFolder.of(output).folder):
        check_name(one)
    if is_folder(output):
        raise UsageError(f"{output} is a folder; name a file in it, such as {output / 'embeddings.h5'}")
    maker = Maker("prima embed", tuple(inputs), _is_embeddings, "an embeddings file", "")
    check_file(output, maker)
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"The folder {output.parent} is not writable; choose another folder for {output.name}"
        )
    twin = _twin(output)
    if twin.is_file() and _has_embeddings(twin):
        raise UsageError(
            f"{output} and {twin.name} would share {run_path(output).name} and the other files next to them; "
            "name another output"
        )
    record = run_path(output)
    if not record.is_dir():  # which costs a warning and no run
        check_file(record, Maker("prima embed", maker.inputs, _is_run_file, "the record of a run", ""))
    if report and not report_path(output).is_dir():
        check_page(report_path(output), maker.inputs, option="")
    PartsFolder.of(output).check_folder()


def check_page(path: Path, inputs: Iterable[Path] = (), force: bool = False, option: str = "--force") -> None:
    """Check that an HTML report may be written.

    Raises:
        UsageError: see `files.targets.check_file`.
    """
    check_file(
        path,
        Maker("prima report", tuple(inputs), is_page("embedding report"), "a page of prima report", option),
        force,
    )


def _is_embeddings(path: Path) -> bool:
    Embeddings(path)
    return True


def _has_embeddings(path: Path) -> bool:
    try:
        return _is_embeddings(path)
    except UsageError:
        return False


def _twin(output: Path) -> Path:
    """The output whose record, page and table of identities have the same names: `out` for `out.h5`, and back."""
    name = output.name.removesuffix(".h5")
    return output.with_name(name if output.name.endswith(".h5") and name else output.name + ".h5")


_is_run_file = starts_with(b'{\n "format": "prima-run"')
