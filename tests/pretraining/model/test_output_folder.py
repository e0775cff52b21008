"""What the output of a run may be: nothing that no run made, and no input."""

import os
from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.pretraining.model.export import check_output
from prima_features.pretraining.run import read_stage


def check(folder: Path, output: str, source: str = "scans", model: str = "prima-untrained") -> None:
    (folder / "scans").mkdir(exist_ok=True)
    (folder / "t.toml").write_text(f'output = "{output}"\nmodel = "{model}"\n[data]\nsource = "{source}"\n')
    check_output(read_stage("tokenizer", folder / "t.toml"))


@pytest.mark.parametrize(
    "name",
    ["README.md", "model.safetensors", "config.json", "training/notes.txt", "training/text/report.txt"],
)
def test_files_that_no_run_made_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    (tmp_path / "mine" / "training" / "cache").mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UsageError, match=f"contains {name}, which prima pretrain did not write"):
        check(tmp_path, "mine")


@pytest.mark.parametrize(
    ("name", "content"),
    [("training/log.jsonl", '{"step": 1}\n'), ("training/checkpoints/step-00000001.pt", "PK\3\4")],
)
def test_the_folder_of_an_earlier_run_is_taken(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    (tmp_path / "run" / "model.safetensors").write_text("made by it")
    path.write_text("of another program")
    with pytest.raises(UsageError, match=r"contains model.safetensors"):
        check(tmp_path, "run")
    path.write_text(content)
    check(tmp_path, "run")


def test_an_input_is_no_output_under_any_name(tmp_path: Path) -> None:
    check(tmp_path, "new")
    (tmp_path / "link").symlink_to(tmp_path / "scans")
    (tmp_path / "run" / "training").mkdir(parents=True)
    (tmp_path / "run" / "training" / "log.jsonl").write_text('{"step": 1}\n')
    table = tmp_path / "table.tsv"
    table.write_text("path\tsubject\n")
    os.link(table, tmp_path / "run" / "README.md")
    for output, source, model in (
        ("scans", "scans", "x/y"),
        ("link", "scans", "x/y"),
        ("scans/../link", "scans", "x/y"),
        ("run", "table.tsv", "x/y"),
        ("run", "scans", "run"),
        ("run", "run/training", "x/y"),
    ):
        with pytest.raises(UsageError, match="an input of the run"):
            check(tmp_path, output, source, model)


@pytest.mark.parametrize("output", ["n" * 256, "a\\u0000b", "t.toml"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, output: str) -> None:
    with pytest.raises(UsageError, match=r"at most 255|NUL character|is a file"):
        check(tmp_path, output)
