"""Intervals hold the performance of the procedure: measured on a large sample, over many training sets."""

import numpy as np
import pytest

from prima_features.probes import Recipe
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import fit_recipe

N_SUBJECTS = 200
N_SEEDS = 50
SCHEME = Scheme(inner_folds=2)
QUICK = Recipe("logistic", {"C": (1e-3, 1e-1)}, inner_folds=2)


def true_performance(make_cohort, task, recipe, signal, n_sets=15):
    """Mean over training sets of four fifths of the subjects, as five folds have them, of the metrics of a large
    sample of the same population."""
    large = make_cohort(task, 5000, signal=signal, seed=10_000).samples
    weights = np.ones((1, len(large)))
    found = []
    for seed in range(n_sets):
        small = make_cohort(task, N_SUBJECTS * 4 // 5, signal=signal, seed=20_000 + seed).samples
        found.append(large.kind.scores(large.y, fit_recipe(recipe, small).predict(large), weights))
    return {name: float(np.mean([one[name] for one in found])) for name in task.metrics}


def cross_validated(make_cohort, task, recipe, signal, seed, **options):
    """Estimates on one cohort."""
    cohort = make_cohort(task, N_SUBJECTS, signal=signal, seed=seed, **options).samples
    return scored(cohort, cross_validate(cohort, recipe, draw(cohort, SCHEME)), 300).estimates()


@pytest.fixture(scope="module")
def signal_in_numbers(make_cohort, number, ridge):
    """Estimates on many cohorts with the same signal, computed once."""
    return [cross_validated(make_cohort, number, ridge, 0.7, seed) for seed in range(N_SEEDS)]


def coverage(estimates, name, truth):
    """Part of the intervals that hold the truth."""
    return np.mean([one[name].ci_low <= truth <= one[name].ci_high for one in estimates])


def test_intervals_hold_the_true_error_and_correlation_of_a_regression(
    make_cohort, number, ridge, signal_in_numbers
):
    truth = true_performance(make_cohort, number, ridge, signal=0.7)
    assert truth["pearson_r"] > 0.4
    found = signal_in_numbers
    for name in ("mae", "pearson_r", "r2"):
        assert coverage(found, name, truth[name]) >= 0.9, name


def test_intervals_hold_the_true_auroc(make_cohort, binary):
    truth = true_performance(make_cohort, binary, QUICK, signal=0.35)
    assert 0.65 < truth["auroc"] < 0.85
    found = [cross_validated(make_cohort, binary, QUICK, 0.35, seed) for seed in range(N_SEEDS)]
    for name in ("auroc", "brier", "balanced_accuracy"):
        assert coverage(found, name, truth[name]) >= 0.9, name


def test_intervals_are_no_wider_than_the_estimates_vary_by(signal_in_numbers):
    found = signal_in_numbers
    spread = np.std([one["pearson_r"].value for one in found])
    half = np.mean([one["pearson_r"].ci_high - one["pearson_r"].ci_low for one in found]) / 2
    assert 1.6 * spread < half < 3.5 * spread


def test_noise_has_an_auroc_of_one_half(make_cohort, binary):
    found = [cross_validated(make_cohort, binary, QUICK, 0.0, seed) for seed in range(N_SEEDS)]
    assert coverage(found, "auroc", 0.5) >= 0.9
    assert np.mean([one["auroc"].value for one in found]) == pytest.approx(0.5, abs=0.03)


def test_noise_does_not_explain_a_number(make_cohort, number, ridge):
    found = [cross_validated(make_cohort, number, ridge, 0.0, seed) for seed in range(N_SEEDS)]
    assert coverage(found, "pearson_r", 0.0) >= 0.9
    assert np.mean([one["r2"].value for one in found]) <= 0
