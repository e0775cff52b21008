"""Intervals over subjects, within classes."""

import warnings

import numpy as np
import pytest

from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes import Recipe
from prima_features.probes.evaluation import Estimate, EvaluationPlan, Scheme, evaluate
from prima_features.probes.evaluation.scored import cross_validate, scored, training_variance
from prima_features.probes.evaluation.splits import draw

RIDGE = Recipe("ridge", {"alphas": (1e2,)}, inner_folds=2)


def all_weights(bootstrap):
    return np.concatenate(list(bootstrap.weights()))


def mean_of(values):
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_a_subjects_rows_have_one_weight_and_each_class_keeps_its_total():
    groups = np.repeat([f"s{i}" for i in range(30)], 3)
    strata = np.repeat(np.arange(30) % 3 == 0, 3).astype(int)
    drawn = all_weights(Bootstrap(groups, strata, 450, variance=2.25))
    assert drawn.shape == (450, 90)
    assert (drawn > 0).all()
    np.testing.assert_array_equal(drawn[:, ::3], drawn[:, 2::3])
    for code, n_rows in ((0, 60), (1, 30)):
        np.testing.assert_allclose(drawn[:, strata == code].sum(axis=1), n_rows)


@pytest.mark.parametrize("variance", [1.0, 2.25])
def test_weights_have_the_variance_asked_for(variance):
    drawn = all_weights(Bootstrap(np.arange(200), np.zeros(200, dtype=int), 500, variance=variance))
    assert drawn.mean() == pytest.approx(1)
    assert drawn.var() == pytest.approx(variance, rel=0.1)


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem():
    values = np.random.default_rng(0).normal(5, 2, 400)
    bootstrap = Bootstrap(np.arange(400), np.zeros(400, dtype=int), 4000)
    found = bootstrap.estimates(mean_of(values))["mean"]
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.ci_low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.ci_high == pytest.approx(values.mean() + half, abs=0.02)


def test_scans_copied_row_by_row_leave_the_intervals_as_they_are(make_cohort, binary):
    single = make_cohort(binary, 80)
    twice = type(single)(
        binary, np.repeat(single.X, 2, axis=0), single.frame.loc[np.repeat(np.arange(80), 2)]
    )
    found = []
    for cohort in (single, twice):
        samples = cohort.samples
        # One prediction a subject, so that only the bootstrap can differ.
        predicted = cross_validate(samples, Recipe("logistic", {"C": (1e-2,)}), draw(samples, Scheme()))
        probability = np.repeat(single.X[:, :1], len(samples) // 80, axis=0)
        probability = 1 / (1 + np.exp(-np.hstack([-probability, probability])))
        predicted.repeats[0].probability[:] = probability
        predicted.repeats[0].label[:] = probability.argmax(axis=1)
        found.append(scored(samples, predicted, 300).estimates())
    for name, one in found[0].items():
        for bound in ("value", "ci_low", "ci_high"):
            assert getattr(one, bound) == pytest.approx(getattr(found[1][name], bound)), name


def test_correlated_scans_taken_for_subjects_would_make_intervals_too_narrow(make_cohort, number):
    cohort = make_cohort(number, 60, scans=4)
    samples = cohort.samples
    predicted = cross_validate(samples, RIDGE, draw(samples, Scheme()))
    alone = cohort.known(subject=cohort.frame["study"]).samples
    widths = [
        one.ci_high - one.ci_low
        for one in (scored(s, predicted, 400).estimates()["mae"] for s in (samples, alone))
    ]
    assert widths[0] > 1.6 * widths[1]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (Scheme(), 1 + 100 / 80),
        (Scheme(outer_folds=10), 1 + 100 / 90),
        (Scheme(repeats=3), 1 + 100 / 80),
        (Scheme("split"), 1),
    ],
)
def test_the_variance_is_nadeau_and_bengios_where_those_who_are_tested_train(
    make_cohort, number, scheme, expected
):
    samples = make_cohort(number, 100).known(split=np.where(np.arange(100) < 50, "train", "test")).samples
    assert training_variance(samples, draw(samples, scheme)) == pytest.approx(expected)


def test_a_seed_replays_the_intervals():
    values = np.random.default_rng(0).normal(size=50)
    made = [
        Bootstrap(np.arange(50), np.zeros(50, dtype=int), 100, seed).estimates(mean_of(values))["mean"]
        for seed in (1, 1, 2)
    ]
    assert made[0] == made[1] != made[2]


def test_blocks_of_resamples_do_not_change_what_is_drawn():
    few = all_weights(Bootstrap(np.arange(10), np.zeros(10, dtype=int), 150))
    many = all_weights(Bootstrap(np.arange(10), np.zeros(10, dtype=int), 450))
    np.testing.assert_array_equal(few, many[:150])


def test_a_number_that_is_seldom_defined_has_no_interval():
    def sometimes(weights):
        value = weights[:, 0].copy()
        value[weights[:, 0] < 1] = np.nan
        return {"x": value}

    found = Bootstrap(np.arange(20), np.zeros(20, dtype=int), 300).estimates(sometimes)["x"]
    assert found.value == 1
    assert np.isnan([found.ci_low, found.ci_high]).all()
    assert found.to_dict() == {"value": 1, "ci_low": None, "ci_high": None}


def test_no_resamples_give_no_interval():
    found = Bootstrap(np.arange(4), np.zeros(4, dtype=int), 0).estimates(mean_of(np.ones(4)))["mean"]
    assert found.value == 1
    assert np.isnan([found.ci_low, found.ci_high]).all()


def test_classes_as_small_as_allowed_have_intervals_for_every_metric(make_cohort, binary):
    cohort = make_cohort(binary, 40)
    target = np.where(np.arange(40) % 8 == 0, "case", "control")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = evaluate(
            cohort.known(target=target).samples,
            Recipe("logistic", {"C": (1e-2,)}, inner_folds=2),
            EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=300),
        )
    for name, one in found.metrics.items():
        assert one.ci_low <= one.value <= one.ci_high, name
    assert found.metrics["prevalence"] == Estimate(5 / 40, 5 / 40, 5 / 40)
    assert any("class case has only 5 subjects" in sentence for sentence in found.warnings)
