"""`prima reports summarize`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from prima_features.cli.main import main
from prima_features.reports import DIAGNOSES, split_numbered

Table = Callable[..., Path]
Rows = Callable[[Path], list[dict[str, str]]]
PROGRAM = "import sys\nfrom prima_features.cli.main import main\nsys.exit(main())"
CYSTS = {f"s{n}": f"FINDINGS: Cyst of {n} mm." for n in range(1, 7)}


def run(*arguments: object) -> int:
    return main(["reports", "summarize", *map(str, arguments)])


def process(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, "reports", "summarize", *map(str, arguments)]
    # A shell that starts the tests in the background lets them, and what they start, ignore SIGINT.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    )


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.tsv"


def test_the_default_needs_nothing(
    table: Table, output: Path, rows: Rows, full_report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(table(b=full_report, a="Normal brain."), output) == 0
    first, second = rows(output)
    assert (first["study_id"], first["method"]) == ("b", "rules")
    assert split_numbered(first["summary"])[2] == "Mild surrounding vasogenic edema."
    assert second == {"study_id": "a", "summary": "1. Normal brain.", "method": "rules"}
    assert "2 studies" in capsys.readouterr().out


def test_labels_are_a_column_each(table: Table, output: Path, rows: Rows, full_report: str) -> None:
    assert run(table(a=full_report), output, "--labels") == 0
    (row,) = rows(output)
    assert list(row) == ["study_id", "summary", "method", "abnormal", *DIAGNOSES]
    assert {name for name in DIAGNOSES if row[name] == "1"} == {
        "structural_edema",
        "tumor_adult_meningioma",
        "vascular_ischemic_small_vessel_disease",
    }
    assert run(table(a=full_report), output, "--labels", "--unmentioned", "empty") == 0
    assert [name for name in DIAGNOSES if rows(output)[0][name] == "0"] == ["structural_midline_shift"]


def test_failed_reports_are_listed_and_the_exit_code_tells(
    table: Table, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(table(a="Cyst.", b=""), output) == 3
    shown = capsys.readouterr()
    assert "b: the report is empty" in shown.err
    assert "1 failed" in shown.out


def test_where_nothing_is_usable_the_exit_code_is_4_and_no_table_is_there(
    table: Table, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(table(a=""), output) == 4
    assert capsys.readouterr().err.splitlines()[-1].startswith("Error: no report could be summarised")
    assert not output.exists()


def test_an_endpoint_is_asked_and_a_local_one_brings_no_warning(
    table: Table, output: Path, rows: Rows, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(table(a="Cyst."), output, "--endpoint", server.url, "--model", "tiny") == 0
    assert rows(output)[0]["summary"] == "1. Acute infarct.\n2. Mild edema."
    assert "Warning" not in capsys.readouterr().err


def test_an_endpoint_elsewhere_brings_a_warning(
    table: Table, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--endpoint", "http://llm.invalid:9", "--model", "tiny", "--retries", 0]
    assert run(table(a="Cyst."), output, *arguments) == 2
    warning, error = capsys.readouterr().err.strip().splitlines()
    assert (
        warning == "Warning: reports are sent to llm.invalid, which is not this machine, without encryption"
    )
    assert error.startswith("Error: no server answers at llm.invalid:9")


def test_the_key_comes_from_the_environment_and_is_nowhere_else(
    table: Table,
    output: Path,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    arguments = [
        table(a="Cyst."),
        output,
        "--endpoint",
        server.url,
        "--model",
        "m",
        "--api-key-env",
        "MY_KEY",
    ]
    assert run(*arguments) == 0
    assert server.requests[0][1]["Authorization"] == "Bearer sk-secret"
    server.script, server.error = [401], {"error": {"message": "sk-secret is wrong"}}
    assert run(*arguments, "--max-items", 3) == 2
    shown = capsys.readouterr()
    written = "".join(path.read_text() for path in output.parent.iterdir())
    assert "sk-secret" not in shown.out + shown.err + written


def test_the_prompt_is_shown_and_nothing_is_asked(
    table: Table, output: Path, server: Any, full_report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(a="", b=full_report)
    assert run(path, "--show-prompt", "--labels", "--endpoint", server.url) == 0
    shown = capsys.readouterr().out
    assert server.requests == []
    assert run(path, output, "--labels", "--endpoint", server.url, "--model", "m", "--workers", 1) == 4
    assert shown == "".join(f"{prompt}\n" for prompt in server.prompts)


def test_no_connection_is_made_without_an_endpoint(table: Table, output: Path, server: Any) -> None:
    watched = (
        "import sys\n"
        "def watch(event, _):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        print('NETWORK', event, file=sys.stderr)\n"
        "sys.addaudithook(watch)\n" + PROGRAM
    )
    environment = os.environ | {
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_BASE": server.url,
        "http_proxy": server.url,
    }
    base = [sys.executable, "-c", watched, "reports", "summarize", str(table(a="Cyst.")), str(output)]
    quiet = subprocess.run([*base, "--labels"], env=environment, capture_output=True, text=True, check=True)
    assert "NETWORK" not in quiet.stderr
    assert server.requests == []
    endpoint = ["--endpoint", server.url, "--model", "m"]
    asked = subprocess.run([*base, *endpoint], env=environment, capture_output=True, text=True, check=True)
    assert "NETWORK" in asked.stderr  # the watch works
    assert len(server.requests) == 1


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_where_it_was(
    blow: signal.Signals, table: Table, output: Path, rows: Rows, server: Any
) -> None:
    server.script = ["answer"] * 4 + ["hang"]
    arguments = [table(**CYSTS), output, "--endpoint", server.url, "--model", "m", "--workers", 1]
    with process(*arguments) as stopped:
        assert server.hanging.wait(60)
        _wait_for_lines(output.with_name("out.tsv.parts.jsonl"), 4)
        stopped.send_signal(blow)
        stopped.communicate(timeout=30)
    assert stopped.returncode == (130 if blow is signal.SIGINT else -signal.SIGKILL)
    assert not output.exists()
    assert run(*arguments) == 0
    assert len(server.requests) == 5 + 2
    assert [row["study_id"] for row in rows(output)] == list(CYSTS)


def _wait_for_lines(path: Path, wanted: int) -> None:
    for _ in range(600):
        if path.exists() and path.read_bytes().count(b"\n") == wanted:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path.name} never held {wanted} lines")


WRONG = {
    "missing table": (["{tmp}/none.tsv", "{out}"], "does not exist"),
    "no output": (["{table}"], "OUT"),
    "unknown column": (["{table}", "{out}", "--report-column", "words"], "no column words"),
    "endpoint without model": (["{table}", "{out}", "--endpoint", "http://localhost:1"], "--model"),
    "not an address": (["{table}", "{out}", "--endpoint", "localhost:1", "--model", "m"], "not an address"),
    "endpoint with rules": (
        ["{table}", "{out}", "--endpoint", "http://h", "--method", "rules"],
        "--method rules",
    ),
    "method endpoint without one": (["{table}", "{out}", "--method", "endpoint"], "--endpoint"),
    "transformers without model": (["{table}", "{out}", "--method", "transformers"], "--model"),
    "model with rules": (["{table}", "{out}", "--model", "m"], "--method transformers"),
    "who labels, and no labels": (["{table}", "{out}", "--label-method", "rules"], "add --labels"),
    "rate with rules": (["{table}", "{out}", "--rate", "30"], "--rate limits requests to a server"),
    "labels by no model": (["{table}", "{out}", "--labels", "--label-method", "model"], "need one"),
    "key not set": (
        [
            "{table}",
            "{out}",
            "--endpoint",
            "http://localhost:1",
            "--model",
            "m",
            "--api-key-env",
            "NO_SUCH_KEY",
        ],
        "NO_SUCH_KEY",
    ),
    "no such method": (["{table}", "{out}", "--method", "magic"], "--method"),
    "output is the table": (["{table}", "{table}"], "not a table of summaries"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_told_in_one_sentence(
    case: str, table: Table, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sentence = WRONG[case]
    path = table(a="Cyst.")
    before = path.read_bytes()
    assert run(*(one.format(tmp=tmp_path, out=output, table=path) for one in arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("Error: ")
    assert sentence in line
    assert path.read_bytes() == before
    assert not output.exists()


def test_only_the_first_reports_on_request(table: Table, output: Path, rows: Rows) -> None:
    assert run(table(**CYSTS), output, "--limit", 2) == 0
    assert [row["study_id"] for row in rows(output)] == ["s1", "s2"]


def test_help_says_that_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "Nothing is sent anywhere unless --endpoint is given" in " ".join(capsys.readouterr().out.split())


def test_help_says_which_columns_labels_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "a column abnormal: 1 if any of them is 1, otherwise 0" in shown
