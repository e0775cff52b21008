"""An encoder of another package, which no line of the library knows, embeds like Prima.

The package is tests/data/toy_encoder, installed once with pip into a folder of its own. docs/adding-an-encoder.md shows
the same files.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from prima_features import embed, read_embeddings
from prima_features.cli.main import main
from prima_features.encoders.registry import load_encoder

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SOURCE = REPOSITORY / "tests" / "data" / "toy_encoder"
PAGE = REPOSITORY / "docs" / "adding-an-encoder.md"
N_STUDIES = 20

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The toy package, installed where this process and those that it starts find it."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(SOURCE, folder / "source")  # pip leaves a build folder
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "source")], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "site"))
        paths = [str(folder / "site"), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield folder / "site"
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_encoder"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def model(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory, made by the script of the package."""
    directory = tmp_path_factory.mktemp("toy-model") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["make_model.py", str(directory)])
        exec(compile((SOURCE / "make_model.py").read_text(), "make_model.py", "exec"), {})
    return directory


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subjects with a T1w, and the first four with a FLAIR, which get brighter with age."""
    root = tmp_path_factory.mktemp("toy-scans") / "bids"
    ages = np.linspace(20, 80, N_STUDIES).round(1)
    for number, age in enumerate(ages):
        anat = root / f"sub-{number:02}" / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "FLAIR") if number < 4 else ("T1w",):
            values = (
                np.random.default_rng([number, len(suffix)]).integers(0, 500, (16, 16, 8)).astype(np.int16)
            )
            values[4:12, 4:12] += int(10 * age)
            image = nib.Nifti1Image(values, np.diag([4.0, 4.0, 8.0, 1.0]))
            nib.save(image, anat / f"sub-{number:02}_{suffix}.nii")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    people = {"participant_id": [f"sub-{i:02}" for i in range(N_STUDIES)], "age": ages}
    pd.DataFrame(people).to_csv(root / "participants.tsv", sep="\t", index=False)
    return root


@pytest.fixture(scope="module")
def whole(bids: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run makes of the scans."""
    output = tmp_path_factory.mktemp("toy-whole") / "whole.h5"
    assert run("embed", bids, output, "--model", model, "--workers", 0) == 0
    return output


@pytest.fixture
def few(bids: Path, tmp_path: Path) -> Path:
    """The first two subjects, to change."""
    for name in ("sub-00", "sub-01"):
        shutil.copytree(bids / name, tmp_path / "few" / name)
    shutil.copy(bids / "dataset_description.json", tmp_path / "few")
    return tmp_path / "few"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def one_sentence(capsys: Capture, *arguments: object, code: int = 2) -> str:
    """What a command that fails says."""
    capsys.readouterr()
    assert run(*arguments) == code
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("Error: ") if code == 2 else "Error: " in said
    assert "Traceback" not in said and "Internal error" not in said
    return said


def assert_same(one: Path, other: Path) -> None:
    a, b = read_embeddings(one), read_embeddings(other)
    assert a.studies.equals(b.studies)
    assert a.series.equals(b.series)
    assert a.failures.equals(b.failures)
    np.testing.assert_allclose(a.study_embedding, b.study_embedding, rtol=0, atol=1e-5)
    np.testing.assert_allclose(a.series_embedding, b.series_embedding, rtol=0, atol=1e-5)


def check_file(path: Path, model: Path, n_studies: int) -> None:
    """What a file of the toy encoder states and contains."""
    from prima_features.files.disk import sha256

    file = read_embeddings(path)
    assert file.n_studies == n_studies
    assert not file.has("study/clip") and not file.has_tokens
    assert file.attributes["encoder"] == "toy"
    assert file.attributes["format_version"] == 2
    assert file.attributes["model_sha256"] == sha256(model / "model.safetensors")
    assert file.caveat == "The toy encoder is an example: its numbers mean nothing."
    assert file.attributes["licence"] == "MIT"
    assert file.attributes["citation"] == "Doe et al. 2026, Toy encoders"
    assert file.widths == {"study": 12, "series": 12, "clip": None, "token": None}
    assert file.preprocessing["study_vector"] == "mean of the series vectors"
    assert file.preprocessing["n_blocks"] == 4
    assert set(file.series["n_tokens"]) == {64}
    for study, vector in enumerate(file.study_embedding):
        series = file.series_embedding[file.series["study"] == study]
        np.testing.assert_allclose(vector, series.mean(axis=0), rtol=0, atol=1e-6)


def test_a_bids_dataset_is_embedded_with_a_page(whole: Path, model: Path, capsys: Capture) -> None:
    check_file(whole, model, N_STUDIES)
    page = whole.with_name("whole.report.html").read_text()
    assert "The toy encoder is an example" in page
    assert "data:image/jpeg" in page
    assert (
        "A picture of each series, as its encoder draws it" in page and "<dt>Encoder</dt><dd>toy</dd>" in page
    )
    assert "CLIP" not in page and "subvolumes to latents" not in page
    assert "<dt>Licence</dt><dd>MIT</dd>" in page and "<dd>Doe et al. 2026, Toy encoders</dd>" in page
    record = json.loads(whole.with_name("whole.run.json").read_text())
    assert record["total"]["stages"]["encode"] > 0
    assert (record["model"]["encoder"], record["model"]["licence"]) == ("toy", "MIT")
    (one,) = record["runs"]
    assert one["unit"] == "series" and one["counts"]["items"] == one["counts"]["series"]
    assert "gflop" not in one["counts"]  # this encoder does not say
    assert f"The encoder encoded {one['counts']['items']:,} series" in page
    assert run("inspect", whole) == 0
    said = capsys.readouterr().out
    assert "/study/clip" not in said
    assert "20 x 12 float32" in said
    assert "Prima" not in said and "prima embed --level token" not in said
    assert "Doe et al. 2026, Toy encoders" in said


def test_a_dicom_study_is_embedded(study_a: Path, model: Path, tmp_path: Path) -> None:
    assert run("embed", study_a, tmp_path / "out.h5", "--model", model, "--workers", 0) == 0
    check_file(tmp_path / "out.h5", model, 1)
    assert set(read_embeddings(tmp_path / "out.h5").series["slice_axis_known_by"]) == {"acquisition"}


def test_resumed_sharded_and_merged_runs_equal_a_whole_run(
    bids: Path, whole: Path, model: Path, tmp_path: Path
) -> None:
    """The first shard reads in another process."""
    for name in ("a.h5", "b.h5"):
        given = ["embed", bids, tmp_path / name, "--model", model, "--no-pictures"]
        assert run(*given, "--shard", "1/2", "--workers", 1 if name == "a.h5" else 0) == 0
        assert not (tmp_path / name).exists()
    summary = embed(bids, tmp_path / "a.h5", model=str(model))
    assert (summary.n_studies, summary.n_kept) == (N_STUDIES, N_STUDIES // 2)
    assert_same(tmp_path / "a.h5", whole)
    assert run(*given, "--shard", "2/2", "--workers", 0) == 0
    assert run("merge", tmp_path / "b.h5") == 0
    assert_same(tmp_path / "b.h5", whole)
    check_file(tmp_path / "b.h5", model, N_STUDIES)


def test_ray_embeds_the_same(bids: Path, whole: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra prima-features[ray]")
    assert run("embed", bids, tmp_path / "out.h5", "--model", model, "--engine", "ray") == 0
    assert_same(tmp_path / "out.h5", whole)


def test_an_export_has_what_the_encoder_gives(whole: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run("export", whole, tmp_path / "out.csv") == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert len(table) == N_STUDIES and "embedding_11" in table and "embedding_12" not in table
    said = one_sentence(capsys, "export", whole, tmp_path / "clip.csv", "--level", "clip")
    assert "has no clip vectors: its encoder provides none" in said


def test_a_probe_fits_and_refuses_other_embeddings_of_the_same_studies(
    bids: Path, whole: Path, tmp_path: Path, capsys: Capture
) -> None:
    quick = ["--bootstrap", 20, "--no-learning-curve", "--no-site-check", "--folds", 3, "--inner-folds", 2]
    given = ["brain-age", whole, "--labels", bids / "participants.tsv", "--output", tmp_path / "probe"]
    assert run("probe", "fit", *given, *quick) == 0
    methods = (tmp_path / "probe" / "report.html").read_text()
    assert "Lyu" not in methods
    assert run("probe", "predict", tmp_path / "probe", whole, tmp_path / "toy.tsv") == 0
    assert len(pd.read_csv(tmp_path / "toy.tsv", sep="\t")) == N_STUDIES
    prima = ["--model", "prima-untrained", "--participant-label", "00", "01", "--workers", 0, "--no-report"]
    assert run("embed", bids, tmp_path / "prima.h5", *prima) == 0
    said = one_sentence(
        capsys, "probe", "predict", tmp_path / "probe", tmp_path / "prima.h5", tmp_path / "other.tsv"
    )
    assert "prima-untrained" in said
    said = one_sentence(capsys, "merge", tmp_path / "both.h5", whole, tmp_path / "prima.h5")
    assert "were made by different models" in said


def test_a_model_directory_is_verified_and_listed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run("weights", "verify", model) == 0
    said = capsys.readouterr().out
    assert said.count("as recorded") == 2 and "Loaded: encoder" in said
    snapshot = tmp_path / "models--lab--toy" / "snapshots" / ("0" * 40)
    shutil.copytree(model, snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert run("weights", "list") == 0
    said = capsys.readouterr().out
    assert "lab/toy" in said
    assert re.search(
        r"neurovfm is gated \(request .*\): https://huggingface.co/mlinslab/neurovfm-encoder", said
    )


def test_the_doctor_compares_with_a_recorded_answer(model: Path, tmp_path: Path, capsys: Capture) -> None:
    copy = shutil.copytree(model, tmp_path / "toy")
    asked = ["doctor", "--model", copy, "--device", "cpu", "--output", tmp_path, "--json"]

    def answer() -> dict[str, Any]:
        capsys.readouterr()
        run(*asked)
        found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert found["weights"]["status"] == "PASS"
        return found["known answer"]

    assert "no recorded answer" in answer()["found"]
    assert run("doctor", "--model", copy, "--device", "cpu", "--record-answer") == 0
    assert set(json.loads((copy / "known_answer.json").read_text())) == {
        "scan", "model_sha256", "study", "series",
    }  # fmt: skip
    assert answer()["status"] == "PASS"


def test_tokens_are_refused_before_anything_is_read(
    bids: Path, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out.h5"
    said = one_sentence(capsys, "embed", bids, output, "--model", model, "--level", "token")
    assert "has no tokens" in said
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_is_not_installed_is_named(
    bids: Path, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    config = other / "config.json"
    config.write_text('{"model_type": "stranger"}')
    said = one_sentence(capsys, "embed", bids, tmp_path / "out.h5", "--model", other)
    assert "asks for the encoder 'stranger', which is not installed (installed: " in said
    assert "prima, " in said and "toy)" in said


def package(folder: Path, name: str, code: str) -> None:
    """An installed package whose encoder is `code`."""
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[prima_features.encoders]\nbroken = {name}:load\n")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('no licence')", "cannot be imported (RuntimeError: no licence)"),
        ("import no_such_package", "cannot be imported (ModuleNotFoundError: No module named"),
        ("", "cannot be imported (AttributeError"),
        ("def load(source): return 1", "returned an object of type int, not an Encoder"),
        ("def load(source): return source.no_such", "cannot load"),
    ],
)
def test_a_package_that_is_broken_is_named(
    model: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    says: str,
) -> None:
    package(tmp_path, "broken_encoder", code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_encoder", raising=False)
    other = shutil.copytree(model, tmp_path / "other")
    (other / "SHA256SUMS").unlink()
    (other / "config.json").write_text('{"model_type": "broken"}')
    said = one_sentence(capsys, "weights", "verify", other)
    assert says in said and "'broken'" in said
    monkeypatch.delitem(sys.modules, "broken_encoder", raising=False)


def test_two_packages_with_one_encoder_name_are_refused(
    model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one_encoder", "other_encoder"):
        package(tmp_path, name, "")
    monkeypatch.syspath_prepend(str(tmp_path))
    other = shutil.copytree(model, tmp_path / "other")
    (other / "SHA256SUMS").unlink()
    (other / "config.json").write_text('{"model_type": "broken"}')
    said = one_sentence(capsys, "weights", "verify", other)
    assert "one-encoder" in said.replace("_", "-") and "other-encoder" in said.replace("_", "-")
    assert run("weights", "verify", model) == 0


def test_a_series_with_nan_fails_and_the_others_are_embedded(
    few: Path, whole: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = importlib.import_module("toy_encoder.encoder")
    encode = toy.ToyInference.encode

    def with_nan(self: Any, studies: Any, *rest: Any) -> Any:
        results = encode(self, studies, *rest)
        for (study, series), result in zip(studies, results, strict=True):
            rows = [one.name == "FLAIR" and study.id == "sub-00" for one, _ in series]
            result.series[rows] = np.nan
        return results

    monkeypatch.setattr(toy.ToyInference, "encode", with_nan)
    assert run("embed", few, tmp_path / "out.h5", "--model", model, "--workers", 0) == 3
    file = read_embeddings(tmp_path / "out.h5")
    (failure,) = file.failures.to_dict("records")
    assert (failure["study"], failure["series"], failure["stage"]) == ("sub-00", "FLAIR", "encode")
    assert "NaN" in failure["error"]
    assert list(file.studies["n_series"]) == [1, 2]
    np.testing.assert_allclose(file.study_embedding[1], read_embeddings(whole).study_embedding[1], atol=1e-6)


@pytest.mark.parametrize("wrong", ["width", "number", "clip"])
def test_vectors_of_other_sizes_than_stated_are_never_stored(
    few: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, wrong: str
) -> None:
    toy = importlib.import_module("toy_encoder.encoder")

    def encode(self: Any, studies: Any, *rest: Any) -> Any:
        n = [len(series) + (wrong == "number") for _, series in studies]
        clip = np.ones(3, np.float32) if wrong == "clip" else None
        return [
            toy.EncodedStudy(np.ones((i, 5 if wrong == "width" else 12), np.float32), clip=clip) for i in n
        ]

    monkeypatch.setattr(toy.ToyInference, "encode", encode)
    said = one_sentence(capsys, "embed", few, tmp_path / "out.h5", "--model", model, "--workers", 0, code=4)
    assert "the encoder returned" in said


def test_a_preparer_that_readers_cannot_import_is_named(
    few: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    toy = importlib.import_module("toy_encoder.encoder")

    class Lost(toy.ToyPreparer):  # type: ignore[name-defined, misc]
        """Of a module that only this process has."""

    Lost.__module__, Lost.__qualname__ = "only_here", "Lost"
    module = type(sys)("only_here")
    module.Lost = Lost  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", module)
    monkeypatch.setattr(toy.ToyEncoder, "preparer", lambda self: Lost(4))
    said = one_sentence(capsys, "embed", few, tmp_path / "out.h5", "--model", model, "--workers", 1)
    assert "only_here" in said and "--workers 0" in said
    monkeypatch.setattr(toy.ToyEncoder, "preparer", lambda self: lambda *arguments: None)
    said = one_sentence(capsys, "embed", few, tmp_path / "out.h5", "--model", model, "--workers", 1)
    assert "pickled" in said


def test_reading_imports_no_torch(site: Path) -> None:
    code = "import sys, toy_encoder.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_batch_gives_what_its_studies_give(bids: Path, whole: Path, model: Path, tmp_path: Path) -> None:
    encoder = load_encoder(model)
    assert encoder.info.name == "toy" and encoder.info.revision == "local"
    given = ["--model", model, "--workers", 0, "--batch-size", 1, "--no-report"]
    assert run("embed", bids, tmp_path / "out.h5", *given) == 0
    assert_same(tmp_path / "out.h5", whole)


def test_the_page_shows_the_files_of_the_package() -> None:
    shown = re.findall(r"^`([\w./]+)`:\n\n```\w*\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert {name for name, _ in shown} == {
        str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*") if file.suffix in (".py", ".toml")
    }
    for name, text in shown:
        assert text == (SOURCE / name).read_text(), name
