"""Standard output and error cost no run, and no name controls a terminal."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prima_features.cli.console import out, print_failures, table
from prima_features.cli.probe.show import steps
from prima_features.embedding.file.records import FailedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.record.output import check_output
from prima_features.errors import UsageError
from prima_features.studies.study import Failure

CLOSED = """
import os, sys
os.close(1); os.close(2); sys.stdout = sys.stderr = None
from prima_features.cli.main import main
code = main(["--version"])
file = os.open(os.devnull, os.O_RDONLY)
sys.exit(code if file > 2 else 9)  # what is opened next must not be standard output
"""
NAMES = """
import sys
sys.argv = ["prima"]
from prima_features.cli.main import main
sys.exit(main(["inspect", "nowhere/M\u00fcller"]))
"""


def python(
    code: str, stdout: int = subprocess.PIPE, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, check=False, env=os.environ | environment, cwd="/"
    )


def test_closed_streams_cost_no_run_and_no_file_takes_their_place() -> None:
    assert python(CLOSED).returncode == 0


def test_an_ascii_locale_escapes_what_it_lacks() -> None:
    done = python(NAMES, PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and rb"nowhere/M\xfcller does not exist" in done.stderr


def test_a_reader_that_has_ended_is_no_error_and_a_full_disk_is_one() -> None:
    code = "import sys; from prima_features.cli.main import main; sys.exit(main(['--version']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = python(code, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    if Path("/dev/full").exists():
        full = os.open("/dev/full", os.O_WRONLY)
        done = python(code, stdout=full)
        os.close(full)
        assert done.returncode == 1 and b"Some output could not be printed" in done.stderr


def test_names_are_escaped_and_are_neither_markup_nor_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    shown = table("series")
    shown.add_row("T1\x1b]0;x\x07 :brain: \udcfc")
    out.print(shown)
    assert "T1\\x1b]0;x\\x07 :brain: \\xfc" in capsys.readouterr().out


def test_outputs_that_would_share_their_companions_are_refused(tmp_path: Path) -> None:
    failed = FailedStudy("sub-1", (Failure("sub-1", "", "read", "damaged"),))
    write_embeddings(tmp_path / "out.h5", [failed], Provenance("tiny", "local", "ab", {}))
    with pytest.raises(UsageError, match=r"would share out\.run\.json"):
        check_output(tmp_path / "out")
    check_output(tmp_path / "out.h5")
    (tmp_path / "b").write_text("any other file")
    check_output(tmp_path / "b.h5")


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 3), (1e9, 1)])
def test_a_long_step_shows_its_folds_without_too_many_lines(
    seconds: float, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("prima_features.probes.evaluation")
    before = (logger.level, list(logger.handlers))
    with steps(seconds) as on_step:
        on_step("evaluating")
        for fold in (1, 2):
            logger.getChild("scored").info("fold %d of %d", fold, 2)
        logger.getChild("scored").debug("a parameter")
    logger.getChild("scored").info("fold of a later run")
    assert (logger.level, logger.handlers) == before
    shown = ["evaluating ...", "evaluating: fold 1 of 2 ...", "evaluating: fold 2 of 2 ..."]
    assert capsys.readouterr().err.splitlines() == shown[:lines]


def test_what_to_do_is_printed_once_for_each_kind_of_failure(capsys: pytest.CaptureFixture[str]) -> None:
    failures = [Failure(f"sub-{i}", "T1w", "read", "no mask", "give a mask") for i in range(3)]
    failures.append(Failure("sub-3", "T1w", "read", "damaged", "copy it again"))
    print_failures(failures)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sub-0 T1w: no mask (give a mask)"
    assert lines[1:] == ["sub-1 T1w: no mask", "sub-2 T1w: no mask", "sub-3 T1w: damaged (copy it again)"]
