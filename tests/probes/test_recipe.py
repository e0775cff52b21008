"""Recipes and tasks: what fits together, and what is fitted on which rows."""

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Recipe, tasks
from prima_features.probes.recipe import fit_recipe


@pytest.mark.parametrize(
    ("task", "recipe", "said"),
    [
        ("autism", Recipe("ridge"), "ridge cannot predict classes"),
        ("brain-age", Recipe("logistic"), "logistic cannot predict a number"),
        ("brain-age", Recipe("forest"), "unknown estimator 'forest'"),
        ("brain-age", Recipe("ridge", {"C": 1}), "ridge has no option 'C'"),
        ("brain-age", Recipe(confounds=("age",)), "age is the target"),
        ("autism", Recipe(confounds=("site",)), "confounds must be one of age, sex, icv"),
        ("autism", Recipe(harmonize="neuroharmonize"), "harmonize must be one of none, combat"),
        ("autism", Recipe(unseen_sites="guess"), "unseen_sites must be one of"),
        ("autism", Recipe(harmonize="combat", confounds=("age",)), "choose one"),
        ("autism", Recipe(bias_correction="cole"), "bias correction is for the gap"),
        ("brain-age", Recipe(calibration="platt"), "calibration is for probabilities"),
        ("autism", Recipe(calibration="beta"), "calibration must be one of"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_computed(task, recipe, said):
    with pytest.raises(UsageError, match=said):
        recipe.check(tasks.get(task))


def test_defaults_are_ridge_and_logistic_regression():
    assert type(Recipe().make(tasks.get("brain-age"))).__name__ == "RidgeProbe"
    assert type(Recipe().make(tasks.get("stroke"))).__name__ == "LogisticProbe"


def test_combat_keeps_age_and_sex_but_never_the_target(make_cohort, brain_age, binary):
    recipe = Recipe(harmonize="combat")
    aged, classed = (make_cohort(task, 20).samples for task in (brain_age, binary))
    np.testing.assert_array_equal(recipe.covariates(aged), aged.covariates(["sex"]))
    np.testing.assert_array_equal(recipe.covariates(classed), classed.covariates(["age", "sex"]))
    assert Recipe().covariates(aged) is None


def test_it_is_fitted_on_the_rows_given_and_on_inner_folds_given(make_cohort, number, ridge):
    samples = make_cohort(number, 60).samples
    rows = np.arange(0, 60, 2)
    part = fit_recipe(ridge, samples, rows)
    alone = fit_recipe(ridge, samples.take(rows))
    np.testing.assert_array_equal(part.estimator.coef_, alone.estimator.coef_)
    np.testing.assert_array_equal(part.estimator.out_of_fold_, alone.estimator.out_of_fold_)
    inner = np.arange(30) % 2
    given = fit_recipe(ridge, samples, rows, inner)
    assert (given.estimator.out_of_fold_ != part.estimator.out_of_fold_).any()


def test_a_training_set_without_rows_or_a_class_is_refused(make_cohort, triple, logistic):
    samples = make_cohort(triple, 60).samples
    with pytest.raises(UsageError, match="no study of class mci to train"):
        fit_recipe(logistic, samples, np.flatnonzero(samples.y != 1))
    with pytest.raises(UsageError, match="no study to train the task"):
        fit_recipe(logistic, samples, np.array([], dtype=int))


def test_what_is_asked_for_is_found_by_name():
    assert tasks.get("glioma").name == "glioma-presence"
    assert tasks.get("glioma", variant="idh").classes == ("wildtype", "mutant")
    assert tasks.get("dementia", ("cn", "mci", "ad")).kind == "multiclass"
    assert tasks.get("dementia").positive == "ad"
    assert tasks.get("brain-age").metrics == ("mae", "rmse", "r2", "pearson_r")
    for name, said in (("brain_age", "did you mean brain-age"), ("xyz", "unknown task 'xyz'")):
        with pytest.raises(UsageError, match=said):
            tasks.get(name)
    with pytest.raises(UsageError, match="has no variants"):
        tasks.get("stroke", variant="acute")
    with pytest.raises(UsageError, match="leave out --classes"):
        tasks.get("brain-age", ("old", "young"))
    for classes in (("a",), ("a", "a")):
        with pytest.raises(UsageError, match="two or more different classes"):
            tasks.get("custom", classes)
