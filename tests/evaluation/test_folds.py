"""Dealing groups to folds."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from prima_features.evaluation.folds import MAX_BINS, deal, strata_of


def uneven(seed, n_groups=80):
    """Groups of one to five rows, each of one class of three."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 6, size=n_groups)
    groups = np.repeat(np.arange(n_groups), size).astype(str)
    return groups, np.repeat(rng.choice(3, p=(0.6, 0.3, 0.1), size=n_groups), size)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_cut_and_every_fold_gets_its_share_of_rows_and_classes(seed):
    groups, classes = uneven(seed)
    fold = deal(groups, classes, 5, seed)
    assert set(fold) == set(range(5))
    for name in np.unique(groups):
        assert len(set(fold[groups == name])) == 1
    # Within one largest group of the exact share.
    assert np.ptp(np.bincount(fold)) <= 3 * 5
    for code in range(3):
        assert np.ptp(np.bincount(fold[classes == code], minlength=5)) <= 5


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_shared_out_as_evenly_as_by_scikit_learn(seed):
    groups, classes = uneven(seed)
    theirs = np.empty(len(groups), dtype=int)
    split = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, classes, groups)
    for i, (_, test) in enumerate(split):
        theirs[test] = i

    def unevenness(fold):
        return sum(np.bincount(fold[classes == code], minlength=5).std() for code in range(3))

    assert unevenness(deal(groups, classes, 5, seed)) <= unevenness(theirs) + 0.5


def test_classes_of_single_rows_differ_by_one_at_most():
    classes = np.repeat([0, 1], [43, 18])
    fold = deal(np.arange(61), classes, 5, 0)
    for code in (0, 1):
        assert np.ptp(np.bincount(fold[classes == code])) <= 1
    assert np.ptp(np.bincount(fold)) <= 1


def test_a_seed_replays_the_deal_and_another_gives_another():
    groups, classes = uneven(0)
    np.testing.assert_array_equal(deal(groups, classes, 5, 3), deal(groups, classes, 5, 3))
    assert (deal(groups, classes, 5, 3) != deal(groups, classes, 5, 4)).any()


def test_no_fold_is_empty_even_with_as_many_folds_as_groups():
    for seed in range(20):
        groups, classes = uneven(seed, n_groups=7)
        assert set(deal(groups, classes, 7, seed)) == set(range(7))


@pytest.mark.parametrize("n_folds", [0, 1, 4])
def test_impossible_numbers_of_folds_are_refused(n_folds):
    with pytest.raises(ValueError, match="folds need as many groups"):
        deal(np.array(["a", "b", "b", "c"]), np.zeros(4, dtype=int), n_folds, 0)


def test_a_group_of_two_classes_counts_for_that_of_most_of_its_rows():
    groups = np.repeat([f"g{i}" for i in range(10)], 3)
    classes = np.tile([0, 1, 1], 10)
    fold = deal(groups, classes, 5, 0)
    assert set(np.bincount(fold)) == {6}


def test_numbers_are_shared_out_by_bins_of_the_groups_means():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 2)
    age = np.repeat(rng.uniform(20, 90, 100), 2) + rng.normal(0, 0.1, 200)
    strata = strata_of(age, groups, classes=False, n_folds=5)
    assert strata.max() == MAX_BINS - 1
    assert (strata[::2] == strata[1::2]).all()
    means = [age[strata == code].mean() for code in range(MAX_BINS)]
    assert means == sorted(means)
    fold = deal(groups, strata, 5, 0)
    assert np.ptp([age[fold == k].mean() for k in range(5)]) < 3
    for k in range(5):
        assert set(strata[fold == k]) == set(range(MAX_BINS))


def test_few_groups_give_few_bins():
    assert set(strata_of(np.arange(7.0), np.arange(7), classes=False, n_folds=5)) == {0}
    assert set(strata_of(np.arange(10.0), np.arange(10), classes=False, n_folds=5)) == {0, 1}
    np.testing.assert_array_equal(
        strata_of(np.array([2.0, 0.0]), np.arange(2), classes=True, n_folds=5), [2, 0]
    )
