"""Periods, thresholds frozen before a date, waits, comparisons of two tables, and calibration to probabilities."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from prima_features.cli.main import main
from prima_features.clinical.audit import AuditOptions, audit
from prima_features.clinical.calibration import read_calibration
from prima_features.errors import UsageError
from prima_features.evaluation import clustered
from prima_features.evaluation.queue import arrivals_and_services, by_priority, first_come, mean_wait

QUICK = AuditOptions(resamples=200, groups=("sex",))


def test_first_come_waits_are_those_of_an_m_m_1_queue() -> None:
    for load in (0.5, 0.7):
        arrival, service = arrivals_and_services(2_000_000, load, np.random.default_rng(1))
        assert first_come(arrival, service).mean() == pytest.approx(mean_wait(load), rel=0.02)


def test_the_order_of_arrival_as_priority_is_first_come() -> None:
    arrival, service = arrivals_and_services(20_000, 0.8, np.random.default_rng(0))
    waits = by_priority(arrival, service, -np.arange(20_000.0))
    np.testing.assert_allclose(waits, first_come(arrival, service), atol=1e-8)


def test_two_priorities_wait_as_cobham_found() -> None:
    """Non-preemptive priorities: residual / ((1 - s_above) (1 - s_above_and_own)), Cobham 1954."""
    rng = np.random.default_rng(2)
    arrival, service = arrivals_and_services(1_000_000, 0.6, rng)
    urgent = rng.random(len(arrival)) < 0.25
    waits = by_priority(arrival, service, urgent.astype(float))
    assert waits[urgent].mean() == pytest.approx(0.6 / (1 - 0.15), rel=0.02)
    assert waits[~urgent].mean() == pytest.approx(0.6 / ((1 - 0.15) * (1 - 0.6)), rel=0.03)


def test_logistic_regression_equals_scikit_learn_and_clusters_widen_it() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=300), 2)
    y = rng.random(600) < 1 / (1 + np.exp(-x))
    X = np.column_stack([np.ones(600), x])
    found = clustered.fit(X, y, np.arange(600))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], y)
    np.testing.assert_allclose(found.coefficients, [model.intercept_[0], model.coef_[0, 0]], atol=1e-5)
    once = clustered.fit(X[::2], y[::2], np.arange(300))
    twice = clustered.fit(np.repeat(X[::2], 2, axis=0), np.repeat(y[::2], 2), np.repeat(np.arange(300), 2))
    np.testing.assert_allclose(twice.covariance, once.covariance, rtol=1e-6)


def test_thresholds_are_frozen_before_the_date_and_a_shift_of_scores_is_found(simulate) -> None:
    made = simulate(n=1200, names=2)
    days = np.arange(1200) // 4
    made.attributes["date"] = (pd.Timestamp("2025-01-01") + pd.to_timedelta(days, unit="D")).astype(str)
    late = (made.attributes["date"] >= "2025-07-01").to_numpy()
    made.scores.loc[late, "diagnosis/condition_0"] += 1.0
    scores, labels, attributes = made.paths
    options = replace(QUICK, date_column="date", by="quarter", freeze_before="2025-07-01")
    document = audit(scores, labels=labels, attributes=[attributes], options=options).document
    assert set(document["names"]["condition_0"]["groups"]["quarter"]) == {
        "2025-Q1",
        "2025-Q2",
        "2025-Q3",
        "2025-Q4",
    }
    first, second = (document["prospective"]["names"][f"condition_{i}"] for i in range(2))
    truth, score = made.labels["condition_0"].to_numpy() == 1, made.scores["diagnosis/condition_0"].to_numpy()
    assert (score[~late & truth] >= first["threshold"]).mean() == pytest.approx(0.9, abs=0.01)
    assert first["sensitivity"]["value"] == pytest.approx((score[late & truth] >= first["threshold"]).mean())
    assert first["drift"]["p_holm"] < 1e-6 < 0.05 < second["drift"]["p_holm"]
    assert first["drift"]["shift"]["ci_low"] > 0.5
    sizes = document["prospective"]["sample_size"]["condition_0"]["needed"]
    assert [one["half_width"] for one in sizes] == [0.02, 0.05, 0.1]
    assert sizes[0]["sensitivity"] > sizes[1]["sensitivity"] > sizes[2]["sensitivity"]


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%Y%m%d", "%Y-%m-%dT00:30:00+02:00", "%Y-%m-%d 23:30", "%Y-%m-%dT12:00:00.5Z"]
)
def test_dates_are_those_at_the_hospital_in_every_form(simulate, form: str) -> None:
    made = simulate()
    days = pd.Timestamp("2025-06-01") + pd.to_timedelta(np.arange(400) % 60, unit="D")
    made.attributes["date"] = days.strftime(form)
    scores, labels, attributes = made.paths
    found = audit(
        scores, labels=labels, attributes=[attributes], options=replace(QUICK, date_column="date", by="month")
    )
    assert {level: one[0].n for level, one in found.groups["month"].levels.items()} == {
        "2025-06": (days.month == 6).sum(),
        "2025-07": (days.month == 7).sum(),
    }
    assert found.dates == ("2025-06-01", "2025-07-30")


@pytest.mark.parametrize("cell", ["06/09/2025", "9.6.2025", "2025", "45817", "2025-13-01", "2025-02-30"])
def test_an_ambiguous_or_impossible_date_is_refused(simulate, cell: str) -> None:
    made = simulate()
    made.attributes["date"] = ["2025-01-01"] * 399 + [cell]
    scores, labels, attributes = made.paths
    with pytest.raises(UsageError, match=f"has '{cell}': expected dates such as 2025-03-31"):
        audit(scores, labels=labels, attributes=[attributes], options=replace(QUICK, date_column="date"))


def test_odds_of_a_long_wait_are_those_of_the_two_by_two_table(simulate) -> None:
    made = simulate(n=800)
    rng = np.random.default_rng(0)
    days = rng.exponential(np.where(made.attributes["sex"] == "F", 6, 3))
    made.attributes["days"] = days.round(2)
    made.scores["worklist"] = made.scores["diagnosis/condition_0"]
    scores, labels, attributes = made.paths
    found = audit(
        scores, labels=labels, attributes=[attributes], options=replace(QUICK, wait_column="days")
    ).document["waits"]
    one = next(one for one in found["odds_ratios"] if one["days"] == 7)
    long, of_level = made.attributes["days"] >= 7, made.attributes["sex"] == one["level"]
    a, b, c, d = (
        (long & of_level).sum(),
        (~long & of_level).sum(),
        (long & ~of_level).sum(),
        (~long & ~of_level).sum(),
    )
    assert one["odds_ratio"]["value"] == pytest.approx(a * d / (b * c), rel=1e-6)
    width = 1.96 * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    assert np.log(one["odds_ratio"]["ci_high"] / one["odds_ratio"]["value"]) == pytest.approx(width, rel=0.02)
    queue = found["queue"]
    assert queue["first_come"] == pytest.approx(queue["analytic"], rel=0.03)
    assert queue["worklist"] == pytest.approx(queue["first_come"], rel=0.1)
    before, after = queue["by_name"]["condition_0"]
    assert after < 0.6 * before
    by_sex = {one["level"]: one for one in queue["groups"] if one["variable"] == "sex"}
    for group in by_sex.values():
        assert group["first_come"] == pytest.approx(queue["first_come"], rel=0.05)
        assert group["odds_ratios"]["7"][0] == pytest.approx(1, abs=0.1)


def test_a_worklist_that_puts_a_group_last_makes_its_odds_of_a_long_wait_worse(simulate) -> None:
    made = simulate(n=800)
    rng = np.random.default_rng(0)
    is_last = (made.attributes["sex"] == "F").to_numpy()
    made.attributes["days"] = rng.exponential(5, 800).round(2)
    made.scores["worklist"] = rng.normal(size=800) - 2 * is_last
    scores, labels, attributes = made.paths
    queue = audit(
        scores, labels=labels, attributes=[attributes], options=replace(QUICK, wait_column="days")
    ).document["waits"]["queue"]
    one = {group["level"]: group for group in queue["groups"]}
    assert one["F"]["worklist"] > 2 * one["M"]["worklist"]
    other = {"F": "M", "M": "F"}[one["F"]["reference"]]
    first, ordered = one[other]["odds_ratios"]["3"]
    assert first == pytest.approx(1, abs=0.1)
    assert (ordered > 2) == (other == "F")
    assert not 0.5 < ordered < 2


def test_a_comparison_is_paired(simulate, tmp_path: Path) -> None:
    made = simulate(n=600)
    scores, labels, _ = made.paths
    worse = made.scores.copy()
    rng = np.random.default_rng(5)
    worse["diagnosis/condition_0"] += rng.normal(size=600)
    worse = worse.sample(frac=1, random_state=0)  # rows are matched by id
    worse.to_csv(tmp_path / "b.tsv", sep="\t", index=False)
    found = audit(
        scores, labels=labels, options=replace(QUICK, groups=()), compare_with=tmp_path / "b.tsv"
    ).document["compare"]
    one, same = (found["names"][f"condition_{i}"]["auroc"] for i in range(2))
    expected = [
        metrics.roc_auc_score(made.labels["condition_0"], table.sort_index()["diagnosis/condition_0"])
        for table in (made.scores, worse)
    ]
    assert one["value"] == pytest.approx(expected[0] - expected[1], abs=1e-9)
    assert one["ci_low"] > 0
    assert one["p_holm"] < 0.01
    assert (same["value"], same["ci_low"], same["ci_high"]) == (0, 0, 0)


def test_tools_without_errors_have_no_difference_with_a_width(simulate) -> None:
    """Sensitivities of 1 and 1 from 20 subjects are not known to be equal."""
    made = simulate(n=120, names=1)
    truth = made.labels["condition_0"].to_numpy()
    made.scores["diagnosis/condition_0"] = 2.0 * truth - 1 + np.linspace(0, 0.1, 120)
    other = made.scores.assign(**{"diagnosis/condition_0": 2.0 * truth - 1 - np.linspace(0, 0.1, 120)})
    other.to_csv(made.folder / "b.tsv", sep="\t", index=False)
    scores, labels, _ = made.paths
    found = audit(
        scores, labels=labels, options=replace(QUICK, groups=()), compare_with=made.folder / "b.tsv"
    ).document["compare"]
    for side in (found["names"]["condition_0"], found["mean"]):
        for metric in ("auroc", "sensitivity", "specificity"):
            one = side[metric]
            assert one["ci_low"] < one["value"] == 0 < one["ci_high"], metric
            assert one["p"] > 0.5


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrated_probabilities_are_calibrated_and_the_file_is_read_back(
    simulate, tmp_path: Path, method: str
) -> None:
    made = simulate(n=1500, names=1)
    scores, labels, _ = map(str, made.paths)
    out = tmp_path / "out"
    assert (
        main(["audit", scores, str(out), "--labels", labels, "--calibrate", method, "--resamples", "100"])
        == 0
    )
    document = json.loads((out / "audit.json").read_text())["calibration"]
    one = document["names"]["condition_0"]
    assert one["prevalence"] == pytest.approx(made.labels["condition_0"].mean())
    assert one["in_the_large"]["ci_low"] < 0 < one["in_the_large"]["ci_high"]
    assert one["ece"] < 0.05
    curves = read_calibration(out / "calibration.json")
    score = made.scores[["diagnosis/condition_0"]].to_numpy()
    probability = curves.probabilities(["condition_0"], score)["condition_0"]
    assert probability.mean() == pytest.approx(made.labels["condition_0"].mean(), abs=0.01)
    assert (np.diff(probability[np.argsort(score[:, 0])]) >= 0).all()
    assert curves.n_studies == 1500
    column = curves.columns(made.scores)["probability/diagnosis/condition_0"]
    np.testing.assert_array_equal(column, probability)


def test_curves_of_another_model_are_refused(simulate, tmp_path: Path) -> None:
    made = simulate(names=1)
    scores, labels, _ = made.paths
    scores.with_suffix(".json").write_text('{"model_sha256": "aaaa", "caveat": "Only a test."}')
    audit(scores, tmp_path / "out", labels, options=replace(QUICK, groups=(), calibrate="platt"))
    path = tmp_path / "out" / "calibration.json"
    assert read_calibration(path, "aaaa").caveat == "Only a test."
    with pytest.raises(UsageError, match="another model"):
        read_calibration(path, "bbbb")
    with pytest.raises(UsageError, match="not a file of prima audit"):
        read_calibration(tmp_path / "out" / "audit.json")


def test_options_that_need_another_are_refused(simulate) -> None:
    with pytest.raises(UsageError, match="--date-column"):
        AuditOptions(by="month")
    made = simulate()
    made.attributes["when"] = "soon"
    scores, labels, attributes = made.paths
    with pytest.raises(UsageError, match=r"'soon'.*expected dates"):
        audit(scores, labels=labels, attributes=[attributes], options=replace(QUICK, date_column="when"))
