"""How the metric grows with the number of training subjects."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from prima_features.probes import Probe, Recipe
from prima_features.probes.evaluation import (
    EvaluationPlan,
    LearningCurve,
    Scheme,
    draw,
    evaluate,
    learning_curve,
)
from prima_features.probes.evaluation.refits import _thinned
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.feature_matrix import Features, FeatureSource
from prima_features.probes.runs.fit import _unconverged

RIDGE = Recipe("ridge", {"alphas": (1e2, 1e1)}, inner_folds=2)


def test_the_error_falls_with_more_subjects_and_ends_at_the_whole_training_set(make_cohort, number):
    samples = make_cohort(number, 250).samples
    splits = draw(samples, Scheme(inner_folds=2))
    curve = learning_curve(samples, RIDGE, splits, n_resamples=100)
    points = curve.points
    assert curve.left_out == ()
    assert [point.n_groups for point in points] == [20, 40, 80, 140, 200]
    values = [point.estimate.value for point in points]
    assert values[0] > values[2] > values[-1]
    whole = scored(samples, cross_validate(samples, RIDGE, splits), 100).estimates()["mae"]
    assert points[-1].estimate == whole


def test_smaller_parts_are_inside_larger_ones_and_hold_whole_groups(make_cohort, binary):
    samples = make_cohort(binary, 60, scans=2).samples
    fold = draw(samples, Scheme(inner_folds=3)).folds[0]
    small, large = (_thinned(samples, fold, fraction, 0) for fraction in (0.3, 0.6))
    assert set(small.train) < set(large.train) < set(fold.train)
    for part in (small, large):
        kept = set(samples.groups[part.train])
        assert np.isin(samples.groups[fold.train], list(kept)).sum() == len(part.train)
        np.testing.assert_array_equal(part.test, fold.test)
    share = (samples.y[fold.train] == 1).mean()
    assert abs((samples.y[small.train] == 1).mean() - share) < 0.05


def test_sizes_that_lack_a_class_are_left_out(make_cohort, binary):
    cohort = make_cohort(binary, 100)
    samples = cohort.known(target=np.where(np.arange(100) < 6, "case", "control")).samples
    recipe = Recipe("logistic", {"C": (1e-2,)}, inner_folds=2)
    curve = learning_curve(samples, recipe, draw(samples, Scheme(inner_folds=2)), (0.05, 1.0), 20)
    assert [point.n_groups for point in curve.points] == [80]
    ((size, why),) = curve.left_out
    assert size == 4 and "lack a class" in why


def test_sizes_that_are_too_small_for_combat_are_left_out_with_its_reason(make_cohort, number):
    samples = make_cohort(number, 70, sites=("A", "B")).samples
    recipe = Recipe("ridge", {"alphas": (1e1,)}, harmonize="combat", inner_folds=2)
    curve = learning_curve(samples, recipe, draw(samples, Scheme(inner_folds=2)), n_resamples=20)
    assert curve.points[-1].n_groups == 56
    assert len(curve.points) + len(curve.left_out) == 5
    assert any("ComBat needs at least two sites" in why for _, why in curve.left_out)


def test_the_last_point_is_the_evaluation_if_that_is_given(make_cohort, binary):
    samples = make_cohort(binary, 80).samples
    recipe = Recipe("logistic", {"C": (1e-2, 1.0)}, inner_folds=2)
    splits = draw(samples, Scheme(inner_folds=2))
    found = evaluate(samples, recipe, EvaluationPlan(n_bootstrap=0, site_check=False), splits)
    fitted = learning_curve(samples, recipe, splits, (0.5, 1.0), 20)
    assert learning_curve(samples, recipe, splits, (0.5, 1.0), 20, found.out_of_fold) == fitted


def test_a_logistic_fit_that_does_not_converge_is_named_in_the_warnings(make_cohort, binary):
    samples = make_cohort(binary, 80).samples
    recipe = Recipe("logistic", {"C": (1e-2, 1e2), "max_steps": 1}, inner_folds=2)
    plan = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=0, site_check=False)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        found = evaluate(samples, recipe, plan)
    assert any("logistic regression did not converge with C of" in one for one in found.warnings)
    converged = evaluate(samples, Recipe("logistic", {"C": (1e-2, 1e2)}, inner_folds=2), plan)
    assert not any("converge" in one for one in converged.warnings)


def test_fits_of_the_curve_and_of_the_site_check_that_do_not_converge_are_named(
    make_cohort, binary, monkeypatch
):
    samples = make_cohort(binary, 80, sites=("A", "B")).samples
    recipe = Recipe("logistic", {"C": (1e-2, 1e2), "max_steps": 1}, inner_folds=2)
    splits = draw(samples, Scheme(inner_folds=2))
    with pytest.warns(ConvergenceWarning):
        curve = learning_curve(samples, recipe, splits, (0.5,), 20)
    assert 1e2 in curve.unconverged
    reader = Recipe("logistic", {"C": (1e2,), "max_steps": 1}, inner_folds=3)
    monkeypatch.setattr("prima_features.probes.evaluation.checks._READER", reader)
    plan = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=0)
    with pytest.warns(ConvergenceWarning):
        found = evaluate(samples, replace(recipe, options={"C": (1e-2,)}), plan, splits)
    named = [one for one in found.warnings if "converge" in one]
    assert len(named) == 1
    assert "logistic regression of the site did not converge with C of 100" in named[0]


def test_the_fit_on_all_studies_and_the_curve_are_named_if_they_do_not_converge(make_cohort, binary):
    cohort = make_cohort(binary, 80)
    given = Features.of(cohort.X.astype(np.float32), FeatureSource("prima-tiny", "1", "ab" * 32))
    recipe = Recipe("logistic", {"C": (1e-2, 1e2), "max_steps": 1}, inner_folds=2)
    with pytest.warns(ConvergenceWarning):
        probe = Probe(binary, recipe).fit(given, cohort.frame)
    found = _unconverged(LearningCurve((), (), (1e2,)), probe)
    assert "logistic regression of the learning curve did not converge with C of 100" in found[0]
    assert "logistic regression on all studies did not converge with C of" in found[1]
    solved = Probe(binary, Recipe("logistic", {"C": (1e-2,)})).fit(given, cohort.frame)
    assert _unconverged(LearningCurve((), ()), solved) == ()
