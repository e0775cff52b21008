"""`prima explain`: from scans to tables, maps on the scan's own grid, and a page."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from prima_features.cli.main import main
from prima_features.encoders.prima.prepare import acquire
from prima_features.errors import NothingUsableError, UsageError
from prima_features.explain import How, Sampling, explain
from prima_features.explain.targets import Target
from prima_features.studies.dicom import find_dicom

NOTICE = "For research use only: not a medical device."
TARGET = "diagnosis/tumor_adult_glioma"
FLAIR = "AX_FLAIR"


def run(source: Path, output: Path, model: Path, *more: str, target: str = TARGET) -> int:
    return main(
        [
            "explain",
            str(source),
            str(output),
            "--model",
            str(model),
            "--target",
            target,
            "--device",
            "cpu",
            *more,
        ]
    )


@pytest.fixture(scope="module")
def explained(study_a: Path, published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The diffusion series of the golden study as in the public notebook, but with few samples."""
    output = tmp_path_factory.mktemp("explained") / "out"
    code = run(study_a, output, published, "--series", FLAIR, "--method", "lime-public", "--samples", "40")
    assert code == 0
    return output


def read(output: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    return pd.read_csv(output / "tokens.tsv", sep="\t"), json.loads((output / "explanation.json").read_text())


def test_the_folder_has_what_was_promised(explained: Path) -> None:
    assert sorted(path.name for path in explained.iterdir()) == [
        "explanation.html",
        "explanation.json",
        "map_01_AX_FLAIR.nii.gz",
        "tokens.tsv",
        "weights.json",
    ]
    tokens, document = read(explained)
    assert list(tokens) == ["series", "token_index", "z", "y", "x", "coefficient", "spread"]
    assert document["notice"] == NOTICE
    assert document["target"]["meaning"].startswith("logit of the head; present from ")
    assert NOTICE in (explained / "explanation.html").read_text()
    image = nib.load(explained / "map_01_AX_FLAIR.nii.gz")
    assert image.header["descrip"].item().decode() == NOTICE


def test_tokens_are_the_public_code_s_in_their_order(
    explained: Path, golden_clinical: Path, golden: Path
) -> None:
    tokens, _ = read(explained)
    values = np.load(golden_clinical / "a_lime_one_series.npz")
    np.testing.assert_array_equal(tokens["token_index"], values["token_index"])
    np.testing.assert_array_equal(tokens[["z", "y", "x"]], values["coord"])
    weights = json.loads((explained / "weights.json").read_text())
    document = json.loads((golden_clinical / "a_clinical.json").read_text())
    public = document["lime"]["one_series"]["public_json"]
    assert list(weights) == list(public)
    assert list(weights[FLAIR]) == list(public[FLAIR])


@pytest.mark.slow
def test_weights_are_those_of_the_public_notebook(
    study_a: Path, published: Path, golden_clinical: Path, tmp_path: Path
) -> None:
    arguments = ("--series", FLAIR, "--alone", "--method", "lime-public", "--samples", "1000")
    assert run(study_a, tmp_path / "out", published, *arguments) == 0
    document = json.loads((golden_clinical / "a_clinical.json").read_text())
    public = document["lime"]["one_series"]["public_json"][FLAIR]
    found = json.loads((tmp_path / "out" / "weights.json").read_text())[FLAIR]
    assert found.keys() == public.keys()
    assert max(abs(found[token] - public[token]) for token in public) <= 1e-5


def test_the_map_is_on_the_scan_s_grid(explained: Path, study_a: Path) -> None:
    (study,) = find_dicom(study_a).studies
    (series,) = (one for one in study.series if one.name == FLAIR)
    acquired = acquire(series)
    image = nib.load(explained / "map_01_AX_FLAIR.nii.gz")
    assert image.shape == acquired.image.GetSize()
    corner = np.array(acquired.image.GetSize()) - 1
    world = np.array(acquired.image.TransformIndexToPhysicalPoint(corner.tolist())) * [-1, -1, 1]
    np.testing.assert_allclose(nib.affines.apply_affine(image.affine, corner), world, atol=1e-3)
    tokens, _ = read(explained)
    sums = tokens.groupby("token_index")["coefficient"].sum().to_numpy()
    shown = np.unique(image.get_fdata())
    assert np.isin(np.float32(sums), np.float32(shown)).mean() > 0.9  # padding can hide a token


def test_no_name_of_a_patient_or_file_is_written(explained: Path, study_a: Path) -> None:
    import pydicom

    header = pydicom.dcmread(next(study_a.rglob("*.dcm")), stop_before_pixels=True)
    secrets = [str(header.PatientID), str(header.PatientName), header.StudyInstanceUID, str(study_a)]
    for path in explained.iterdir():
        content = path.read_bytes() if path.suffix != ".gz" else nib.load(path).to_bytes()
        for secret in filter(None, secrets):
            assert secret.encode() not in content, (path.name, secret)


def test_the_default_method_states_agreement_and_spread(
    study_a: Path, published: Path, tmp_path: Path
) -> None:
    assert run(study_a, tmp_path / "out", published, "--series", FLAIR, "--samples", "160") == 0
    tokens, document = read(tmp_path / "out")
    (series,) = document["series"]
    assert series["samples"] <= 160
    assert series["n_groups"] <= 20
    assert 0 < series["agreement_of_halves"] <= 1
    assert (tokens["spread"] > 0).all()
    assert len(document["study_series"]) == 5
    curve = series["faithfulness"]
    assert curve["ranked"][0] == pytest.approx(series["value"], abs=1e-4)


@pytest.mark.parametrize("method", ["leave-out", "gradients"])
def test_methods_without_a_spread_say_so(method: str, study_a: Path, published: Path, tmp_path: Path) -> None:
    arguments = ("--series", FLAIR, "--samples", "32", "--method", method)
    assert run(study_a, tmp_path / "out", published, *arguments) == 0
    assert "\tn/a" in (tmp_path / "out" / "tokens.tsv").read_text()
    assert f"The method {method} has no spread" in (tmp_path / "out" / "explanation.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "diagnosis/nothing"), "has no diagnosis 'nothing'"),
        (("--target", "diagnosis/glioma"), "did you mean tumor_adult_glioma"),
        (("--target", "glioma"), "is none of diagnosis/NAME"),
        (("--target", "text: "), "has nothing after 'text:': give text:WORDS"),
        (("--target", TARGET, "--ids-of", "no.h5"), "no.h5 has no no.ids.tsv next to it"),
        (("--target", TARGET, "--series", "T9"), "has no series 'T9'"),
        (("--target", TARGET, "--study", "sub-9"), "has no study 'sub-9'"),
    ],
)
def test_mistakes_are_named(
    arguments: tuple[str, ...],
    message: str,
    study_a: Path,
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["explain", str(study_a), str(tmp_path / "out"), "--model", str(published), *arguments]
    assert main(given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_series_that_cannot_be_read_are_named_and_a_study_of_them_is_refused(tmp_path: Path) -> None:
    good, broken = tmp_path / "bids" / "sub-1" / "anat", tmp_path / "bids" / "sub-2" / "anat"
    values = np.random.default_rng(0).integers(0, 900, (64, 64, 12)).astype(np.int16)
    for folder in (good, broken):
        folder.mkdir(parents=True)
        (folder / f"{folder.parent.name}_T2w.nii").write_bytes(b"cut")
    nib.save(nib.Nifti1Image(values, np.diag([3, 3, 5, 1])), good / "sub-1_FLAIR.nii.gz")
    with pytest.raises(NothingUsableError, match="No series of sub-2"):
        explain(tmp_path / "bids", None, first_number, "prima-untrained", study="sub-2")
    with pytest.raises(UsageError, match=r"has no study '3' \(sub-1"):
        explain(tmp_path / "bids", None, first_number, "prima-untrained", study="3")
    how = How("leave-out", Sampling(samples=16))
    found = explain(tmp_path / "bids", tmp_path / "out", first_number, "prima-untrained", study="1", how=how)
    assert found.study.id == "sub-1"
    (failure,) = found.failures
    assert failure.series
    assert f"{failure.series} could not be read" in (tmp_path / "out" / "explanation.html").read_text()


def first_number(model: Any, device: Any) -> Target:
    return Target("first", "first number", lambda output: output.embedding[:, 0])


def test_a_folder_of_someone_else_is_not_replaced(study_a: Path, published: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert run(study_a, tmp_path / "out", published) == 2
    assert (tmp_path / "out" / "thesis.txt").exists()


@pytest.fixture(scope="module")
def probe(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe of two classes on random vectors that claim to be the model's."""
    from prima_features.encoders.prima import PrimaModel
    from prima_features.probes import Features, FeatureSource, Probe, tasks

    info = PrimaModel.from_pretrained(published).info
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 192)).astype(np.float32)
    frame = pd.DataFrame(
        {"study": [f"s{i}" for i in range(40)], "target": np.where(vectors[:, 0] > 0, "b", "a")}
    )
    source = FeatureSource(info.name, info.revision, info.sha256, encoder=info.encoder)
    fitted = Probe(tasks.custom("x", ("a", "b"))).fit(Features.of(vectors, source), frame)
    return fitted.save(tmp_path_factory.mktemp("probe") / "probe")


def test_a_probe_is_a_target(probe: Path, study_a: Path, published: Path, tmp_path: Path) -> None:
    arguments = ("--series", FLAIR, "--samples", "32", "--method", "leave-out")
    assert run(study_a, tmp_path / "out", published, *arguments, target=f"probe:{probe}") == 0
    tokens, document = read(tmp_path / "out")
    assert document["target"]["meaning"] == "log-odds of b, before calibration"
    assert tokens["coefficient"].abs().max() > 0
    assert str(probe.parent) not in (tmp_path / "out" / "explanation.html").read_text()


def test_a_probe_has_no_gradient_and_only_its_own_classes(
    probe: Path, study_a: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study_a, tmp_path / "o", published, "--method", "gradients", target=f"probe:{probe}") == 2
    assert "has no gradient" in capsys.readouterr().err
    assert run(study_a, tmp_path / "o", published, target=f"probe:{probe}#c") == 2
    assert "has no class 'c': choose one of a, b" in capsys.readouterr().err


def test_a_text_is_a_target_and_a_caveat_is_in_every_file(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    values = np.random.default_rng(0).integers(0, 900, (64, 64, 12)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([3, 3, 5, 1])), tmp_path / "scan.nii.gz")
    code = main(
        [
            "explain",
            str(tmp_path / "scan.nii.gz"),
            str(tmp_path / "out"),
            "--target",
            "text:glioma",
            "--samples",
            "24",
        ]
    )
    assert code == 0
    tokens, document = read(tmp_path / "out")
    assert "synthetic brains only" in document["caveat"]
    assert tokens["caveat"].str.contains("synthetic brains only").all()
    assert "synthetic brains only" in (tmp_path / "out" / "explanation.html").read_text()
    (path,) = (tmp_path / "out").glob("*.nii.gz")
    image = nib.load(path)
    assert image.shape == values.shape
    np.testing.assert_array_equal(image.affine, np.diag([3, 3, 5, 1]))
    assert "synthetic brains only" in image.header.extensions[0].get_content().decode()
