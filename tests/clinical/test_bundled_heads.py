"""The bundled model's heads, offline: from synthetic brains to scores, a worklist and an explanation."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from prima_features.cli.main import main
from prima_features.encoders.prima.heads import heads_config, score_heads
from prima_features.errors import UsageError
from prima_features.models import bundled
from prima_features.models.caveats import caveat_of
from prima_features.synthetic.labels import DIAGNOSES, PRIORITIES, REFERRALS

MODEL = bundled.path("prima-synth")
GLIOMA, CONTROL = "sub-0001", "sub-0002"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large glioma of grade 4 and a young control, with their embeddings `brains.h5`."""
    folder = tmp_path_factory.mktemp("heads")
    chosen = ["--subjects", "2", "--seed", "29", "--condition", "glioma", "control"]
    assert main(["synth", str(folder / "brains"), *chosen]) == 0
    assert main(["embed", str(folder / "brains"), str(folder / "brains.h5")]) == 0
    return folder


def test_names_are_those_of_the_labels_of_synthetic_brains_and_thresholds_are_sane() -> None:
    config = heads_config(MODEL)
    assert tuple(head.name for head in config.diagnosis) == DIAGNOSES
    assert {head.name for head in config.referral} == {*REFERRALS}
    assert config.priority == PRIORITIES
    for head in (*config.diagnosis, *config.referral):
        assert math.isfinite(head.threshold) and abs(head.threshold) < 20
    assert {str(tensor.dtype) for tensor in load_file(MODEL / "heads.safetensors").values()} == {"float16"}


def test_a_glioma_scores_above_a_control_and_is_first_in_the_worklist(
    cohort: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = pd.read_csv(cohort / "brains" / "labels.tsv", sep="\t", index_col="study_id")
    assert list(labels["tumor_adult_glioma"]) == [1, 0]
    capsys.readouterr()
    assert main(["diagnose", str(cohort / "brains.h5"), str(cohort / "scores.tsv"), "--device", "cpu"]) == 0
    printed = " ".join("".join(capsys.readouterr()).split())
    assert caveat_of("prima-synth") in printed
    assert "23 diagnoses, 3 referrals, 4 priority levels" in printed
    table = pd.read_csv(cohort / "scores.tsv", sep="\t", index_col="study")
    for name in ("diagnosis/tumor_adult_glioma", "referral/neuro_oncology", "worklist"):
        assert table.loc[GLIOMA, name] > table.loc[CONTROL, name] + 0.2, name
    assert table.loc[GLIOMA, "rank"] == 1
    assert set(table["caveat"]) == {caveat_of("prima-synth")}
    assert json.loads((cohort / "scores.json").read_text())["model"] == "prima-synth"


def test_a_diagnosis_is_explained(cohort: Path) -> None:
    output = cohort / "explanation"
    chosen = ["--study", GLIOMA, "--target", "diagnosis/tumor_adult_glioma", "--method", "gradients"]
    assert main(["explain", str(cohort / "brains"), str(output), *chosen, "--device", "cpu"]) == 0
    document = json.loads((output / "explanation.json").read_text())
    assert caveat_of("prima-synth") in json.dumps(document)


@pytest.mark.parametrize("kind", [np.int64, np.complex64])
def test_heads_of_other_kinds_of_numbers_are_refused(tmp_path: Path, kind: type) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    tensors = load_file(MODEL / "heads.safetensors")
    name = next(name for name in tensors if name.endswith(".0.weight"))
    save_file(tensors | {name: tensors[name].astype(kind)}, tmp_path / "model" / "heads.safetensors")
    with pytest.raises(UsageError, match=f"as {kind.__name__}, which the model cannot use"):
        score_heads(tmp_path / "model", np.zeros((1, 2048), np.float32))
