"""`prima probe`, from an embeddings file and a label table to a report and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.models.caveats import caveat_of

QUICK = ["--bootstrap", "50", "--no-learning-curve", "--no-site-check", "--folds", "3", "--inner-folds", "2"]
Capture = pytest.CaptureFixture[str]
MakeCohort = Callable[..., Path]


@pytest.fixture
def cohort(tmp_path: Path) -> MakeCohort:
    """Writes a folder with out.h5 and participants.tsv: 60 subjects whose vectors tell age and diagnosis."""

    def make(name: str, seed: int = 0, model: str = "0" * 64, n: int = 60) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(seed)
        age, sick = rng.uniform(20, 80, n).round(1), rng.permutation(n) % 2 == 0
        vectors = rng.normal(size=(n, 12)).astype(np.float32)
        vectors[:, 0] += (age - 50) / 8
        vectors[:, 1] += 3 * sick
        labels = [f"{name}{i:02d}" for i in range(n)]
        studies = [
            EmbeddedStudy(
                id=f"sub-{label}",
                subject=label,
                session="",
                description="MRI BRAIN",
                source="",
                embedding=vector,
                clip=np.ones(2, np.float32),
                series=tuple(_series(vector[:4] * (k + 1), kind) for k, kind in enumerate(("T1w", "FLAIR"))),
            )
            for label, vector in zip(labels, vectors, strict=True)
        ]
        write_embeddings(folder / "out.h5", studies, Provenance("tiny", "1", model, {}))
        pd.DataFrame(
            {
                "participant_id": [f"sub-{label}" for label in labels],
                "age": age,
                "sex": np.where(rng.random(n) < 0.5, "F", "M"),
                "site": np.array(["Guys", "HH"])[rng.integers(0, 2, n)],
                "diagnosis": np.where(sick, "autism", "control"),
                "score": (10 * vectors[:, 2]).round(2),
            }
        ).to_csv(folder / "participants.tsv", sep="\t", index=False)
        return folder

    return make


def _series(vector: np.ndarray, name: str) -> EmbeddedSeries:
    return EmbeddedSeries(
        name=name,
        plane="axial",
        source="",
        n_tokens=9,
        shape=(5, 9, 9),
        spacing=(5.0, 1.0, 1.0),
        embedding=vector,
    )


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def fit(task: str, folder: Path, output: Path, *more: str | Path) -> int:
    labels = ["--labels", folder / "participants.tsv"]
    return run("probe", "fit", task, folder / "out.h5", *labels, "--output", output, *QUICK, *more)


def test_one_command_fits_brain_age_and_writes_what_the_contract_names(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "probe"
    assert fit("brain-age", cohort("a"), output, "--bias-correction", "cole") == 0
    found = {path.name for path in output.iterdir()}
    assert found == {
        "probe.json", "model.safetensors", "metrics.json", "predictions.tsv", "report.html", "README.md",
        "training_subjects.txt",
    }  # fmt: skip
    metrics = json.loads((output / "metrics.json").read_text())
    assert set(metrics["metrics"]) == {"mae", "rmse", "r2", "pearson_r"}
    assert metrics["metrics"]["mae"]["ci_low"] < metrics["metrics"]["mae"]["value"] < 12
    assert set(metrics["baselines"]) == {"dummy", "sex", "site"}
    predictions = pd.read_csv(output / "predictions.tsv", sep="\t")
    assert len(predictions) == 60
    told = capsys.readouterr()
    assert "95% intervals over subjects" in told.out
    assert "report.html" in told.out
    report = (output / "report.html").read_text()
    assert "sub-a" not in report and "prima probe fit brain-age out.h5" in report


def test_a_saved_probe_is_evaluated_on_another_cohort_and_predicts_it(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    trained, other = cohort("a"), cohort("b", seed=1)
    assert fit("autism", trained, tmp_path / "probe", "--target-column", "diagnosis") == 0
    table = other / "participants.tsv"
    table.write_text(table.read_text() + "sub-zz\t50\tF\tGuys\tcontrol\t1\n")
    lost = "1 row of the labels matches no study (row 61 below the header)"
    labels = ["--labels", table]
    asked = [
        tmp_path / "probe",
        other / "out.h5",
        *labels,
        "--target-column",
        "diagnosis",
        "--bootstrap",
        "50",
    ]
    assert run("probe", "evaluate", *asked, "--output", tmp_path / "other") == 0
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    assert metrics["metrics"]["auroc"]["value"] > 0.8
    assert (tmp_path / "other" / "report.html").exists()
    assert lost in " ".join(capsys.readouterr().err.split())
    assert run("probe", "predict", tmp_path / "probe", other / "out.h5", tmp_path / "p.tsv", *labels) == 0
    predictions = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    expected = pd.read_csv(tmp_path / "other" / "predictions.tsv", sep="\t")
    np.testing.assert_allclose(predictions["prediction"], expected["prediction"])
    assert {"predicted", "unlike_training"} <= set(predictions)
    told = capsys.readouterr()
    assert "60 studies predicted" in told.out
    assert lost in " ".join(told.err.split()), "and predict says so too"


def test_the_gap_needs_ages_and_only_those(cohort: MakeCohort, tmp_path: Path) -> None:
    folder = cohort("a")
    assert fit("brain-age", folder, tmp_path / "probe") == 0
    some = pd.read_csv(folder / "participants.tsv", sep="\t").head(10)[["participant_id", "age"]]
    some.to_csv(tmp_path / "ages.tsv", sep="\t", index=False)
    asked = ["probe", "predict", tmp_path / "probe", folder / "out.h5", tmp_path / "p.tsv"]
    assert run(*asked, "--labels", tmp_path / "ages.tsv") == 0
    predictions = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert len(predictions) == 60
    assert predictions["gap"].notna().sum() == 10


def test_a_dry_run_tells_who_has_a_label_and_writes_nothing(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    folder = cohort("a")
    table = folder / "participants.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-5], "sub-zz\t50\tF\tGuys\tcontrol\t1"]) + "\n")
    assert fit("autism", folder, tmp_path / "probe", "--target-column", "diagnosis", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "55 of 60 studies have a label" in told
    assert "5 studies not used: no label has the study's id" in told
    assert "1 label row not used: no study has the label's id, such as sub-zz" in told
    assert "Guys" in told and "control" in told
    assert not (tmp_path / "probe").exists()


def test_any_column_and_kind_of_series_can_be_asked_for(cohort: MakeCohort, tmp_path: Path) -> None:
    folder = cohort("a")
    own = [
        "--target-column",
        "score",
        "--series",
        "T1w",
        "--estimator",
        "ridge",
        "--option",
        "alphas=[1, 100]",
    ]
    assert fit("custom", folder, tmp_path / "probe", *own) == 0
    document = json.loads((tmp_path / "probe" / "probe.json").read_text())
    assert document["training"]["source"]["series"] == "T1w"
    assert document["training"]["n_features"] == 4
    assert document["recipe"]["options"] == {"alphas": [1, 100]}
    assert document["task"]["description"] == "the column score"
    assert json.loads((tmp_path / "probe" / "metrics.json").read_text())["metrics"]["r2"]["value"] > 0.8
    assert run("probe", "predict", tmp_path / "probe", folder / "out.h5", tmp_path / "p.tsv") == 0


def test_two_probes_are_compared_on_their_folds(cohort: MakeCohort, tmp_path: Path, capsys: Capture) -> None:
    folder = cohort("a")
    assert fit("brain-age", folder, tmp_path / "one") == 0
    assert fit("brain-age", folder, tmp_path / "two", "--estimator", "knn") == 0
    assert fit("brain-age", folder, tmp_path / "three", "--seed", "1") == 0
    capsys.readouterr()
    assert run("probe", "compare", tmp_path / "one", tmp_path / "two") == 0
    assert "mae: first minus second -" in capsys.readouterr().out
    assert run("probe", "compare", tmp_path / "one", tmp_path / "three") == 2
    assert "not evaluated on the same folds" in capsys.readouterr().err


def test_everything_known_is_listed(capsys: Capture) -> None:
    assert run("probe", "list") == 0
    told = capsys.readouterr().out
    for name in ("brain-age", "glioma-idh", "abide2", "ABIDEII_Composite_Phenotypic.csv", "xgboost"):
        assert name in told
    assert ", health" not in told, "which marks controls and is no task"


WRONG: dict[str, tuple[list[str], str]] = {
    "no task of the name": (["brain-aeg"], "did you mean brain-age"),
    "no output": (["brain-age", "--labels", "participants.tsv"], "name the folder to make"),
    "no labels": (["autism", "--output", "o"], "--target-column"),
    "a table that is not there": (["brain-age", "--labels", "none.tsv", "--output", "o"], "none.tsv"),
    "a column that is not there": (
        ["brain-age", "--labels", "participants.tsv", "--age-column", "agee", "--output", "o"],
        "no column 'agee' (--age-column)",
    ),
    "a cohort that is not there": (
        ["autism", "--labels", "participants.tsv", "--cohort", "abid1", "--output", "o"],
        "did you mean abide1",
    ),
    "an estimator for the other kind": (
        ["brain-age", "--labels", "participants.tsv", "--estimator", "logistic", "--output", "o"],
        "logistic cannot predict a number",
    ),
    "an option that the estimator lacks": (
        ["brain-age", "--labels", "participants.tsv", "--option", "depth=3", "--output", "o"],
        "ridge has no option 'depth'",
    ),
    "an option without a value": (
        ["brain-age", "--labels", "participants.tsv", "--option", "depth", "--output", "o"],
        "write NAME=VALUE",
    ),
    "no such series": (
        ["brain-age", "--labels", "participants.tsv", "--series", "DWI", "--output", "o"],
        "there are FLAIR, T1w",
    ),
    "a correction for another task": (
        ["autism", "--labels", "participants.tsv", "--target-column", "diagnosis", "--bias-correction", "cole",
         "--output", "o"],
        "bias correction is for the gap of brain age",
    ),
    "too few sites": (
        ["brain-age", "--labels", "participants.tsv", "--scheme", "leave-site-out", "--site-column", "sex2",
         "--output", "o"],
        "no column 'sex2'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_gets_one_sentence_and_writes_nothing(
    case: str, cohort: MakeCohort, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cohort("a")
    monkeypatch.chdir(folder)
    (task, *more), message = WRONG[case]
    assert run("probe", "fit", task, "out.h5", *more) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told and told.count("Error:") == 1
    assert {path.name for path in folder.iterdir()} == {"out.h5", "participants.tsv"}
    if case != "no output":
        assert run("probe", "fit", task, "out.h5", *more, "--dry-run") == 2
        assert capsys.readouterr().err == told, "a dry run finds what the fit refuses"


REFUSED = {
    "a class of four": ("score > 50", [], "class few has 4 subjects"),
    "one site for each class": ("site = diagnosis", [], "each site has a single class"),
    "folds without a site": ("", ["--harmonize", "combat", "--site-column", "diagnosis2"], "no column"),
    "a confound that nobody has": ("age = n/a", ["--confounds", "age"], "unknown for all training subjects"),
    "one site": ("site = A", ["--scheme", "leave-site-out"], "needs at least two sites"),
    "a folder that is not empty": ("", ["--output", "."], "an input; name another output"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_dry_run_refuses_what_the_fit_refuses(
    case: str, cohort: MakeCohort, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cohort("a", n=40)
    monkeypatch.chdir(folder)
    change, more, message = REFUSED[case]
    table = pd.read_csv("participants.tsv", sep="\t")
    if change == "score > 50":
        table["diagnosis"] = np.where(np.arange(40) < 4, "few", "many")
    elif change:
        name, _, value = change.partition(" = ")
        table[name] = table.get(value, value)
    table.to_csv("participants.tsv", sep="\t", index=False)
    asked = [
        "probe",
        "fit",
        "custom",
        "out.h5",
        "--labels",
        "participants.tsv",
        "--target-column",
        "diagnosis",
    ]
    asked += [*QUICK, "--output", "probe", *more]
    errors = []
    for dry_run in ([], ["--dry-run"]):
        assert run(*asked, *dry_run) == 2
        errors.append(capsys.readouterr().err.split("Error:")[1])
    assert errors[0] == errors[1]
    assert message in " ".join(errors[0].split())
    assert not Path("probe").exists()


def test_a_dry_run_says_who_trains_and_who_is_only_predicted(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    folder = cohort("a")
    assert fit("brain-age", folder, tmp_path / "probe", "--control-column", "diagnosis", "--dry-run") == 0
    told = [" ".join(text.split()) for text in capsys.readouterr()]
    assert "30 studies of 30 subjects would be used for training and in the metrics" in told[0]
    assert "30 studies would only be predicted: not known to be of controls" in told[0]
    assert "30 studies are not of known controls" in told[1]
    assert not (tmp_path / "probe").exists()


def test_a_probe_refuses_embeddings_of_another_model(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    folder, other = cohort("a"), cohort("b", model="f" * 64)
    assert fit("brain-age", folder, tmp_path / "probe") == 0
    assert run("probe", "predict", tmp_path / "probe", other / "out.h5", tmp_path / "p.tsv") == 2
    assert "embed the scans with the probe's model" in capsys.readouterr().err
    assert not (tmp_path / "p.tsv").exists()


def test_studies_unlike_the_training_set_are_marked(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    folder, other = cohort("a"), cohort("b", seed=1)
    assert fit("brain-age", folder, tmp_path / "probe") == 0
    import h5py

    with h5py.File(other / "out.h5", "r+") as file:
        file["study/embedding"][...] += 30
    assert run("probe", "predict", tmp_path / "probe", other / "out.h5", tmp_path / "p.tsv") == 0
    assert "60 of 60 studies are unlike the training set" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "p.tsv", sep="\t")["unlike_training"].eq(1).all()


def test_paths_are_kept_out_of_what_is_shared(cohort: MakeCohort, tmp_path: Path) -> None:
    assert fit("brain-age", cohort("a"), tmp_path / "probe") == 0
    for path in (tmp_path / "probe").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_the_models_caveat_is_in_all_that_a_probe_writes_and_prints(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    caveat = caveat_of("prima-synth")
    folder, probe, other = cohort("a"), tmp_path / "probe", tmp_path / "other"
    with h5py.File(folder / "out.h5", "a") as file:
        file.attrs.update({"model": "prima-synth", "caveat": caveat})
    labels = ["--labels", folder / "participants.tsv", "--target-column", "diagnosis"]
    assert fit("autism", folder, probe, "--target-column", "diagnosis") == 0
    assert caveat in capsys.readouterr().err
    assert run("probe", "evaluate", probe, folder / "out.h5", *labels, "--output", other) == 0
    assert caveat in capsys.readouterr().err
    assert run("probe", "predict", probe, folder / "out.h5", tmp_path / "p.tsv") == 0
    assert caveat in capsys.readouterr().err
    assert run("probe", "compare", probe, probe) == 0
    assert caveat in capsys.readouterr().err

    assert json.loads((probe / "probe.json").read_text())["training"]["source"]["caveat"] == caveat
    assert f"**{caveat}**" in (probe / "README.md").read_text()
    for made in (probe, other):
        metrics = json.loads((made / "metrics.json").read_text())
        assert metrics["caveat"] == caveat and caveat in metrics["warnings"]
        report = (made / "report.html").read_text()
        assert report.index(caveat) < report.index('<section id="result">')
        methods = report[report.index('<section id="methods">') :]
        assert "synthetic images and reports that the same package generates" in methods and caveat in methods
    for table in (tmp_path / "p.tsv", probe / "predictions.tsv", other / "predictions.tsv"):
        assert set(pd.read_csv(table, sep="\t")["caveat"]) == {caveat}, table
    # Such a table can be read as labels.
    asked = ["--labels", tmp_path / "p.tsv", "--id-column", "study", "--target-column", "predicted"]
    assert run("probe", "fit", "autism", folder / "out.h5", *asked, "--dry-run") == 0


def test_findings_are_fitted_evaluated_and_predicted(
    cohort: MakeCohort, tmp_path: Path, capsys: Capture
) -> None:
    folders = [cohort("a", n=90), cohort("b", seed=1, n=90)]
    for folder in folders:
        path = folder / "participants.tsv"
        table = pd.read_csv(path, sep="\t")
        old = np.where(table["age"] > 50, "yes", "no").astype(object)
        old[:5] = ""
        table.assign(old=old, sick=(table["diagnosis"] == "autism").astype(int), rare=0).to_csv(
            path, sep="\t", index=False
        )
    output = tmp_path / "probe"
    assert fit("findings", folders[0], output, "--label-columns", "old,sick,rare") == 0
    said = capsys.readouterr()
    assert "1 label is left out, because fewer than 10 subjects have, or lack, rare (0 and 90)" in " ".join(
        said.err.split()
    )
    assert "sick" in said.out
    metrics = json.loads((output / "metrics.json").read_text())
    assert (metrics["labels"]["old"]["n"], metrics["labels"]["old"]["n_unknown"]) == (85, 5)
    assert metrics["labels"]["sick"]["p_holm"] < 0.001
    labels = ("--labels", folders[1] / "participants.tsv")
    assert run("probe", "evaluate", output, folders[1] / "out.h5", *labels, "--bootstrap", "20") == 0
    table = tmp_path / "predicted.tsv"
    assert run("probe", "predict", output, folders[1] / "out.h5", table) == 0
    assert {"probability_old", "predicted_sick"} <= set(pd.read_csv(table, sep="\t").columns)
    assert fit("findings", folders[0], tmp_path / "other") == 2
    assert "name them with --label-columns" in " ".join(capsys.readouterr().err.split())
