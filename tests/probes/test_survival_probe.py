"""Survival from the table to the saved probe: planted signals are found, nothing is found in noise."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Features, Probe, Recipe, tasks
from prima_features.probes.estimators import make
from prima_features.probes.evaluation import EvaluationPlan, Scheme
from prima_features.probes.evaluation.checks import check
from prima_features.probes.evaluation.risk_groups import _group
from prima_features.probes.kinds import kind_of
from prima_features.probes.persistence.trees import read_trees
from prima_features.probes.report.content import PageContent
from prima_features.probes.report.methods import methods_text, references
from prima_features.probes.report.page import page
from prima_features.probes.samples import samples

TASK = tasks.survival("days", (365, 730))
QUICK = {
    "cox": Recipe("cox", {"alphas": (1e3, 1e2, 1e1)}, inner_folds=3),
    "xgboost": Recipe("xgboost", {"depths": (2,), "rounds": (10, 30), "n_jobs": 1}, inner_folds=3),
}
PLAN = EvaluationPlan(Scheme(outer_folds=3, inner_folds=3), n_bootstrap=100)


def cohort(signal: float = 1.0, n: int = 150, seed: int = 0) -> tuple[Features, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    time = np.ceil(400 * rng.exponential(np.exp(-signal * (X[:, 0] + X[:, 1]))))
    censored = np.ceil(rng.uniform(100, 2000, n))
    frame = pd.DataFrame(
        {
            "study": [f"sub-{i}" for i in range(n)],
            "target": np.where(time <= censored, time, -censored),
            "age": rng.normal(55, 10, n),
            "sex": np.where(rng.random(n) < 0.5, "M", "F"),
            "site": np.where(rng.random(n) < 0.5, "A", "B"),
        }
    )
    return Features.of(X), frame


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_signal_is_found_and_reported(name):
    features, frame = cohort()
    found = Probe(TASK, QUICK[name]).cross_validate(features, frame, PLAN)
    assert tuple(found.metrics) == TASK.metrics == kind_of(TASK).metrics
    assert found.metrics["c_index"].ci_low > 0.53
    assert found.baselines["dummy"]["c_index"].value == pytest.approx(0.5)
    assert found.over_baselines["age_sex"]["c_index"].ci_low > 0
    assert found.metrics["ibs"].value < found.baselines["dummy"]["ibs"].value
    assert found.risk_groups.test.p_value < 1e-4
    table = found.predictions
    assert ((table["event"] == 1) == (table["target"] > 0)).all()
    assert (table["survival_365"] >= table["survival_730"]).all()
    assert table.groupby("risk_group")["prediction"].mean()[["low", "middle", "high"]].is_monotonic_increasing
    text = methods_text(PageContent(found))
    assert re.search(
        r"\d+ of \d+ subjects at low risk, \d+ of \d+ at middle risk and \d+ of \d+ at high risk had the event "
        r"\(log-rank test: chi-squared [\d.]+, 2 degrees of freedom, p < 0.0001\)\.",
        text,
    )
    assert re.search(r"AUC at 365 days 0\.\d{3} \(.*Harrell's C of each baseline", text)
    document = found.metrics_json()
    assert (
        document["risk_groups"]["groups"]["high"]["at_risk"][0]
        == document["risk_groups"]["groups"]["high"]["n"]
    )


def test_a_known_grade_is_in_a_baseline_of_its_own():
    features, frame = cohort(signal=1.0)
    plan = replace(PLAN, n_bootstrap=20, site_check=False)
    frame["grade"] = np.digitize(-features.X[:, 0], [-0.5, 0.5]) + 2.0
    frame.loc[:20, "grade"] = np.nan
    found = Probe(TASK, QUICK["cox"]).cross_validate(features, frame, plan).baselines
    assert set(found) == {"dummy", "age_sex", "age_sex_grade", "site"}
    assert found["age_sex_grade"]["c_index"].value > found["age_sex"]["c_index"].value + 0.05
    same = Probe(TASK, QUICK["cox"]).cross_validate(features, frame.assign(grade=4.0), plan)
    assert "age_sex_grade" not in same.baselines
    text = methods_text(PageContent(Probe(TASK, QUICK["cox"]).cross_validate(features, frame, plan)))
    assert "age, age squared, sex and the grade" in text


def test_nobody_left_at_risk_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one,) = _group(np.array([1.0, 2.0, -3.0, 4.0]), np.array([3.0])).survival
    assert one.value == pytest.approx(0.5)
    assert 0 < one.ci_low < 0.5 < one.ci_high < 1


def test_nothing_is_found_in_noise():
    features, frame = cohort(signal=0.0, seed=3)
    found = Probe(TASK, QUICK["cox"]).cross_validate(features, frame, PLAN)
    assert found.metrics["c_index"].ci_low < 0.5 < found.metrics["c_index"].ci_high
    assert found.risk_groups.test.p_value > 0.01


@pytest.mark.parametrize("name", QUICK)
def test_a_saved_probe_predicts_the_same_and_is_evaluated_elsewhere(name, tmp_path):
    features, frame = cohort()
    probe = Probe(TASK, QUICK[name]).fit(features, frame)
    again = Probe.load(probe.save(tmp_path / "probe"))
    expected = probe.predict(features, frame).table
    pd.testing.assert_frame_equal(again.predict(features, frame).table, expected)
    other, labels = cohort(seed=1)
    found = again.evaluate(other, labels, n_bootstrap=20)
    assert found.metrics["c_index"].value > 0.65
    assert {"dummy", "age_sex"} == set(found.baselines)
    early = labels.assign(target=labels["target"].clip(-300, 300))
    late = again.evaluate(other, early, n_bootstrap=0)
    assert np.isnan(late.metrics["auc_365"].value)
    assert any("longest follow-up ends at 300 days" in one for one in late.warnings)


def test_the_page_and_the_methods_text_state_what_was_done():
    features, frame = cohort()
    found = Probe(TASK, QUICK["cox"]).cross_validate(features, frame, PLAN)
    content = PageContent(found, n_bootstrap=100)
    text = methods_text(content)
    assert not re.search(r"[a-z)]\.[A-Z]", text.split("References")[0])
    for part in ("Cox regression", "right-censored", "Efron", "Harrell", "at 365 and 730 days", "log-rank"):
        assert part in text
    for key in (
        "cox",
        "breslow",
        "harrell",
        "uno",
        "auc",
        "graf",
        "log-rank",
        "simon",
        "kaplan-meier",
        "greenwood",
        "log-log",
    ):
        assert references()[key].full in text
    shown = page(content)
    for part in ("Kaplan-Meier", "At risk", "Time, days", "<td>365</td>", "Log-rank test", "AUC at 730 days"):
        assert part in shown
    assert "sub-1" not in shown


def test_a_group_without_events_too_few_events_and_late_horizons_are_refused():
    features, frame = cohort()
    few = frame.assign(target=np.where(np.arange(len(frame)) < 5, 100.0, -2000.0))
    for labels, task, reason in (
        (few, TASK, "5 subjects had an event, but a probe needs at least 10"),
        (
            frame,
            tasks.survival("days", (365, 9000)),
            r"later horizon \(9000\) is undefined; give earlier times",
        ),
        (frame.assign(target=0.0), TASK, "needs a time for every study"),
    ):
        with pytest.raises(UsageError, match=reason):
            check(samples(features.X, labels, task), Scheme())


def test_tasks_refuse_what_does_not_belong_to_survival():
    with pytest.raises(UsageError, match="predicts a time: leave out --classes"):
        tasks.get("survival", ("a", "b"))
    with pytest.raises(UsageError, match="cannot predict a time to an event: use cox or xgboost"):
        Probe(TASK, Recipe("ridge"))
    with pytest.raises(UsageError, match="cox cannot predict classes"):
        make("cox", kind="classes")
    with pytest.raises(UsageError, match="horizons must be different positive times"):
        replace(TASK, horizons=(730.0, 365.0))


def test_estimators_refuse_times_of_0_and_tables_without_events():
    X = np.random.default_rng(0).normal(size=(30, 3))
    for y, reason in ((np.zeros(30), "a time is 0"), (-np.ones(30), "no row has an event")):
        with pytest.raises(ValueError, match=reason):
            make("cox", kind="survival").fit(X, y)


@pytest.mark.parametrize("name", ["cox", "xgboost"])
def test_estimators_follow_the_rules_of_scikit_learn_that_need_no_target(name):
    from sklearn.utils import estimator_checks

    for check_of in (
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
    ):
        check_of(name, make(name, kind="survival"))


def test_a_cox_probe_scores_by_harrells_c():
    features, frame = cohort()
    y = frame["target"].to_numpy()
    fitted = make("cox", kind="survival", alphas=(10.0,), inner_folds=3).fit(features.X, y)
    assert 0.65 < fitted.score(features.X, y) < 1
    assert fitted.score(features.X, y * 7) == pytest.approx(fitted.score(features.X, y))


@pytest.mark.parametrize(
    "tampered",
    [
        lambda document: document["curve"]["hazard"].pop(),
        lambda document: document["curve"].update(limits=[0.5]),
        lambda document: document["curve"].update(times=[], hazard=[]),
        lambda document: document["task"].update(horizons=[365.0]),
        lambda document: document["task"].update(horizons=[730.0, 365.0]),
        lambda document: document["task"].update(scale="", horizons=[]),
        lambda document: document["task"].update(scale="ordinal"),
        lambda document: document["training"]["covariates"]["curve"].update(times=[1.0]),
    ],
)
def test_a_probe_whose_parts_contradict_each_other_is_refused(tampered, tmp_path):
    features, frame = cohort(n=60)
    folder = Probe(TASK, QUICK["cox"]).fit(features, frame).save(tmp_path / "probe")
    path = folder / "probe.json"
    document = json.loads(path.read_text())
    tampered(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError):
        Probe.load(folder)


def test_trees_of_another_objective_are_refused(tmp_path):
    features, frame = cohort(n=60)
    probe = Probe(TASK, QUICK["xgboost"]).fit(features, frame)
    trees = json.loads(probe.fitted.recipe.estimator.model_bytes())
    trees["learner"]["objective"]["name"] = "reg:squarederror"
    path = tmp_path / "trees.json"
    path.write_text(json.dumps(trees))
    with pytest.raises(UsageError, match="another objective"):
        read_trees(path, 8, TASK)
