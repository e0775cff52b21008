"""Drawing the folds of a run, and keeping them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation import EvaluationPlan, Fold, Scheme, Splits, draw, evaluate

SITES = ("a", "b", "c")
RECIPE = Recipe("logistic", {"C": (1e-2,)}, inner_folds=2)
RIDGE = Recipe("ridge", {"alphas": (1e2,)}, inner_folds=2)


def times_tested(splits, repeat=0):
    """(N,) how often each row is tested in a repeat."""
    rows = [fold.test for fold in splits.folds if fold.repeat == repeat]
    return np.bincount(np.concatenate(rows), minlength=splits.n_rows)


def same(first, second):
    return json.dumps(first.to_dict()) == json.dumps(second.to_dict())


@pytest.mark.parametrize("kind", ["binary", "triple", "number"])
def test_every_row_is_tested_once_a_repeat_and_never_by_a_probe_of_its_group(make_cohort, kind, request):
    samples = make_cohort(request.getfixturevalue(kind), 60, scans=2).samples
    splits = draw(samples, Scheme(outer_folds=4, inner_folds=3, repeats=2))
    assert len(splits.folds) == 8
    assert splits.n_repeats == 2
    for repeat in range(2):
        assert (times_tested(splits, repeat) == 1).all()
    for fold in splits.folds:
        assert not set(samples.groups[fold.train]) & set(samples.groups[fold.test])
        assert len(fold.train) + len(fold.test) == len(samples)
        assert len(fold.inner) == len(fold.train)
        assert set(fold.inner) == {0, 1, 2}


def test_folds_have_their_share_of_the_classes_and_of_ages(make_cohort, triple, number):
    samples = make_cohort(triple, 200).samples
    for fold in draw(samples, Scheme()).folds:
        for code in range(3):
            share = (samples.y == code).sum() / 5
            assert abs((samples.y[fold.test] == code).sum() - share) <= 1
            inner = np.bincount(fold.inner[samples.y[fold.train] == code], minlength=5)
            assert np.ptp(inner) <= 1
    ages = make_cohort(number, 200).samples
    means = [ages.y[fold.test].mean() for fold in draw(ages, Scheme()).folds]
    assert np.ptp(means) < 0.25 * ages.y.std()


def test_repeats_differ_and_a_seed_replays_them(make_cohort, binary):
    samples = make_cohort(binary, 60).samples
    splits = draw(samples, Scheme(repeats=2, seed=3))
    assert set(map(tuple, (fold.test for fold in splits.folds[:5]))).isdisjoint(
        map(tuple, (fold.test for fold in splits.folds[5:]))
    )
    assert same(splits, draw(samples, Scheme(repeats=2, seed=3)))
    assert splits.digest == draw(samples, Scheme(repeats=2, seed=3)).digest
    assert splits.digest != draw(samples, Scheme(repeats=2, seed=5)).digest


def test_patients_and_controls_are_shared_out_apart(make_cohort, brain_age):
    control = (np.arange(150) % 6 == 0).astype(int)  # 25 controls among 125 patients
    samples = make_cohort(brain_age, 150).known(control=control).samples
    for seed in range(5):
        for fold in draw(samples, Scheme(seed=seed)).folds:
            assert abs(control[fold.test].sum() - 5) <= 2
            assert len(fold.test) == pytest.approx(30, abs=2)
            assert (control[fold.train] == 1).all()


def test_too_few_who_train_are_refused(make_cohort, brain_age):
    samples = make_cohort(brain_age, 50).known(control=(np.arange(50) < 4).astype(int)).samples
    with pytest.raises(UsageError, match="4 training subjects or groups"):
        draw(samples, Scheme())


def test_leave_site_out_tests_each_site_by_a_probe_of_the_others(make_cohort, binary):
    samples = make_cohort(binary, 90, sites=SITES).samples
    splits = draw(samples, Scheme("leave-site-out"))
    assert [fold.name for fold in splits.folds] == list(SITES)
    for fold in splits.folds:
        assert set(samples.sites[fold.test]) == {fold.name}
        assert fold.name not in samples.sites[fold.train]
    assert (times_tested(splits) == 1).all()


def test_who_was_scanned_at_two_sites_does_not_train_the_probe_that_tests_them(make_cohort, binary):
    cohort = make_cohort(binary, 60, scans=2, sites=SITES)
    traveller = cohort.frame["subject"].isin(["sub-000", "sub-001"])
    site = cohort.frame["site"].where(~traveller, np.tile(["a", "b"], 60))
    samples = cohort.known(site=site).samples
    splits = draw(samples, Scheme("leave-site-out"))
    for fold in splits.folds:
        assert not set(samples.groups[fold.train]) & set(samples.groups[fold.test])
    trained = {fold.name: set(samples.groups[fold.train]) for fold in splits.folds}
    assert "sub-000" not in trained["a"] | trained["b"]
    assert "sub-000" in trained["c"]


def test_rows_without_a_site_neither_train_nor_test_where_sites_are_left_out(make_cohort, binary):
    cohort = make_cohort(binary, 90, sites=SITES)
    samples = cohort.known(site=cohort.frame["site"].where(np.arange(90) >= 5, "")).samples
    splits = draw(samples, Scheme("leave-site-out"))
    used = np.concatenate([np.append(fold.train, fold.test) for fold in splits.folds])
    assert not set(range(5)) & set(used)
    found = evaluate(
        samples, RECIPE, EvaluationPlan(Scheme("leave-site-out"), n_bootstrap=0, site_check=False)
    )
    assert found.n_studies == len(found.predictions) == 85


def test_a_given_split_is_followed(make_cohort, number):
    split = np.array(["train"] * 30 + ["Validation"] * 10 + ["internal_test"] * 15 + [""] * 5)
    samples = make_cohort(number, 60).known(split=split).samples
    (fold,) = draw(samples, Scheme("split")).folds
    np.testing.assert_array_equal(fold.train, np.arange(40))
    np.testing.assert_array_equal(fold.test, np.arange(40, 55))


def test_a_given_split_with_a_subject_on_both_sides_is_refused(make_cohort, number):
    cohort = make_cohort(number, 30, scans=2)
    split = np.where(np.arange(60) < 31, "train", "test")  # cuts the sixteenth subject
    with pytest.raises(UsageError, match="in both sets, such as sub-015"):
        draw(cohort.known(split=split).samples, Scheme("split"))
    with pytest.raises(UsageError, match="it contains nothing"):
        draw(cohort.samples, Scheme("split"))
    with pytest.raises(UsageError, match="it contains train"):
        draw(cohort.known(split="train").samples, Scheme("split"))


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        (Scheme("bootstrap"), "unknown scheme 'bootstrap'"),
        (Scheme(outer_folds=1), "1 outer folds"),
        (Scheme(outer_folds=61), "61 outer folds"),
        (Scheme(repeats=0), "0 repeats"),
        (Scheme(inner_folds=1), "inner loop needs at least 2"),
        (Scheme("leave-site-out"), "needs at least two sites"),
    ],
)
def test_impossible_schemes_are_refused(make_cohort, binary, scheme, said):
    with pytest.raises(UsageError, match=said):
        draw(make_cohort(binary, 60).samples, scheme)


def test_a_training_set_that_lacks_a_class_is_refused(make_cohort, binary):
    cohort = make_cohort(binary, 60)
    site = np.where((cohort.frame["target"] == "case") | (np.arange(60) < 30), "mixed", "healthy")
    with pytest.raises(UsageError, match="without site mixed has no study of class case"):
        draw(cohort.known(site=site).samples, Scheme("leave-site-out"))


@pytest.mark.parametrize("scheme", [Scheme(repeats=2, seed=7), Scheme("leave-site-out", inner_folds=3)])
def test_splits_survive_json(make_cohort, binary, scheme):
    splits = draw(make_cohort(binary, 60, sites=SITES).samples, scheme)
    again = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert same(splits, again)
    assert again.digest == splits.digest
    assert again.scheme == scheme
    for mine, its in zip(splits.folds, again.folds, strict=True):
        for name in ("train", "test", "inner"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(its, name))


def test_splits_of_other_studies_or_that_let_a_group_cross_are_refused(make_cohort, binary, brain_age):
    samples = make_cohort(binary, 40, scans=2).samples
    splits = draw(samples, Scheme(inner_folds=3))
    splits.check(samples.groups)
    with pytest.raises(UsageError, match="for 80 studies, but there are 79"):
        splits.check(samples.groups[1:])
    with pytest.raises(UsageError, match="in the training and the test set of a fold"):
        splits.check(np.roll(samples.groups, 1))
    fold = splits.folds[0]
    crossed = replace(fold, inner=(np.arange(len(fold.train)) % 3))
    with pytest.raises(UsageError, match="in two inner folds"):
        replace(splits, folds=(crossed,)).check(samples.groups)
    aged = make_cohort(brain_age, 40).known(control=np.arange(40) % 2).samples
    rows = np.arange(30)
    of_patients = Splits((Fold(rows, np.arange(30, 40), rows % 3),), 40)
    with pytest.raises(UsageError, match="studies of patients for training"):
        evaluate(aged, RIDGE, splits=of_patients)


def test_replayed_splits_give_the_same_numbers_and_their_own_scheme(make_cohort, number):
    samples = make_cohort(number, 60).samples
    plan = EvaluationPlan(Scheme(outer_folds=3, inner_folds=2, seed=4), n_bootstrap=50, site_check=False)
    first = evaluate(samples, RIDGE, plan)
    replayed = Splits.from_dict(json.loads(json.dumps(first.splits.to_dict())))
    again = evaluate(samples, RIDGE, EvaluationPlan(n_bootstrap=50, site_check=False), splits=replayed)
    assert again.metrics == first.metrics
    assert again.metrics_json()["scheme"]["outer_folds"] == 3


def test_a_split_that_tests_no_one_who_counts_is_refused(make_cohort, brain_age):
    split = np.where(np.arange(60) < 40, "train", "test")
    samples = make_cohort(brain_age, 60).known(split=split, control=(np.arange(60) < 40).astype(int)).samples
    with pytest.raises(UsageError, match="no study of a control is in a test set"):
        evaluate(samples, RIDGE, EvaluationPlan(Scheme("split")))
