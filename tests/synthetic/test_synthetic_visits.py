"""Later visits are of the same brain, older by a known number of years, on the same scanner."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prima_features.cli.main import main
from prima_features.studies.find import find
from prima_features.synthetic import build_anatomy, draw_acquisitions, draw_subject, measure
from prima_features.synthetic.output.table import COLUMNS, SUBJECT_COLUMNS, VISIT_COLUMNS
from prima_features.synthetic.severity import severity
from prima_features.synthetic.visits import ageing_rate, scanned_again, visit

BETWEEN = (365.0, 1095.0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_first_visit_is_the_subject_without_visits() -> None:
    subject = draw_subject(1, 0)
    assert visit(subject, 0, BETWEEN).subject == subject
    scans = draw_acquisitions(1, 0, subject.site)
    assert scanned_again(scans, subject, 0, "usual") == scans


def test_visits_are_in_order_and_later_ones_do_not_change_earlier_ones() -> None:
    for index in range(20):
        subject = draw_subject(1, index)
        days = [visit(subject, number, BETWEEN).days for number in range(4)]
        gaps = np.diff(days)
        assert (gaps >= 365).all() and (gaps <= 1095).all()
        ages = [visit(subject, number, BETWEEN).subject.age for number in range(4)]
        assert ages[3] - ages[0] == pytest.approx(days[3] / 365.25, abs=0.02)


def test_the_brain_ages_by_the_rate_of_the_subject() -> None:
    rates = {
        name: np.array([ageing_rate(draw_subject(1, i, condition=name)) for i in range(200)])
        for name in ("control", "dementia")
    }
    assert np.median(rates["control"]) == pytest.approx(1, abs=0.15)
    assert np.median(rates["dementia"]) == pytest.approx(3, abs=0.45)
    one = draw_subject(1, 3, condition="dementia", age=70)
    later = visit(one, 2, BETWEEN)
    assert (later.anatomical_age - one.age) / (later.days / 365.25) == pytest.approx(
        ageing_rate(one), rel=1e-3
    )
    # Exactly the growth of the ventricles with age that `factors` states.
    growth = np.log(later.subject.ventricle_ratio / one.ventricle_ratio)
    assert growth == pytest.approx(0.018 * (later.anatomical_age - one.age), rel=1e-3)


def test_lesions_and_incidental_findings_stay() -> None:
    one = draw_subject(2, 3, condition="glioma")
    later = visit(one, 2, BETWEEN).subject
    assert (later.lesions, later.incidental, later.facts) == (one.lesions, one.incidental, one.facts)


def test_a_rescan_keeps_the_protocol_and_draws_position_and_noise() -> None:
    subject = draw_subject(1, 0)
    scans = draw_acquisitions(1, 0, subject.site)
    again = scanned_again(scans, subject, 1, "usual")
    for old, new in zip(scans, again, strict=True):
        assert new.seed != old.seed and new.head_tilt != old.head_tilt
        assert replace(new, seed=old.seed, head_tilt=old.head_tilt) == old
    assert len({scan.head_tilt for scan in again}) == 1
    assert len({scan.seed for scan in again}) == len(again)


def test_ventricles_of_a_later_visit_are_measurably_larger() -> None:
    one = draw_subject(1, 3, condition="dementia", age=70)
    first, last = (measure(build_anatomy(visit(one, n, BETWEEN).subject)) for n in (0, 3))
    assert last["ventricle_ml"] > first["ventricle_ml"]
    assert last["hippocampus_ml"] < first["hippocampus_ml"]


def test_scores_rise_with_what_they_are_drawn_from() -> None:
    strokes = [draw_subject(1, i, condition="stroke") for i in range(300)]
    volumes = np.exp(np.random.default_rng(0).normal(2, 1, len(strokes)))
    found = [severity(one, {"lesion_ml": ml}) for one, ml in zip(strokes, volumes, strict=True)]
    points, mean = (np.array([one[name] for one in found], dtype=float) for name in ("nihss", "nihss_mean"))
    assert points.mean() == pytest.approx(mean.mean(), rel=0.15)
    assert np.corrcoef(points, mean)[0, 1] > 0.5
    assert {one["mrs"] for one in found} >= {0, 1, 2, 3, 4, 5}
    calm = severity(draw_subject(1, 0, condition="control"), {"hippocampus_ml": 4.5, "ventricle_ml": 25})
    worse = severity(draw_subject(1, 0, condition="control"), {"hippocampus_ml": 2.5, "ventricle_ml": 80})
    assert calm["cdr_log_odds"] < worse["cdr_log_odds"] and float(calm["cdr"]) <= float(worse["cdr"])
    assert severity(draw_subject(1, 0, condition="glioma"), {}) == {}


def test_the_columns_of_both_tables_are_all_of_them() -> None:
    assert set(SUBJECT_COLUMNS) | set(VISIT_COLUMNS) >= set(COLUMNS)
    assert set(SUBJECT_COLUMNS) & set(VISIT_COLUMNS) == {"participant_id"}


@pytest.mark.parametrize("form", ["bids", "dicom"])
def test_the_command_writes_a_study_and_a_row_per_visit(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["--subjects", "1", "--visits", "2", "--visit-days", "400", "500", "--format", form]
    assert main(["synth", str(folder), *arguments]) == 0
    (subject,), visits = rows(folder / "participants.tsv"), rows(folder / "sessions.tsv")
    assert [row["session_id"] for row in visits] == ["ses-01", "ses-02"]
    assert 400 <= int(visits[1]["days"]) <= 500
    assert visits[0]["acq_time"] < visits[1]["acq_time"]
    assert [row["survival_days"] == row["death"] == row["log_hazard"] == "n/a" for row in visits] == [
        False,
        True,
    ]
    assert {row["participant_id"] for row in visits} == {subject["participant_id"]}
    studies = find(folder).studies
    assert len(studies) == 2 and len({study.subject for study in studies}) == 1
    assert len(rows(folder / "reports.tsv")) == len(rows(folder / "labels.tsv")) == 2
    if form == "bids":
        assert sorted(study.session.removeprefix("ses-") for study in studies) == ["01", "02"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--visits", "2", "--visit-days", "500", "400"], "--visit-days must be two numbers of days"),
        (["--visits", "2", "--visit-days", "0", "400"], "--visit-days must be two numbers of days"),
        (["--visits", "2", "--visit-days", "many"], "--visit-days must be two numbers of days"),
        (["--visit-days", "400", "500"], "--visit-days is for cohorts with several visits"),
    ],
)
def test_wrong_intervals_are_refused(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", str(tmp_path / "out"), "--subjects", "1", *options]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
