"""The whole way of a probe: evaluate, fit, predict, and meet another cohort."""

import json

import numpy as np
import pandas as pd
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Features, FeatureSource, Probe, Recipe, tasks
from prima_features.probes.evaluation import EvaluationPlan, Scheme

SITES = ("a", "b", "c")
SOURCE = FeatureSource("prima", "main", "ab" * 32)
CONTRACT = {
    "regression": {"mae", "rmse", "r2", "pearson_r"},
    "classes": {"auroc", "auprc", "prevalence", "balanced_accuracy", "brier", "calibration_slope"},
}
QUICK = {
    "brain_age": Recipe("ridge", {"alphas": (1e2, 1e1)}, bias_correction="cole", inner_folds=2),
    "number": Recipe("ridge", {"alphas": (1e2, 1e1)}, inner_folds=2),
    "binary": Recipe("logistic", {"C": (1e-2, 1e-1)}, calibration="platt", inner_folds=2),
    "triple": Recipe("logistic", {"C": (1e-2, 1e-1)}, calibration="isotonic", inner_folds=2),
}


def features_of(cohort, source=SOURCE):
    return Features.of(cohort.X.astype(np.float32), source)


@pytest.fixture(params=list(QUICK))
def case(request, make_cohort):
    """A probe with a cohort of three sites."""
    task = request.getfixturevalue(request.param)
    return Probe(task, QUICK[request.param]), make_cohort(task, 150, sites=SITES, site_shift=0.3)


def test_metrics_have_the_contracts_names_and_no_nan(case):
    probe, cohort = case
    plan = EvaluationPlan(Scheme(inner_folds=2, repeats=2), n_bootstrap=100, n_permutations=2)
    found = probe.cross_validate(features_of(cohort), cohort.frame, plan)
    document = json.loads(json.dumps(found.metrics_json(), allow_nan=False))
    expected = CONTRACT["classes" if probe.task.classes else "regression"]
    if len(probe.task.classes) > 2:
        expected = expected | {"hand_till_auc"}
    assert set(document["metrics"]) == expected
    for one in document["metrics"].values():
        assert set(one) == {"value", "ci_low", "ci_high"}
        assert one["ci_low"] <= one["value"] <= one["ci_high"]
    assert {"dummy", "site"} < set(document["baselines"])
    for baseline in document["baselines"].values():
        assert set(baseline) == expected
    assert document["site_decodability"]["n_sites"] == 3
    assert {"sex", "site"} <= set(document["groups"])
    assert document["permutation"]["p_value"] > 0
    assert (document["gap"] is None) == (not probe.task.is_age)
    assert set(document["per_class"]) == (set(probe.task.classes) if len(probe.task.classes) > 2 else set())
    assert document["n_studies"] == document["n_subjects"] == 150
    assert probe.fitted is None


def test_the_table_of_predictions_has_a_row_a_study(case):
    probe, cohort = case
    plan = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=0, site_check=False)
    table = probe.cross_validate(features_of(cohort), cohort.frame, plan).predictions
    assert table["study"].tolist() == cohort.frame["study"].tolist()
    assert not table.drop(columns=["scanner", "field_strength"]).isna().any(axis=None)
    assert set(table["fold"]) == set(range(5))
    if probe.task.classes:
        probability = table[[f"probability_{name}" for name in probe.task.classes]]
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        assert set(table["predicted"]) <= set(probe.task.classes)
    else:
        assert np.corrcoef(table["prediction"], table["target"])[0, 1] > 0.3


def test_a_fitted_probe_predicts_and_meets_another_cohort(case, make_cohort):
    probe, cohort = case
    assert probe.fit(features_of(cohort), cohort.frame, "ixi") is probe
    other = make_cohort(probe.task, 80, sites=SITES, site_shift=0.3, seed=1)
    other.frame["subject"] = [f"new{i}" for i in range(80)]
    found = probe.evaluate(features_of(other), other.frame, "camcan", n_bootstrap=100)
    assert json.dumps(found.metrics_json(), allow_nan=False)
    assert found.n_studies == 80
    assert found.splits is None
    better = found.over_baselines["dummy"][probe.task.primary]
    assert better.ci_low > 0 if probe.task.classes else better.ci_high < 0
    assert not any("training set too" in sentence for sentence in found.warnings)

    predicted = probe.predict(features_of(other), other.frame.drop(columns="target"))
    assert predicted.table["study"].tolist() == other.frame["study"].tolist()
    column = f"probability_{probe.task.classes[-1]}" if probe.task.classes else "prediction"
    np.testing.assert_allclose(predicted.table[column], found.predictions[column])
    assert {"distance", "unlike_training"} <= set(predicted.table)


def test_a_prediction_does_not_depend_on_who_is_predicted_beside(case):
    probe, cohort = case
    probe.fit(features_of(cohort), cohort.frame)
    together = probe.predict(features_of(cohort), cohort.frame).table
    alone = probe.predict(Features.of(cohort.X[3:4].astype(np.float32), SOURCE), cohort.frame[3:4]).table
    pd.testing.assert_frame_equal(alone, together[3:4].reset_index(drop=True), rtol=1e-9)


def test_people_who_come_back_and_cohorts_that_hold_each_other_are_said(make_cohort, number):
    cohort = make_cohort(number, 60)
    probe = Probe(number, QUICK["number"]).fit(features_of(cohort), cohort.frame, "ixi")
    found = probe.evaluate(features_of(cohort), cohort.frame, "openbhb", n_bootstrap=0)
    assert any("openbhb contains scans of ixi" in sentence for sentence in found.warnings)
    assert any("60 subjects have ids" in sentence for sentence in found.warnings)


def test_a_cohort_of_one_class_gets_what_is_defined(make_cohort, binary):
    cohort = make_cohort(binary, 100)
    probe = Probe(binary, QUICK["binary"]).fit(features_of(cohort), cohort.frame)
    other = make_cohort(binary, 30, seed=1).known(target="case")
    found = probe.evaluate(features_of(other), other.frame, n_bootstrap=50)
    metrics = found.metrics_json()["metrics"]
    assert metrics["auroc"] == {"value": None, "ci_low": None, "ci_high": None}
    assert 0 < metrics["brier"]["value"] < 1
    assert any("has no control" in sentence for sentence in found.warnings)


def test_a_brain_age_without_a_known_age_has_no_gap(make_cohort, brain_age):
    cohort = make_cohort(brain_age, 80)
    for method in ("cole", "beheshti"):
        recipe = Recipe("ridge", {"alphas": (1e2,)}, bias_correction=method)
        probe = Probe(brain_age, recipe).fit(features_of(cohort), cohort.frame)
        table = probe.predict(features_of(cohort), cohort.frame[["study"]]).table
        assert table["prediction"].notna().all()
        assert table["gap"].isna().all()
        # Cole's correction does not use the age, Beheshti's does.
        assert table["prediction_corrected"].isna().all() == (method == "beheshti")


def test_labels_find_features_by_row(make_cohort, number):
    cohort = make_cohort(number, 80)
    probe = Probe(number, QUICK["number"])
    shuffled = cohort.frame.assign(row=np.arange(80)).sample(frac=1, random_state=0)
    plan = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=0, site_check=False)
    found = probe.cross_validate(features_of(cohort), shuffled, plan)
    assert found.metrics["pearson_r"].value > 0.3
    wrong = probe.cross_validate(features_of(cohort), shuffled.drop(columns="row"), plan)
    assert wrong.metrics["pearson_r"].value < 0.3


def test_features_of_another_model_and_probes_that_are_not_fitted_are_refused(make_cohort, number):
    cohort = make_cohort(number, 60)
    probe = Probe(number, QUICK["number"])
    for use in (probe.predict, probe.evaluate):
        with pytest.raises(UsageError, match="not fitted"):
            use(features_of(cohort), cohort.frame)
    probe.fit(features_of(cohort), cohort.frame)
    foreign = features_of(cohort, FeatureSource("brainiac", "main", "cd" * 32))
    for use in (probe.predict, probe.evaluate):
        with pytest.raises(UsageError, match="embed the scans with the probe's model"):
            use(foreign, cohort.frame)


def test_features_that_are_not_finite_are_refused_at_every_step(make_cohort, number):
    cohort = make_cohort(number, 60)
    probe = Probe(number, QUICK["number"]).fit(features_of(cohort), cohort.frame)
    cohort.X[5, 5] = np.nan
    for use in (probe.cross_validate, probe.fit, probe.predict, probe.evaluate):
        with pytest.raises(UsageError, match="finite"):
            use(features_of(cohort), cohort.frame)


def test_a_recipe_that_does_not_fit_the_task_makes_no_probe():
    with pytest.raises(UsageError, match="ridge cannot predict classes"):
        Probe("stroke", Recipe("ridge"))
    assert Probe("brain-age").task == tasks.get("brain-age")
