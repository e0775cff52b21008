"""`prima diagnose`: the public pipeline's scores, a worklist, and outputs that say what they are."""

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from public_scores import KINDS, SeriesSets, Write

from prima_features.cli.main import main
from prima_features.clinical import diagnose
from prima_features.clinical.worklist import ranks, urgency
from prima_features.embedding.file.read import read_embeddings
from prima_features.errors import UsageError
from prima_features.models import bundled
from prima_features.studies.study import Failure

TOLERANCE = 1e-4


@pytest.fixture
def file(write: Write, sets: SeriesSets, published: Path) -> Path:
    return write(sets.values["study_embedding"], published, ids=sets.names)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_all_series_sets_have_the_public_scores(
    file: Path, sets: SeriesSets, published: Path, tmp_path: Path
) -> None:
    assert main(["diagnose", str(file), str(tmp_path / "out.tsv"), "--model", str(published)]) == 0
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t", dtype={"study": str})
    assert list(table["study"]) == list(sets.names)
    for kind in KINDS:
        names = [f"{kind}/{name}" for name in sets.head_names[kind]]
        assert [name for name in table if name.startswith(f"{kind}/")] == names
        close(table[names].to_numpy(), sets.values[kind])
    assert list(table.columns[-2:]) == ["worklist", "rank"]


def test_the_document_states_thresholds_output_indices_and_the_rule(
    file: Path, sets: SeriesSets, published: Path, tmp_path: Path
) -> None:
    diagnose(file, tmp_path / "out.tsv", published, worklist="high-none")
    document = json.loads((tmp_path / "out.json").read_text())
    for kind in ("diagnosis", "referral"):
        assert [head["threshold"] for head in document[kind]] == sets.values[f"{kind}_threshold"].tolist()
        assert [head["output_index"] for head in document[kind]] == sets.values[f"{kind}_index"].tolist()
    assert document["worklist"]["rule"] == "high-none"
    assert document["diagnosis"][0]["group"] == "tumor"
    assert "research use only" in document["notice"]
    assert document["model_sha256"] == read_embeddings(file).attributes["model_sha256"]


def test_public_json_has_the_structure_of_the_public_pipeline_s_files(
    write: Write, sets: SeriesSets, published: Path, golden_clinical: Path, tmp_path: Path
) -> None:
    file = write(sets.values["study_embedding"][:1], published, ids=["study_a"])
    diagnose(file, model=published, public_json=tmp_path / "public")
    (found,) = (tmp_path / "public").iterdir()
    assert found.name == "study_a_predictions.json"
    expected = golden_clinical / "study_a_predictions.json"

    def shape(path: Path) -> list[str]:
        """The text with each number replaced, so that all but the numbers is compared byte for byte."""
        return [
            re.sub(r"(?<=^ {6})-?[0-9.e-]+", "#", line) for line in path.read_bytes().decode().split("\n")
        ]

    assert shape(found) == shape(expected)
    ours, theirs = json.loads(found.read_text()), json.loads(expected.read_text())
    close(np.array(ours["clip_emb"]), np.array(theirs["clip_emb"]))
    for kind in KINDS:
        close(np.array(list(ours[kind].values())), np.array(list(theirs[kind].values())))


def test_names_that_are_no_file_names_are_kept_apart(
    write: Write, sets: SeriesSets, published: Path, tmp_path: Path
) -> None:
    ids = ["sub-A", "sub-a", "../../x", "sub-b"]
    diagnose(
        write(sets.values["study_embedding"][:4], published, ids=ids),
        model=published,
        public_json=tmp_path / "p",
    )
    names = [path.name for path in (tmp_path / "p").iterdir()]
    assert len({name.lower() for name in names}) == 4
    assert "sub-b_predictions.json" in names


def test_rules_of_the_worklist() -> None:
    outputs = np.array([[0.0, 0, 0, 0], [-9, 0, 0, 2], [3, 0, 0, 2.5], [0, 0, 0, 0]])
    assert urgency(outputs, "expected")[0] == 1.5
    np.testing.assert_array_equal(urgency(outputs, "high"), outputs[:, 3])
    np.testing.assert_array_equal(urgency(outputs, "high-none"), [0, 11, -0.5, 0])
    assert ranks(urgency(outputs, "high"), np.array(["c", "d", "a", "b"])).tolist() == [4, 2, 1, 3]
    large = np.array([[1000.0, 0], [0, 1000]])
    assert urgency(large).tolist() == [0, 1]


@pytest.mark.parametrize("rule", ["expected", "high", "high-none"])
def test_a_higher_output_of_the_top_level_is_never_less_urgent(rule: Any) -> None:
    outputs = np.random.default_rng(0).normal(size=(200, 3))
    raised = outputs + np.array([0, 0, 0.5])
    assert (urgency(raised, rule) > urgency(outputs, rule)).all()


def test_studies_without_scores_are_named(
    write: Write, sets: SeriesSets, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Failure("sub-lost", "", "reading", "the file is truncated")
    file = write(sets.values["study_embedding"][:2], published, failures=[lost])
    assert main(["diagnose", str(file), str(tmp_path / "out.tsv"), "--model", str(published)]) == 0
    assert (
        "1 study of the embeddings file could not be embedded and has no scores: sub-lost"
        in capsys.readouterr().err
    )
    assert json.loads((tmp_path / "out.json").read_text())["not_scored"] == ["sub-lost"]


def test_the_caveat_of_the_model_is_in_every_output(
    write: Write, sets: SeriesSets, published: Path, tmp_path: Path
) -> None:
    file = write(sets.values["study_embedding"][:2], published, caveat="Trained on two brains.")
    diagnose(file, tmp_path / "out.tsv", published)
    assert pd.read_csv(tmp_path / "out.tsv", sep="\t")["caveat"].unique().tolist() == [
        "Trained on two brains."
    ]
    assert json.loads((tmp_path / "out.json").read_text())["caveat"] == "Trained on two brains."


def test_another_model_and_a_model_without_heads_are_refused(
    file: Path, published: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has no heads"):
        diagnose(file, tmp_path / "out.tsv", bundled.path("prima-untrained"))
    other = tmp_path / "other"
    other.mkdir()
    for one in published.iterdir():
        (other / one.name).write_bytes(one.read_bytes())
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(UsageError, match="was made with other weights than those of other"):
        diagnose(file, tmp_path / "out.tsv", other)
    assert not (tmp_path / "out.tsv").exists()


def test_a_file_that_names_no_model_is_refused(file: Path, published: Path, tmp_path: Path) -> None:
    with h5py.File(file, "r+") as hdf5:
        del hdf5.attrs["model_sha256"]
    with pytest.raises(UsageError, match="SHA-256 not recorded"):
        diagnose(file, tmp_path / "out.tsv", published)


def test_no_input_and_no_stranger_s_file_is_replaced(file: Path, published: Path, tmp_path: Path) -> None:
    table = tmp_path / "out.tsv"
    table.write_text("mine\n")
    with pytest.raises(UsageError, match="is not a table of scores"):
        diagnose(file, table, published)
    assert table.read_text() == "mine\n"
    diagnose(file, table, published, force=True)
    diagnose(file, table, published)  # its own
    with pytest.raises(UsageError, match="is an input"):
        diagnose(file, file, published, force=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not an empty folder"):
        diagnose(file, model=published, public_json=tmp_path / "folder")


def test_probabilities_come_from_an_audit_of_the_same_model_only(
    write: Write, sets: SeriesSets, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(80, sets.values["study_embedding"].shape[1]))
    file = write(vectors, published)
    scores = diagnose(file, tmp_path / "out.tsv", published).table
    name = sets.head_names["diagnosis"][0]
    column = f"diagnosis/{name}"
    truth = (scores[column] + rng.normal(size=80) > scores[column].median()).astype(int)
    pd.DataFrame({"study": scores["study"], name: truth}).to_csv(tmp_path / "labels.csv", index=False)
    out, audit = str(tmp_path / "out.tsv"), str(tmp_path / "audit")
    labels = ["--labels", str(tmp_path / "labels.csv")]
    assert main(["audit", out, audit, *labels, "--calibrate", "platt", "--resamples", "100"]) == 0
    options = ["--model", str(published), "--calibration", f"{audit}/calibration.json"]
    capsys.readouterr()
    assert main(["diagnose", str(file), out, *options]) == 0
    assert "without a probability" in capsys.readouterr().err  # the other names have no labels
    table = pd.read_csv(out, sep="\t")
    probability = table[f"probability/{column}"]
    assert probability.between(0, 1).all()
    assert probability.rank().corr(scores[column].rank()) > 0.999
    assert abs(probability.mean() - truth.mean()) < 0.01
    calibrated = json.loads((tmp_path / "out.json").read_text())["calibration"]
    assert calibrated["n_studies"] == 80
    assert len(calibrated["without"]) == 6
    document = json.loads(Path(f"{audit}/calibration.json").read_text())
    for checksum, reason in (("0" * 64, "another model"), ("", "does not say which model")):
        (tmp_path / "c.json").write_text(json.dumps(document | {"model_sha256": checksum}))
        assert (
            main(["diagnose", str(file), out, *options[:2], "--calibration", str(tmp_path / "c.json")]) == 2
        )
        assert reason in capsys.readouterr().err
