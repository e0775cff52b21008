"""The board: its page is built from the files in board/, and synthetic entries are marked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from prima_features.bench.board import board, build_board
from prima_features.bench.validate import read_bench
from prima_features.errors import UsageError

BOARD = Path(__file__).resolve().parents[2] / "board"
EXAMPLE = BOARD / "synthetic-example.json"

if not BOARD.is_dir():
    pytest.skip("needs the repository's folder board", allow_module_level=True)


def test_every_entry_is_valid_and_names_no_study() -> None:
    for path in BOARD.glob("*.json"):
        assert read_bench(path)["left_out"]["studies"] is None, path


def test_the_example_is_marked_as_synthetic_and_recovers_what_was_planted(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    build_board(tmp_path, tmp_path / "index.html")
    html = " ".join((tmp_path / "index.html").read_text().split())
    assert "Synthetic example: these numbers say nothing about real scans." in html
    assert "<h2>synthetic-example</h2>" in html
    document = read_bench(EXAMPLE)
    errors = [one["mae"]["value"] for one in document["tasks"]["brain-age"]["encoders"].values()]
    assert errors == sorted(errors), "encoders are listed by increasing noise"
    shares = [one["scanner_variance"]["value"] for one in document["reliability"].values()]
    assert shares[0] < shares[2], "the third encoder shows the scanner"


def test_real_entries_come_first() -> None:
    example = json.loads(EXAMPLE.read_text())
    real = example | {"synthetic": False, "cohort": "zzz"}
    html = board({"a-synthetic": example, "z-real": real})
    assert html.index("<h2>z-real</h2>") < html.index("<h2>a-synthetic</h2>")
    text = " ".join(html.split())
    assert "1 result sent by groups that ran prima bench on public cohorts, and 1 synthetic example." in text


def test_an_empty_folder_and_a_changed_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no bench"):
        build_board(tmp_path, tmp_path / "index.html")
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(UsageError, match="is not a valid bench"):
        build_board(tmp_path, tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()
