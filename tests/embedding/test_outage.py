"""A bad scan is told from a disk that went away."""

import errno
import os
from pathlib import Path

import pytest

from prima_features.errors import SeriesError, SourceError
from prima_features.files.disk import check_disk, check_source, source_errors


def failure(number: int) -> SeriesError:
    """What reading raises when the system answers with this error."""
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise SeriesError("the file cannot be read") from error
    except SeriesError as error:
        return error


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN])
def test_what_only_a_disk_answers_stops_the_run(tmp_path: Path, number: int) -> None:
    with pytest.raises(SourceError, match=os.strerror(number)):
        check_disk(failure(number), [tmp_path / "scan.nii"])


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EIO])
def test_what_one_file_can_answer_is_that_files_failure(tmp_path: Path, number: int) -> None:
    (tmp_path / "scan.nii").touch()
    check_disk(failure(number), [tmp_path / "scan.nii"])
    check_disk(ValueError("not of the disk at all"), [tmp_path / "scan.nii"])


def test_an_input_output_error_is_the_disks_where_the_folder_is_gone_too(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not respond"):
        check_disk(failure(errno.EIO), [tmp_path / "unmounted" / "scan.nii"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_of_temporary_files_is_no_fault_of_the_scan(tmp_path: Path, number: int) -> None:
    (tmp_path / "scan.nii").touch()
    with pytest.raises(SourceError, match=r"temporary files is full .* set TMPDIR"):
        check_disk(failure(number), [tmp_path / "scan.nii"])


def test_an_empty_or_missing_source_is_gone_and_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    for gone in (tmp_path / "mount", tmp_path / "missing"):
        with pytest.raises(SourceError):
            check_source(gone)
    (tmp_path / "table.tsv").touch()
    check_source(tmp_path / "table.tsv")
    check_source(tmp_path)


def test_an_error_while_looking_at_scans_is_told_in_a_sentence() -> None:
    with pytest.raises(SourceError, match="finished work is kept"), source_errors():
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def test_errors_that_are_their_own_cause_are_looked_at_once() -> None:
    """A refusal is raised again from the error that a library made of it."""
    refusal = ValueError("too long")
    refusal.__cause__ = TypeError("made of it")
    refusal.__cause__.__context__ = refusal
    check_disk(refusal, [])
