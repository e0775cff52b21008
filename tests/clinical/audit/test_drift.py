"""Drift of embeddings: study vectors before a date against later periods, streamed from the file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from public_scores import Write

from prima_features.cli.main import main
from prima_features.clinical.audit import AuditOptions, audit, drift
from prima_features.errors import UsageError

N = 240
OPTIONS = AuditOptions(resamples=100, groups=("sex",), date_column="date", freeze_before="2025-07-01")


@pytest.fixture
def cohort(simulate, write: Write, tmp_path: Path):
    """Tables of studies over a year, and their embeddings in another order; the last quarter may be moved."""

    def made(shift: float = 0.0, missing: int = 0):
        simulated = simulate(n=N, names=1)
        days = np.arange(N) * 365 // N
        dates = pd.Timestamp("2025-01-01") + pd.to_timedelta(days, unit="D")
        simulated.attributes["date"] = dates.astype(str)
        vectors = np.random.default_rng(3).normal(size=(N, 32)) * np.linspace(1, 9, 32) + 5
        vectors[dates >= "2025-10-01"] += shift * np.linspace(1, 9, 32)
        order = np.random.default_rng(4).permutation(N)[missing:]
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "model.safetensors").write_bytes(b"")
        ids = simulated.scores["study"].to_numpy()[order]
        return simulated.paths, write(vectors[order], tmp_path / "model", ids.tolist())

    return made


def test_the_period_with_a_shift_is_found_and_the_others_are_not(cohort, monkeypatch) -> None:
    monkeypatch.setattr(drift, "_BYTES", 32 * 4 * 7)  # seven rows at a time
    (scores, labels, attributes), embeddings = cohort(shift=1.0)
    document = audit(
        scores, labels=labels, attributes=[attributes], options=OPTIONS, embeddings=embeddings
    ).document["prospective"]["embeddings"]
    third, last = document["periods"]
    assert (third["period"], last["period"]) == ("2025-Q3", "2025-Q4")
    assert last["p_holm"] < 0.01
    assert last["auroc"] > 0.8
    assert third["p"] > 0.05
    assert third["p_holm"] >= third["p"]
    assert (document["n_before"], third["n"] + last["n"]) == (120, 120)
    assert document["n_without"] == 0


def test_the_command_writes_the_drift_to_page_and_json(cohort, tmp_path: Path) -> None:
    (scores, labels, attributes), embeddings = cohort(missing=5)
    out = tmp_path / "out"
    command = ["audit", str(scores), str(out), "--labels", str(labels), "--attributes", str(attributes)]
    command += ["--date-column", "date", "--resamples", "100", "--embeddings", str(embeddings)]
    assert main(command) == 2  # no date to compare before and after
    assert main([*command, "--freeze-before", "2025-07-01", "--by", "month"]) == 0
    found = json.loads((out / "audit.json").read_text())["prospective"]["embeddings"]
    assert [one["period"] for one in found["periods"]] == [f"2025-{month:02}" for month in range(7, 13)]
    assert all(one["p_holm"] > 0.05 for one in found["periods"])
    assert found["n_without"] == 5
    assert found["permutations"] == 1199
    page = (out / "audit.html").read_text()
    assert "Drift of study vectors" in page
    assert "0 of 6 periods differ" in page
    assert "maximum mean discrepancy" in page


def test_blocks_give_the_same_as_the_whole_file(cohort, monkeypatch) -> None:
    (scores, labels, attributes), embeddings = cohort(shift=0.3)
    found = []
    for size in (32 * 4, 2**24):
        monkeypatch.setattr(drift, "_BYTES", size)
        made = audit(scores, labels=labels, attributes=[attributes], options=OPTIONS, embeddings=embeddings)
        found.append(made.document["prospective"]["embeddings"]["periods"])
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_period_of_few_subjects_is_listed_with_the_reason(cohort) -> None:
    (scores, labels, attributes), embeddings = cohort()
    made = audit(
        scores,
        labels=labels,
        attributes=[attributes],
        options=replace(OPTIONS, freeze_before="2025-09-27"),
        embeddings=embeddings,
    )
    third, last = made.document["prospective"]["embeddings"]["periods"]
    assert (third["p"], third["p_holm"]) == (None, None)
    assert third["reason"].endswith("fewer than 5")
    assert last["p_holm"] == last["p"]


def test_an_embeddings_file_of_other_studies_is_refused(cohort, write: Write, tmp_path: Path) -> None:
    (scores, labels, attributes), _ = cohort()
    other = write(np.ones((6, 32)), tmp_path / "model", name="other.h5")
    with pytest.raises(
        UsageError, match=r"has none of the studies of the scores: its ids are such as sub-000"
    ):
        audit(scores, labels=labels, attributes=[attributes], options=OPTIONS, embeddings=other)
