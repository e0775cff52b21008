"""Intervals over subjects, within classes."""

import warnings

import numpy as np
import pytest
from scipy.stats import t as student

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


@pytest.mark.parametrize("name", ["calibration_slope", "slope"])
def test_the_jackknifes_interval_of_a_mean_is_students(name):
    values = np.random.default_rng(0).uniform(size=12)
    bootstrap = Bootstrap(np.arange(12), np.zeros(12, dtype=int), 100)
    found = bootstrap.estimates(lambda weights: {name: mean_of(values)(weights)["mean"]})[name]
    kurtosis = 12 * ((values - values.mean()) ** 4).sum() / ((values - values.mean()) ** 2).sum() ** 2
    freedom = min(11, 24 / (kurtosis - 1))
    interval = student.interval(0.95, freedom, values.mean(), values.std(ddof=1) / np.sqrt(12))
    assert (found.ci_low, found.ci_high) == pytest.approx(interval)


@pytest.mark.parametrize(
    ("name", "there", "back"),
    [
        ("rmse", np.log, np.exp),
        ("r2", lambda x: np.log(1 - x), lambda x: 1 - np.exp(x)),
        ("auprc", lambda x: np.log(x / (1 - x)), lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_numbers_have_the_jackknifes_interval_on_their_scale(name, there, back):
    values = np.random.default_rng(1).uniform(0.1, 0.9, size=30)
    found = Bootstrap(np.arange(30), np.zeros(30, dtype=int), 100).estimates(
        lambda weights: {name: mean_of(values)(weights)["mean"]}
    )[name]
    each = there((values.sum() - values) / 29)
    middle = there(values.mean())
    bias = 29 * (each.mean() - middle)
    changes = each - middle
    error = np.sqrt(29 / 30 * (changes**2).sum())
    freedom = min(29, 60 / (30 * (changes**4).sum() / (changes**2).sum() ** 2 - 1))
    interval = sorted(back(np.array(student.interval(0.95, freedom, middle - bias, error))))
    assert (found.ci_low, found.ci_high) == pytest.approx(interval)


def test_one_subject_who_decides_a_number_widens_its_interval_beyond_percentiles():
    values = np.ones(40)
    values[0] = 30
    values += np.random.default_rng(0).normal(size=40) * 0.1
    bootstrap = Bootstrap(np.arange(40), np.zeros(40, dtype=int), 500)
    by_jackknife = bootstrap.estimates(lambda weights: {"mae": mean_of(values)(weights)["mean"]})["mae"]
    by_percentiles = bootstrap.estimates(mean_of(values))["mean"]
    assert by_jackknife.ci_high > 2 * by_percentiles.ci_high


def test_the_jackknife_leaves_out_a_subject_with_all_rows_and_keeps_the_classes_shares():
    groups = np.repeat(np.arange(20), 2)
    strata = (groups % 4 == 0).astype(int)
    kept = Bootstrap(groups, strata).weights_without_each()
    assert kept.shape == (20, 40)
    assert sorted(groups[np.flatnonzero(row == 0)].tolist() for row in kept) == [[i, i] for i in range(20)]
    for code in (0, 1):
        np.testing.assert_allclose(kept[:, strata == code].mean(axis=1), 1)


def test_the_jackknife_leaves_out_parts_of_many_subjects_with_every_class():
    strata = (np.arange(1500) % 5 == 0).astype(int)
    kept = Bootstrap(np.arange(1500), strata).weights_without_each()
    assert kept.shape == (200, 1500)
    np.testing.assert_array_equal((kept == 0).sum(axis=0), 1)
    for code, n in ((0, 1200), (1, 300)):
        left_out = (kept[:, strata == code] == 0).sum(axis=1)
        assert set(left_out) <= {n // 200, n // 200 + 1}
        np.testing.assert_allclose(kept[:, strata == code].mean(axis=1), 1)


def test_a_class_of_one_subject_leaves_percentiles():
    values = np.random.default_rng(0).uniform(1, 2, size=20)
    strata = np.r_[1, np.zeros(19, dtype=int)]
    bootstrap = Bootstrap(np.arange(20), strata, 200)
    percentiles = bootstrap.estimates(mean_of(values))["mean"]
    assert (
        bootstrap.estimates(lambda weights: {"mae": mean_of(values)(weights)["mean"]})["mae"] == percentiles
    )


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
