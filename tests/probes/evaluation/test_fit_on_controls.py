"""Brain age is fitted and scored on controls; patients are predicted by probes that did not see them."""

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation import EvaluationPlan, Scheme, evaluate, evaluate_fitted
from prima_features.probes.feature_matrix import FeatureSource
from prima_features.probes.recipe import fit_recipe
from prima_features.probes.training import TrainingSet

RECIPE = Recipe("ridge", {"alphas": (1e2, 1e1)}, bias_correction="cole", inner_folds=2)
PLAN = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=100, site_check=False)
CONTROL = np.where(np.arange(120) < 90, 1.0, 0.0)
CONTROL[115:] = np.nan


@pytest.fixture
def mixed(make_cohort, brain_age):
    """90 controls, 25 patients whose brains look 15 years older, and 5 of whom nothing is known."""
    cohort = make_cohort(brain_age, 120)
    older = cohort.frame["target"] - 15 * (CONTROL != 1)
    return cohort.known(control=CONTROL, target=older)


def test_patients_neither_train_nor_count_but_are_predicted(mixed):
    found = evaluate(mixed.samples, RECIPE, PLAN)
    for fold in found.splits.folds:
        assert (CONTROL[fold.train] == 1).all()
    table = found.predictions
    assert len(table) == 120
    assert table["prediction"].notna().all()
    assert table["counts"].sum() == found.n_studies == 90
    counted = table[table["counts"] == 1]
    error = (counted["prediction"] - counted["target"]).abs().mean()
    assert found.metrics["mae"].value == pytest.approx(error)
    assert found.gap.raw_mean.value == pytest.approx(counted["gap"].mean())
    patients = table[CONTROL == 0]
    assert patients["gap"].mean() > counted["gap"].mean() + 8
    assert any("30 studies are not of known controls" in sentence for sentence in found.warnings)
    assert found.gap.age_range == (counted["target"].min(), counted["target"].max())


def test_what_patients_look_like_changes_no_number_of_the_controls(mixed):
    first = evaluate(mixed.samples, RECIPE, PLAN)
    X = mixed.X.copy()
    X[CONTROL != 1] += 50
    other = evaluate(type(mixed)(mixed.task, X, mixed.frame).samples, RECIPE, PLAN, splits=first.splits)
    assert other.metrics == first.metrics
    assert other.gap == first.gap
    assert other.metrics_json()["baselines"] == first.metrics_json()["baselines"]


def test_the_last_fit_and_its_summary_are_of_controls(mixed):
    samples = mixed.samples
    whole = fit_recipe(RECIPE, samples)
    alone = fit_recipe(RECIPE, samples.take(CONTROL == 1))
    np.testing.assert_array_equal(whole.estimator.coef_, alone.estimator.coef_)
    assert whole.correction == alone.correction
    training = TrainingSet.of(samples, FeatureSource())
    assert training.n_studies == 90
    assert training.typical == tuple(samples.kind.typical(samples.y[CONTROL == 1]))


def test_where_nobody_is_known_to_be_a_control_all_train_and_that_is_said(make_cohort, brain_age):
    found = evaluate(make_cohort(brain_age, 60).samples, RECIPE, PLAN)
    assert found.n_studies == 60
    assert any("controls are unknown" in sentence for sentence in found.warnings)


def test_a_cohort_of_patients_alone_is_refused(make_cohort, brain_age):
    patients = make_cohort(brain_age, 60).known(control=0).samples
    with pytest.raises(UsageError, match="no study is of a control"):
        evaluate(patients, RECIPE, PLAN)
    with pytest.raises(UsageError, match="no study to train the task"):
        fit_recipe(RECIPE, patients)
    fitted = fit_recipe(RECIPE, make_cohort(brain_age, 60).samples)
    with pytest.raises(UsageError, match="no study is of a control"):
        evaluate_fitted(fitted, patients, np.array([50.0]))


def test_a_site_of_patients_alone_is_predicted_but_has_no_score(mixed):
    site = np.where(CONTROL == 1, np.where(np.arange(120) % 2, "a", "b"), "clinic")
    samples = mixed.known(site=site).samples
    found = evaluate(
        samples, RECIPE, EvaluationPlan(Scheme("leave-site-out", inner_folds=2), 50, site_check=False)
    )
    assert found.fold_scores.names == ("a", "b", "clinic")
    assert np.isfinite(found.fold_scores.values).tolist() == [True, True, False]
    assert found.fold_scores.n_test.tolist() == [45, 45, 0]
    assert found.metrics_json()["folds"]["values"][2] is None
    assert len(found.predictions) == 120


def test_other_tasks_use_everyone(make_cohort, binary, logistic):
    found = evaluate(make_cohort(binary, 120).known(control=CONTROL).samples, logistic, PLAN)
    assert found.n_studies == 120
