"""The corrected resampled t-test, and when it may be made."""

import numpy as np
import pytest
from scipy import stats

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation import (
    EvaluationPlan,
    Scheme,
    corrected_t_test,
    evaluate,
    evaluate_fitted,
)
from prima_features.probes.recipe import fit_recipe

PLAN = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=0, site_check=False)
WEAK = Recipe("ridge", {"alphas": (1e5,)}, inner_folds=2)
GOOD = Recipe("ridge", {"alphas": (1e1,)}, inner_folds=2)


def test_a_worked_example():
    # Differences 1, 2, 3, 4, 5: mean 3, variance 2.5. With 80 training and 20 test rows
    # t = 3 / sqrt((1/5 + 20/80) * 2.5) = 3 / sqrt(1.125) = 2.8284, on 4 degrees of freedom.
    found = corrected_t_test(
        "mae", np.array([2.0, 4, 6, 8, 10]), np.array([1.0, 2, 3, 4, 5]), np.full(5, 80), np.full(5, 20)
    )
    assert found.difference == 3
    assert found.t == pytest.approx(2.828427)
    assert found.degrees_of_freedom == 4
    assert found.p_value == pytest.approx(2 * (1 - stats.t.cdf(2.828427, 4)))
    assert found.p_value == pytest.approx(0.0474, abs=1e-4)


def test_it_is_the_paired_t_test_with_its_variance_inflated():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 10))
    found = corrected_t_test("mae", first, second, np.full(10, 90), np.full(10, 10))
    plain = stats.ttest_rel(first, second)
    assert found.t == pytest.approx(plain.statistic * np.sqrt((1 / 10) / (1 / 10 + 10 / 90)))
    assert found.p_value > plain.pvalue


def test_folds_where_the_metric_is_not_defined_are_left_out():
    first, second = np.array([0.9, np.nan, 0.8, 0.7]), np.array([0.7, 0.5, 0.7, 0.65])
    found = corrected_t_test("auroc", first, second, np.full(4, 30), np.full(4, 10))
    assert found.n_folds == 3
    with pytest.raises(UsageError, match="two folds or more"):
        corrected_t_test("auroc", first[:2], second[:2], np.full(2, 30), np.full(2, 10))


def test_equal_probes_do_not_differ():
    same = np.array([1.0, 2.0])
    found = corrected_t_test("mae", same, same, np.full(2, 8), np.full(2, 2))
    assert (found.t, found.p_value) == (0, 1)
    always = corrected_t_test("mae", same + 1, same, np.full(2, 8), np.full(2, 2))
    assert (always.t, always.p_value) == (np.inf, 0)


def test_the_better_of_two_probes_is_told_on_the_same_folds(make_cohort, number):
    samples = make_cohort(number, 400).samples
    good = evaluate(samples, GOOD, PLAN)
    weak = evaluate(samples, WEAK, PLAN, splits=good.splits)
    found = good.compare(weak)
    assert found.metric == "mae"
    assert found.difference < 0
    assert found.p_value < 0.05
    assert weak.compare(good).t == -found.t
    expected = corrected_t_test(
        "mae",
        good.fold_scores.values,
        weak.fold_scores.values,
        good.fold_scores.n_train,
        good.fold_scores.n_test,
    )
    assert found == expected
    assert good.fold_scores.n_train.tolist() == [320] * 5
    assert good.fold_scores.n_test.tolist() == [80] * 5


def test_other_folds_studies_labels_or_cohorts_are_refused(make_cohort, number):
    cohort = make_cohort(number, 60)
    first = evaluate(cohort.samples, GOOD, PLAN)
    other = evaluate(cohort.samples, GOOD, EvaluationPlan(Scheme(inner_folds=2, seed=1), 0, site_check=False))
    with pytest.raises(UsageError, match="evaluated on different folds"):
        first.compare(other)
    relabelled = cohort.known(target=cohort.frame["target"] + 1).samples
    with pytest.raises(UsageError, match="different studies or labels"):
        first.compare(evaluate(relabelled, GOOD, PLAN, splits=first.splits))
    external = evaluate_fitted(
        fit_recipe(GOOD, cohort.samples), cohort.samples, np.array([50.0]), n_bootstrap=0
    )
    with pytest.raises(UsageError, match="only cross-validated probes"):
        first.compare(external)
