"""`prima probe fit change`: from visits in an embeddings file to a probe of their change, its page and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings

QUICK = ["--bootstrap", "60", "--no-learning-curve", "--no-site-check", "--folds", "3", "--inner-folds", "2"]
Capture = pytest.CaptureFixture[str]
Make = Callable[..., Path]


@pytest.fixture
def cohort(tmp_path: Path) -> Make:
    """Writes a folder with out.h5 and sessions.tsv: subjects whose vectors move with the annual change of a volume."""

    def make(name: str, seed: int = 0, n: int = 45, visits: int = 2, singles: int = 3) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(seed)
        direction = np.random.default_rng(9).normal(size=10)
        studies, rows = [], []
        for i in range(n):
            person, rate, day, age = rng.normal(size=10), rng.normal(1, 1), 0.0, rng.uniform(50, 80)
            for k in range(1 if i < singles else visits):
                years = day / 365.25
                vector = person + rate * years * direction + 0.02 * rng.normal(size=10)
                subject, session = f"{name}{i:02d}", f"{k + 1:02d}"
                studies.append(
                    EmbeddedStudy(
                        id=f"sub-{subject}_ses-{session}",
                        subject=subject,
                        session=session,
                        description="MRI BRAIN",
                        source="",
                        embedding=vector.astype(np.float32),
                        clip=np.ones(2, np.float32),
                        series=(),
                    )
                )
                date = pd.Timestamp("2020-01-01") + pd.Timedelta(days=round(day))
                rows.append(
                    {
                        "participant_id": f"sub-{subject}",
                        "session_id": f"ses-{session}",
                        "acq_time": date.date().isoformat(),
                        "age": round(age + years, 3),
                        "days": round(day),
                        "sex": "MF"[i % 2],
                        "volume": round(30 + 5 * person[0] + 2 * rate * years, 4),
                    }
                )
                day += rng.uniform(300, 1200)
        write_embeddings(folder / "out.h5", studies, Provenance("tiny", "1", "0" * 64, {}))
        pd.DataFrame(rows).to_csv(folder / "sessions.tsv", sep="\t", index=False)
        return folder

    return make


def fitted(folder: Path, *options: str, output: str = "probe") -> Path:
    labels = ["--labels", str(folder / "sessions.tsv"), "--target-column", "volume"]
    target = folder / output
    assert (
        main(
            [
                "probe",
                "fit",
                "change",
                str(folder / "out.h5"),
                *labels,
                "--output",
                str(target),
                *QUICK,
                *options,
            ]
        )
        == 0
    )
    return target


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize("kind", ["first-last", "consecutive", "slope"])
def test_a_planted_annual_change_is_found(kind: str, cohort: Make, capsys: Capture) -> None:
    folder = cohort("a", visits=3)
    found = metrics(fitted(folder, "--visits", kind, "--time-column", "days"))
    assert found["metrics"]["pearson_r"]["value"] > 0.95
    assert found["over_baselines"]["initial"]["mae"]["ci_high"] < 0
    assert found["visits"]["change"] == {
        "features": "delta",
        "visits": kind,
        "per_year": True,
        "min_days": 90.0,
    }
    assert found["n_subjects"] == 42 and found["n_studies"] == (84 if kind == "consecutive" else 42)
    assert found["visits"]["times_from"] == {"column": 126 if kind != "first-last" else 84}
    assert "3 subjects have one study and are left out" in " ".join(capsys.readouterr().err.split())


def test_the_target_of_each_subject_is_the_change_of_the_table(cohort: Make) -> None:
    folder = cohort("a")
    predictions = pd.read_csv(fitted(folder) / "predictions.tsv", sep="\t")
    table = pd.read_csv(folder / "sessions.tsv", sep="\t")
    for row in predictions.itertuples():
        own = table[table["participant_id"] == f"sub-{row.subject.removeprefix('sub-')}"]
        years = np.diff(own["age"])[0]
        assert row.interval_years == pytest.approx(years, abs=2e-3)
        assert row.target == pytest.approx(np.diff(own["volume"])[0] / years, rel=0.01, abs=0.01)
        assert row.initial_value == own["volume"].iloc[0] and row.age == pytest.approx(own["age"].iloc[0])
        assert (
            row.study == f"{own['participant_id'].iloc[0]}_ses-01 to {own['participant_id'].iloc[0]}_ses-02"
        )


def test_times_can_be_ages_dates_or_a_column(cohort: Make) -> None:
    folder = cohort("a")
    by_age = fitted(folder)
    by_date = fitted(folder, "--scan-dates", str(folder / "sessions.tsv"), output="dates")
    by_column = fitted(folder, "--time-column", "days", "--time-unit", "days", output="days")
    intervals = [
        pd.read_csv(one / "predictions.tsv", sep="\t")["interval_years"]
        for one in (by_age, by_date, by_column)
    ]
    np.testing.assert_allclose(intervals[0], intervals[1], atol=3e-3)
    np.testing.assert_allclose(intervals[1], intervals[2], atol=1e-9)
    assert metrics(by_age)["visits"]["times_from"] == {"age": 84}
    assert metrics(by_date)["visits"]["times_from"] == {"date": 84}


def test_a_saved_probe_predicts_and_is_evaluated_on_changes_of_other_subjects(
    cohort: Make, capsys: Capture
) -> None:
    folder, other = cohort("a"), cohort("b", seed=1)
    probe = fitted(folder, "--features", "baseline+delta", "--visits", "consecutive")
    labels = ["--labels", str(other / "sessions.tsv")]
    table = other / "predicted.tsv"
    assert main(["probe", "predict", str(probe), str(other / "out.h5"), str(table), *labels]) == 0
    assert "42 changes predicted" in capsys.readouterr().out
    predicted = pd.read_csv(table, sep="\t")
    assert len(predicted) == 42 and (predicted["interval_years"] > 0.8).all()
    out = ["--output", str(other / "evaluated"), "--bootstrap", "50", "--target-column", "volume"]
    assert main(["probe", "evaluate", str(probe), str(other / "out.h5"), *labels, *out]) == 0
    found = metrics(other / "evaluated")
    assert found["metrics"]["pearson_r"]["value"] > 0.9
    assert found["visits"]["change"]["visits"] == "consecutive"


def test_without_times_a_change_is_refused_with_advice(cohort: Make, capsys: Capture) -> None:
    folder = cohort("a")
    table = pd.read_csv(folder / "sessions.tsv", sep="\t").drop(columns=["age", "acq_time", "days"])
    table.to_csv(folder / "sessions.tsv", sep="\t", index=False)
    labels = ["--labels", str(folder / "sessions.tsv"), "--target-column", "volume"]
    assert main(["probe", "fit", "change", str(folder / "out.h5"), *labels, "--dry-run"]) == 2
    assert "give the times of the visits with --scan-dates" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target-column", "volume", "--visits", "slope", "--total-change"], "a slope is per year"),
        (["--target-column", "volume", "--min-days", "0"], "--min-days must be above 0"),
        ([], "name it with --target-column"),
        (["--target-column", "sex"], "the label is not a number"),
    ],
)
def test_contradictions_are_one_sentence(
    options: list[str], said: str, cohort: Make, capsys: Capture
) -> None:
    folder = cohort("a")
    labels = ["--labels", str(folder / "sessions.tsv")]
    assert main(["probe", "fit", "change", str(folder / "out.h5"), *labels, "--dry-run", *options]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error and "Traceback" not in error


def test_a_dry_run_counts_changes(cohort: Make, capsys: Capture) -> None:
    folder = cohort("a")
    labels = ["--labels", str(folder / "sessions.tsv"), "--target-column", "volume"]
    assert main(["probe", "fit", "change", str(folder / "out.h5"), *labels, "--dry-run", *QUICK]) == 0
    assert "42 changes of 42 subjects would be used for training" in " ".join(capsys.readouterr().out.split())


def test_a_bench_compares_encoders_on_changes(cohort: Make, tmp_path: Path) -> None:
    folder = cohort("a")
    files = [f"{name}={folder / 'out.h5'}" for name in ("one", "two")]
    arguments = ["--embeddings", files[0], "--embeddings", files[1], "--labels", str(folder / "sessions.tsv")]
    quick = [
        "--bootstrap",
        "50",
        "--folds",
        "3",
        "--inner-folds",
        "2",
        "--probes",
        "linear",
        "--no-site-check",
    ]
    assert main(["bench", str(tmp_path / "bench"), *arguments, "--task", "change=volume", *quick]) == 0
    found = json.loads((tmp_path / "bench" / "bench.json").read_text())["tasks"]["change of volume"]
    assert found["n_studies"] == 42
    assert found["encoders"]["one"]["pearson_r"]["value"] > 0.95


def with_ages(folder: Path) -> Path:
    """Sessions with a diagnosis: vectors of which one direction is age, and 40 subjects with three visits."""
    rng = np.random.default_rng(2)
    studies, rows = [], []
    for i in range(44):
        age, patient, own = rng.uniform(45, 85), i % 4 == 0, rng.normal()
        for k, years in enumerate((0.0, 0.1, 1.5)):
            vector = rng.normal(size=8)
            vector[0] += (age + years + 2 * own + patient * 1.5 * years) / 5
            studies.append(
                EmbeddedStudy(
                    id=f"sub-g{i:02d}_ses-{k}",
                    subject=f"g{i:02d}",
                    session=str(k),
                    description="MRI BRAIN",
                    source="",
                    embedding=vector.astype(np.float32),
                    clip=np.ones(2, np.float32),
                    series=(),
                )
            )
            rows.append(
                {
                    "participant_id": f"sub-g{i:02d}",
                    "session_id": f"ses-{k}",
                    "age": round(age + years, 3),
                    "sex": "MF"[i % 2],
                    "diagnosis": "ad" if patient else "control",
                }
            )
    folder.mkdir()
    write_embeddings(folder / "out.h5", studies, Provenance("tiny", "1", "0" * 64, {}))
    pd.DataFrame(rows).to_csv(folder / "sessions.tsv", sep="\t", index=False)
    return folder


def test_the_gap_over_visits_is_in_the_metrics_and_on_the_page(tmp_path: Path) -> None:
    folder = with_ages(tmp_path / "gap")
    labels = ["--labels", str(folder / "sessions.tsv"), "--control-column", "diagnosis"]
    command = [
        "probe",
        "fit",
        "brain-age",
        str(folder / "out.h5"),
        *labels,
        "--output",
        str(folder / "probe"),
    ]
    assert main([*command, *QUICK, "--retest-days", "60"]) == 0
    found = metrics(folder / "probe")["gap_over_time"]
    assert found["retest"]["n_subjects"] == 44 and found["retest"]["median_days"] == pytest.approx(
        36.5, abs=1
    )
    assert found["model"]["n_studies"] == 132 and found["model"]["random"][0] == "intercept"
    assert list(found["model"]["effects"]) == [
        "intercept",
        "years",
        "age",
        "male",
        "patient",
        "years_patient",
    ]
    page = (folder / "probe" / "report.html").read_text()
    for text in (
        "The gap over time",
        "ICC(2,1)",
        "Change per year, patient minus control",
        "Laird and Ware 1982",
    ):
        assert text in page
    assert "g01" not in page


def test_without_statsmodels_the_model_is_left_out_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    import sys

    folder = with_ages(tmp_path / "gap")
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    labels = ["--labels", str(folder / "sessions.tsv")]
    command = [
        "probe",
        "fit",
        "brain-age",
        str(folder / "out.h5"),
        *labels,
        "--output",
        str(folder / "probe"),
    ]
    assert main([*command, *QUICK]) == 0
    assert "pip install 'prima-features[longitudinal]'" in " ".join(capsys.readouterr().err.split())
    found = metrics(folder / "probe")["gap_over_time"]
    assert found["model"] is None and found["retest"] is not None


def test_the_page_of_a_change_says_what_the_samples_are(cohort: Make) -> None:
    folder = cohort("a", visits=3)
    page = (fitted(folder) / "report.html").read_text()
    for text in (
        "Annual change of volume",
        "the annual change from the first to the last visit",
        "Studies that are in no change, by reason",
        "Initial value alone",
    ):
        assert text in page, text
