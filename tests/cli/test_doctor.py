"""`prima doctor` as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prima_features.cli.main import main


def test_a_sound_machine_is_told_so_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line[:4] for line in lines} <= {"PASS", "WARN", "    "}
    assert any("known answer" in line and "relative error" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_json_is_one_object_and_a_failure_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    assert main(["doctor", "--json", "--output", str(nowhere)]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == "FAIL"
    checks = {check.pop("name"): check for check in printed["checks"]}
    assert {
        "python",
        "torch",
        "device",
        "memory",
        "dcm2niix",
        "disk",
        "weights",
        "known answer",
    } <= checks.keys()
    assert checks["disk"] == {
        "status": "FAIL",
        "found": f"the folder {nowhere} does not exist",
        "remedy": "create it, or name another",
    }
    assert all(check["remedy"] for check in checks.values() if check["status"] != "PASS")


def test_a_torch_that_cannot_be_imported_is_a_finding_and_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libcudart.so.12 is not here')")
    done = subprocess.run(
        [sys.executable, "-m", "prima_features.cli.main", "doctor", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    status = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    broken = {name for name, verdict in status.items() if verdict == "FAIL"}
    assert broken == {"torch", "device", "known answer"}
