"""`prima bench`, from embeddings files and a label table to its files."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from prima_features.cli.main import main
from tests.bench.conftest import Cohort

Capture = pytest.CaptureFixture[str]
QUICK = [
    "--bootstrap",
    "50",
    "--folds",
    "3",
    "--inner-folds",
    "2",
    "--probes",
    "linear",
    "--draws",
    "3",
    "--no-site-check",
]


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """A small cohort."""
    return Cohort(tmp_path, n=60)


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_one_command_compares_encoders(cohort: Cohort, tmp_path: Path, capsys: Capture) -> None:
    one, other = cohort.encoder("one", 0.5), cohort.encoder("other", 1.0, without=2)
    files = ["--embeddings", f"A={one}", "--embeddings", f"B={other}"]
    tasks = ["--task", "brain-age", "--task", "autism=diagnosis"]
    out = tmp_path / "out"
    assert run("bench", out, *files, "--labels", cohort.labels, *tasks, *QUICK) == 0
    assert {"bench.json", "bench.tsv"} <= {path.name for path in out.iterdir()}
    document = json.loads((out / "bench.json").read_text())
    assert set(document["tasks"]) == {"brain-age", "autism"}
    assert list(document["encoders"]) == ["A", "B"]
    told = capsys.readouterr()
    assert "A - B" in told.out and "p (Holm)" in told.out
    assert "58 studies in all 2 embeddings files" in told.err
    assert "B lacks 2 studies of another file, left out for all encoders: sub-058, sub-059" in told.err


def test_a_dry_run_shows_what_would_be_compared(cohort: Cohort, tmp_path: Path, capsys: Capture) -> None:
    table = pd.read_csv(cohort.labels, sep="\t", dtype=str)
    table.loc[:2, "age"] = ""
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    files = ["--embeddings", f"A={cohort.encoder('one', 0.5)}"]
    files += ["--embeddings", f"B={cohort.encoder('other', 1.0, without=2)}"]
    out, arguments = tmp_path / "out", [*files, "--labels", tmp_path / "t.tsv", "--task", "brain-age", *QUICK]
    assert run("bench", out, *arguments, "--repeats", "2", "--dry-run") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert not out.exists()
    assert "58 studies in all 2 embeddings files" in told
    assert "55 of 60 studies have a label" in told
    assert "2 studies not used: not in all embeddings files, such as sub-058" in told
    assert "Probes: linear; 3 folds, 2 repeats; 12 fits of 55 rows, each with 2 inner folds" in told
    assert run("bench", out, *arguments) == 0
    assert json.loads((out / "bench.json").read_text())["tasks"]["brain-age"]["n_studies"] == 55


def test_a_dry_run_refuses_what_the_run_would_refuse(cohort: Cohort, tmp_path: Path, capsys: Capture) -> None:
    files = ["--embeddings", f"A={cohort.encoder('one', 0.5)}", "--labels", cohort.labels]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    for folder, arguments, code in (
        (tmp_path / "out", ["--task", "number=nothing"], 2),
        (tmp_path / "out", ["--task", "survival"], 2),
        (mine, ["--task", "brain-age"], 2),
    ):
        told = []
        for more in ([], ["--dry-run"]):
            assert run("bench", folder, *files, *arguments, *QUICK, *more) == code
            told.append(" ".join(capsys.readouterr().err.split()))
        assert told[0] == told[1] != ""
    assert not (tmp_path / "out").exists()


def test_wrong_use_is_one_sentence(cohort: Cohort, tmp_path: Path, capsys: Capture) -> None:
    one = cohort.encoder("one", 0.5)
    for arguments, sentence in (
        (["--embeddings", one, "--task", "brain-age"], "is not of the form NAME=VALUE"),
        (["--embeddings", f"A={one}"], "there is nothing to compare"),
        (["--embeddings", f"A={one}", "--task", "count"], "write --task count=COLUMN"),
        (["--embeddings", f"A={one}", "--task", "brain-age", "--probes", "mlp"], "expected linear or knn"),
        (["--embeddings", f"A={tmp_path / 'no.h5'}", "--task", "brain-age"], "does not exist"),
    ):
        assert run("bench", tmp_path / "out", "--labels", cohort.labels, *arguments) == 2
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_each_column_has_its_type(cohort: Cohort, tmp_path: Path) -> None:
    table = pd.read_csv(cohort.labels, sep="\t")
    table["lesions"] = (table["age"] // 10).astype(int)
    table["stage"] = pd.cut(table["age"], 3, labels=["low", "middle", "high"])
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    files = ["--embeddings", f"A={cohort.encoder('one', 0.5)}", "--labels", tmp_path / "t.tsv"]
    tasks = ["--task", "count=lesions", "--task", "number=age", "--task", "ordinal=stage"]
    tasks += ["--classes", "low", "middle", "high"]
    assert run("bench", tmp_path / "out", *files, *tasks, *QUICK) == 0
    found = json.loads((tmp_path / "out" / "bench.json").read_text())["tasks"]
    assert {name: one["kind"] for name, one in found.items()} == {
        "lesions": "count",
        "stage": "ordinal",
        "age": "regression",
    }


def test_all_inputs_are_checked_before_anything_is_computed(
    cohort: Cohort, tmp_path: Path, capsys: Capture
) -> None:
    files = [
        "--embeddings",
        f"A={cohort.encoder('one', 0.5)}",
        "--labels",
        cohort.labels,
        "--task",
        "brain-age",
    ]
    for arguments in (["--task", "custom=nothing"], ["--repeats-table", tmp_path / "no.tsv"]):
        assert run("bench", tmp_path / "out", *files, *arguments, *QUICK) == 2
        assert "comparing" not in capsys.readouterr().err


def test_reliability_of_a_table_of_repeat_scans(cohort: Cohort, tmp_path: Path, capsys: Capture) -> None:
    one = cohort.encoder("one", 0.5)
    rows = [f"sub-{i:03d}\t{i // 2}\tscanner {i % 2}" for i in range(20)]
    (tmp_path / "repeats.tsv").write_text("\n".join(["study\tsubject\tscanner", *rows]) + "\n")
    asked = ["--embeddings", f"A={one}", "--repeats-table", tmp_path / "repeats.tsv", "--bootstrap", "50"]
    assert run("bench", tmp_path / "out", *asked) == 0
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert {"icc", "identification", "discriminability", "scanner_variance"} <= set(
        document["reliability"]["A"]
    )
    told = capsys.readouterr().out
    assert "scanner_variance" in told and "A, ComBat" in told


def test_validate_is_a_word_after_bench(cohort: Cohort, tmp_path: Path, capsys: Capture) -> None:
    one = cohort.encoder("one", 0.5)
    asked = ["--embeddings", f"A={one}", "--labels", cohort.labels, "--task", "brain-age", *QUICK]
    assert run("bench", tmp_path / "out", *asked, "--cohort-name", "ds1", "--synthetic") == 0
    file = tmp_path / "out" / "bench.json"
    capsys.readouterr()
    assert run("bench", "validate", file) == 0
    assert "valid; 1 encoder, 1 task, 60 studies" in " ".join(capsys.readouterr().out.split())
    document = json.loads(file.read_text())
    assert document["cohort"] == "ds1" and document["synthetic"]
    file.write_text("{}")
    assert run("bench", "validate", file) == 2
    assert "is not a valid bench.json" in capsys.readouterr().err
    assert run("bench", "validate", tmp_path / "none.json") == 2
