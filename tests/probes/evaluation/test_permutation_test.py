"""Permutation of labels: uniform under the null, small where there is signal."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation.permuted import permutation_test, permuted_rows
from prima_features.probes.evaluation.splits import Scheme

TINY = Scheme(outer_folds=3, inner_folds=2)
RECIPES = {
    "number": Recipe("ridge", {"alphas": (1e2, 1e1)}),
    "binary": Recipe("logistic", {"C": (1e-2,)}),
}


def test_p_values_are_uniform_where_there_is_nothing(make_cohort, number):
    n_permutations, found = 4, []
    cohort = make_cohort(number, 30, width=4, signal=0.0).samples
    for seed in range(80):
        rng = np.random.default_rng(seed)
        samples = replace(cohort, X=rng.normal(size=cohort.X.shape), y=rng.normal(50, 10, 30))
        scheme = Scheme(outer_folds=2, inner_folds=2, seed=seed)
        test = permutation_test(samples, RECIPES["number"], scheme, n_permutations)
        # Spread evenly within its step of 1/5, to compare it with a continuous distribution.
        found.append(test.p_value - rng.random() / (n_permutations + 1))
    assert kstest(found, "uniform").pvalue > 0.05
    assert np.mean(np.array(found) <= 0.1) <= 0.2


@pytest.mark.parametrize(("kind", "metric"), [("number", "mae"), ("binary", "auroc")])
def test_signal_has_the_smallest_p_value_there_is(make_cohort, kind, metric, request):
    cohort = make_cohort(request.getfixturevalue(kind), 60, width=4, signal=2.0).samples
    test = permutation_test(cohort, RECIPES[kind], TINY, 19)
    assert test.p_value == 1 / 20
    assert test.metric == metric
    assert (test.observed < test.null_mean) == (metric == "mae")


def test_a_subjects_scans_move_together_and_only_to_subjects_with_as_many(make_cohort, number):
    samples = make_cohort(number, 12, scans=3).samples
    # The first subject keeps one scan, and the second two.
    samples = samples.take(np.delete(np.arange(36), [0, 1, 5]))
    order = permuted_rows(samples, np.random.default_rng(0))
    assert sorted(order) == list(range(len(samples)))
    assert (order != np.arange(len(samples))).sum() >= 15
    groups = samples.groups
    for name in np.unique(groups):
        sources = groups[order[groups == name]]
        assert len(set(sources)) == 1
        assert (groups == sources[0]).sum() == (groups == name).sum()


def test_rows_that_do_not_train_keep_their_labels(make_cohort, brain_age):
    control = np.repeat([1, 0], 10)
    samples = make_cohort(brain_age, 20).known(control=control).samples
    order = permuted_rows(samples, np.random.default_rng(0))
    np.testing.assert_array_equal(order[10:], np.arange(10, 20))
    assert set(order[:10]) == set(range(10))


def test_groups_that_all_differ_in_size_cannot_be_permuted(make_cohort, number):
    cohort = make_cohort(number, 6).known(subject=["a", "b", "b", "c", "c", "c"])
    with pytest.raises(UsageError, match="same number of studies"):
        permuted_rows(cohort.samples, np.random.default_rng(0))


def test_the_progress_is_that_of_permutations_not_of_their_folds(make_cohort, number, caplog):
    cohort = make_cohort(number, 30, width=4).samples
    with caplog.at_level(logging.INFO, "prima_features.probes.evaluation"):
        permutation_test(cohort, RECIPES["number"], TINY, 3)
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == [
        "permutation 1 of 3",
        "permutation 2 of 3",
        "permutation 3 of 3",
    ]
