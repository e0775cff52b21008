"""`prima embed --model A --model B`: one file per model."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from prima_features import read_embeddings
from prima_features.cli.main import main
from prima_features.embedding.several import load_models
from prima_features.errors import UsageError
from prima_features.models import bundled

Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refused(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "Traceback" not in said and "Internal error" not in said
    return said


def test_each_model_gets_the_file_of_a_run_of_its_own(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    models = ("--model", "prima-untrained", "--model", "intensity", "--model", "acquisition")
    assert run("embed", *models, bids, folder / "out.h5") == 0
    said = capsys.readouterr()
    assert "9/9 " in said.err and "(out.intensity.h5)" in said.err
    for name in ("prima-untrained", "intensity", "acquisition"):
        assert f"out.{name}.h5: 3 studies with 6 series" in said.out
        assert (folder / f"out.{name}.report.html").exists() and (folder / f"out.{name}.run.json").exists()
        assert run("embed", bids, tmp_path / "alone.h5", "--model", name) == 0
        file, alone = read_embeddings(folder / f"out.{name}.h5"), read_embeddings(tmp_path / "alone.h5")
        assert file.attributes["model"] == name
        assert file.studies.equals(alone.studies) and file.series.equals(alone.series)
        np.testing.assert_array_equal(file.study_embedding, alone.study_embedding)
        np.testing.assert_array_equal(file.series_embedding, alone.series_embedding)
        # A run of one model takes over its file of a run of several.
        capsys.readouterr()
        assert run("embed", bids, folder / f"out.{name}.h5", "--model", name) == 0
        assert "3 of them from an earlier run" in capsys.readouterr().out
    assert not (folder / "out.h5").exists()


def test_one_model_that_fails_gives_exit_code_3_and_the_others_are_there(
    bids: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.rmtree(bids / "sub-02")
    (bids / "sub-01/anat/sub-01_FLAIR.nii.gz").write_bytes(b"")
    assert run("embed", bids, tmp_path / "out.h5", "--model", "intensity", "--model", "acquisition") == 3
    said = capsys.readouterr()
    assert said.err.count("the file is empty") == 1  # which both models lack
    assert said.out.count("problems in 1 study") == 2


def test_an_argument_may_follow_a_model() -> None:
    import typer

    from prima_features.cli.main import app
    from prima_features.cli.options import spread

    command = typer.main.get_command(app).commands["embed"]  # type: ignore[attr-defined]
    given = ["SOURCE", "--model", "a", "--model", "b", "out.h5"]
    assert spread(given, command) == given


def test_models_of_one_name_can_be_given_names(tmp_path: Path, capsys: Capture) -> None:
    copy = tmp_path / "copy" / "intensity"
    shutil.copytree(bundled.path("intensity"), copy)
    output = tmp_path / "out.h5"
    said = refused(capsys, "embed", tmp_path, output, "--model", "intensity", "--model", copy)
    assert "are both called intensity" in said and f"--model intensity2={copy}" in said
    made = load_models(output, ["intensity", f"other={copy}"], {})
    assert list(made) == [tmp_path / "out.intensity.h5", tmp_path / "out.other.h5"]
    with pytest.raises(UsageError, match="both called"):  # one file on some disks
        load_models(output, ["intensity", f"Intensity={copy}"], {})


@pytest.mark.parametrize("folder", ["a:b", "line\nbreak", "a;b", "a*", "back\\slash", "caf\udce9", "tab\t"])
def test_a_folder_whose_name_cannot_be_part_of_a_files_name_has_to_be_named(
    tmp_path: Path, folder: str
) -> None:
    copy, output = tmp_path / folder, tmp_path / "out.h5"
    shutil.copytree(bundled.path("intensity"), copy)
    with pytest.raises(UsageError, match=r"--model '?NAME="):
        load_models(output, ["acquisition", str(copy)], {})
    assert list(load_models(output, [str(copy)], {})) == [output]
    names = [path.name for path in load_models(output, ["acquisition", f"copy={copy}"], {})]
    assert names == ["out.acquisition.h5", "out.copy.h5"]


def test_a_single_model_keeps_the_outputs_name_unless_it_is_named(tmp_path: Path) -> None:
    assert list(load_models(tmp_path / "out.h5", ["intensity"], {})) == [tmp_path / "out.h5"]
    assert list(load_models(tmp_path / "out.h5", ["a=intensity"], {})) == [tmp_path / "out.a.h5"]
    assert list(load_models(tmp_path / "out", ["a=intensity"], {})) == [tmp_path / "out.a.h5"]


def test_a_directory_with_an_equals_sign_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundled.path("intensity"), tmp_path / "bins=32")
    monkeypatch.chdir(tmp_path)
    assert list(load_models(Path("out.h5"), ["bins=32"], {})) == [Path("out.h5")]
    assert list(load_models(Path("out.h5"), [f"{tmp_path}/bins=32", "acquisition"], {})) == [
        Path("out.bins=32.h5"),
        Path("out.acquisition.h5"),
    ]


@pytest.mark.parametrize("model", ["=intensity", "a b=intensity", "a="])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match="is not of the form NAME=MODEL"):
        load_models(tmp_path / "out.h5", [model, "acquisition"], {})


def test_nothing_starts_if_a_model_cannot_be_loaded(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    said = refused(capsys, "embed", bids, tmp_path / "out.h5", "--model", "intensity", "--model", "no-such")
    assert "no model no-such" in said
    assert not list(tmp_path.glob("out.*"))


def test_an_option_is_set_in_the_models_that_have_it(tmp_path: Path) -> None:
    models = ["prima-untrained", "second=prima-untrained", "intensity"]

    def names(options: dict[str, str]) -> list[str]:
        encoders = load_models(tmp_path / "out.h5", models, options).values()
        return [encoder.info.settings.get("series_names", "") for encoder in encoders]

    assert names({}) == ["", "", ""]
    assert names({"series_names": "hidden"}) == ["hidden", "hidden", ""]
    assert names({"second:series_names": "hidden"}) == ["", "hidden", ""]
    assert names({"second:series_names": "keep", "series_names": "hidden"}) == ["hidden", "", ""]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("no_such", "1", "None of the models has an option no_such"),
        ("series_names", "maybe", "series_names must be keep or hidden, not maybe"),
        ("intensity:series_names", "hidden", "has no option series_names"),
        ("first:series_names", "hidden", "the models are called prima-untrained, intensity"),
    ],
)
def test_an_option_that_fits_no_model_is_refused(
    tmp_path: Path, option: str, value: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_models(tmp_path / "out.h5", ["prima-untrained", "intensity"], {option: value})


def test_a_bids_app_takes_one_model(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    for models in (["--model", "intensity", "--model", "acquisition"], ["--model", "a=intensity"]):
        said = refused(capsys, bids, tmp_path / "out", "participant", *models)
        assert "a BIDS App takes one MODEL" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "nosuch"], "no model nosuch"),
        (["--model", "./nosuch"], "not a Hub id"),
        (["--model", "intensity", "--model", "brainiac"], "prima weights download brainiac"),
        (["--model", "intensity", "--model", "intensity"], "are both called intensity"),
        (["--model", "intensity", "--encoder-option", "x=y"], "has no option x"),
    ],
)
def test_a_dry_run_refuses_the_models_that_a_run_refuses(
    bids: Path, tmp_path: Path, capsys: Capture, arguments: list[str], says: str
) -> None:
    for more in ([], ["--dry-run"]):
        assert says in refused(capsys, "embed", bids, tmp_path / "out.h5", *arguments, *more)


def test_a_dry_run_downloads_and_writes_nothing(
    bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert run("embed", bids, tmp_path / "o" / "out.h5", "--model", "lab/toy", "--dry-run") == 0
    assert run("embed", bids, tmp_path / "o" / "out.h5", "--model", "intensity", "--dry-run") == 0
    assert "sub-01" in capsys.readouterr().out
    assert not (tmp_path / "o").exists()


def test_suggested_options_can_be_copied_to_a_shell(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    copy = shutil.copytree(bundled.path("intensity"), tmp_path / "my $HOME" / "intensity")
    said = refused(capsys, "embed", bids, tmp_path / "out.h5", "--model", "intensity", "--model", copy)
    assert f"--model {shlex.quote(f'intensity2={copy}')}" in said
