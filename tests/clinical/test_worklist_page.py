"""The worklist page in a browser: order, filters, all scores of a study, pictures, and no request to anywhere."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Page
from public_scores import Write
from safetensors.torch import save_file

from prima_features.cli.main import main
from prima_features.clinical.calibration import Calibration, Curve
from prima_features.clinical.diagnose import Diagnosed, diagnose
from prima_features.embedding.file.read import read_embeddings
from prima_features.encoders.prima.model_config import read_config, write_config
from prima_features.encoders.prima.networks.config import HeadConfig, HeadsConfig
from prima_features.encoders.prima.networks.heads import MLP
from prima_features.files.disk import sha256
from prima_features.models import bundled
from prima_features.studies.study import Failure

NAMES = ("tumor_adult_glioma", "vascular_ischemic_stroke", "structural_cerebral_atrophy", "<b>odd_name")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """prima-untrained with random heads."""
    model = Path(shutil.copytree(bundled.path("prima-untrained"), tmp_path / "model"))
    config = read_config(model)
    torch.manual_seed(0)
    tensors = {}
    for prefix in (*(f"diagnosis.{name}" for name in NAMES), "referral.neurosurgery", "priority"):
        n_outputs = 4 if prefix == "priority" else 1
        for name, value in MLP(config.study.flat_dim, (16, 8), n_outputs).state_dict().items():
            tensors[f"{prefix}.{name}"] = 3 * value
    save_file(tensors, model / "heads.safetensors")
    diagnosis = tuple(HeadConfig(name, 0.1, i) for i, name in enumerate(NAMES))
    heads = HeadsConfig(diagnosis, (HeadConfig("neurosurgery", 0.0, 0),), ("none", "low", "medium", "high"))
    write_config(model, replace(config, heads=heads))
    return model


def scored(write: Write, model: Path, n: int, tmp_path: Path, **options: object) -> Diagnosed:
    vectors = np.random.default_rng(0).normal(size=(n, read_config(model).study.flat_dim))
    return diagnose(write(vectors, model, **options), tmp_path / "out.tsv", model)


def test_the_most_urgent_studies_are_first_and_findings_can_be_chosen(
    write: Write, model: Path, tmp_path: Path, page: Page
) -> None:
    table = scored(write, model, 60, tmp_path).table
    page.open(tmp_path / "out.html")
    shown = page.run("[...document.querySelectorAll('.worklist .link')].map(one => one.textContent)")
    assert shown == table.sort_values("rank")["study"].tolist()[:25]
    page.run("document.querySelector('[data-finding=\"0\"]').click()")
    present = table[table["diagnosis/tumor_adult_glioma"] >= 0]
    expected = present.sort_values("diagnosis/tumor_adult_glioma", ascending=False)["study"].tolist()[:25]
    shown = page.run("[...document.querySelectorAll('.worklist .link')].map(one => one.textContent)")
    assert sorted(shown) == sorted(expected)
    assert page.run("document.querySelector('.count').textContent").startswith(
        f"1 to {len(expected)} of {len(present)}"
    )
    page.type("#list input", "sub-003")
    assert page.run("document.querySelectorAll('.worklist li').length") <= 1


def test_a_study_opens_with_all_its_scores_and_priority_outputs(
    write: Write, model: Path, tmp_path: Path, page: Page
) -> None:
    table = scored(write, model, 5, tmp_path).table.sort_values("rank")
    page.open(tmp_path / "out.html")
    page.click(".worklist .link")
    text = page.run("document.querySelector('dialog').innerText").replace("\N{MINUS SIGN}", "-")
    first = table.iloc[0]
    for column in [name for name in table if name.startswith(("diagnosis/", "referral/", "priority/"))]:
        assert f"{first[column]:.3f}".replace("-0.000", "0.000") in text.replace("-0.000", "0.000"), column
    assert first["study"] in text
    rows = page.run("[...document.querySelectorAll('dialog tbody tr')].map(row => row.className)")
    assert rows == sorted(rows, key=lambda one: one != "present")
    assert len(rows) == len(NAMES) + 1


def test_calibrated_probabilities_are_shown_with_their_cohort(
    write: Write, model: Path, tmp_path: Path, page: Page
) -> None:
    table = scored(write, model, 20, tmp_path).table
    curve = Curve("platt", (1.0,), (-1.0,), 80, 20)
    checksum = sha256(model / "model.safetensors")
    curves = Calibration("platt", (NAMES[0],), (curve,), 80, 70, model_sha256=checksum)
    (tmp_path / "calibration.json").write_text(curves.to_json())
    calibration = tmp_path / "calibration.json"
    diagnose(tmp_path / "embeddings.h5", tmp_path / "out.tsv", model, calibration=calibration)
    page.open(tmp_path / "out.html")
    text = page.run("document.body.innerText")
    assert "Platt calibration on 80 labelled studies" in text
    assert "Platt, 80 studies of 70 subjects" in text
    page.click(".worklist .link")
    first = table.sort_values("rank").iloc[0]
    probability = curve.apply(first[f"diagnosis/{NAMES[0]}"])
    shown = page.run(
        "Object.fromEntries([...document.querySelectorAll('dialog tbody tr')]"
        ".map(row => [row.title, row.children[3].textContent]))"
    )
    assert float(shown[NAMES[0]].rstrip("%")) == pytest.approx(100 * probability, abs=0.1)
    assert shown[NAMES[1]] == "\N{EN DASH}"  # a name without a curve
    assert not page.complaints


def test_diagnoses_and_referrals_are_counted_and_the_rule_has_a_scale(
    write: Write, model: Path, tmp_path: Path, page: Page
) -> None:
    scored(write, model, 3, tmp_path)
    page.open(tmp_path / "out.html")
    text = page.run("document.body.innerText")
    assert "3 studies scored for 4 diagnoses and 1 referral." in text
    assert "Urgency, from 0 (none) to 3 (high), is the expected level" in text
    diagnose(tmp_path / "embeddings.h5", tmp_path / "out.tsv", model, worklist="high")
    page.open(tmp_path / "out.html")
    assert "Urgency is the output of the most urgent level" in page.run("document.body.innerText")


@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_loaded_and_nothing_overflows(
    write: Write, model: Path, tmp_path: Path, page: Page, width: int
) -> None:
    lost = Failure("sub-lost", "", "reading", "truncated")
    scored(write, model, 40, tmp_path, failures=[lost], caveat="Trained on two brains.")
    page.open(tmp_path / "out.html", width=width)
    assert page.run("document.documentElement.dataset.ready") == "yes"
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.requests == [(tmp_path / "out.html").as_uri()]
    assert not page.complaints
    text = page.run("document.body.innerText")
    assert "For research use only" in text
    assert "Trained on two brains." in text
    assert "sub-lost" in text
    assert "<b>odd" in text  # a name of a stranger's checkpoint is text, not markup


def test_five_thousand_studies_are_usable(write: Write, model: Path, tmp_path: Path, page: Page) -> None:
    scored(write, model, 5000, tmp_path)
    page.open(tmp_path / "out.html")
    assert page.run("document.querySelectorAll('.worklist li').length") == 25
    page.type("#list input", "sub-4999")
    assert re.match("1 to 1 of 1", page.run("document.querySelector('.count').textContent"))


def test_pictures_come_from_the_report_of_the_embeddings(
    study_a: Path, model: Path, tmp_path: Path, page: Page
) -> None:
    assert (
        main(["embed", str(study_a), str(tmp_path / "a.h5"), "--model", str(model), "--device", "cpu"]) == 0
    )
    assert main(["diagnose", str(tmp_path / "a.h5"), str(tmp_path / "a.tsv"), "--model", str(model)]) == 0
    page.open(tmp_path / "a.html")
    assert page.run("document.querySelectorAll('.worklist image').length") == 1
    page.click(".worklist .link")
    assert page.run("document.querySelectorAll('dialog image').length") == 5
    captions = page.run("[...document.querySelectorAll('dialog figcaption')].map(one => one.textContent)")
    assert captions == read_embeddings(tmp_path / "a.h5").series["name"].tolist()
    assert not page.complaints


def test_without_a_priority_head_the_page_says_so(
    write: Write, model: Path, tmp_path: Path, page: Page
) -> None:
    from safetensors.torch import load_file

    config = read_config(model)
    assert config.heads is not None
    write_config(model, replace(config, heads=replace(config.heads, priority=())))
    tensors = {
        name: one for name, one in load_file(model / "heads.safetensors").items() if "priority" not in name
    }
    save_file(tensors, model / "heads.safetensors")
    table = scored(write, model, 3, tmp_path).table
    assert table["rank"].isna().all()
    page.open(tmp_path / "out.html")
    assert "no priority head" in page.run("document.body.innerText")
    assert not page.complaints
