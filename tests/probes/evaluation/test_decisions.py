"""Calibration in the large, decision curves and the confusion table of a probe, with intervals."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq

from prima_features.evaluation import weighted
from prima_features.evaluation.intervals import Bootstrap
from prima_features.evaluation.weighted import logit
from prima_features.probes.evaluation.decisions import THRESHOLDS, decisions
from prima_features.probes.evaluation.scored import Scored
from prima_features.probes.recipe import Outcome

N = 300


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    probability = rng.beta(1, 2, N)
    return rng.random(N) < np.clip(1.3 * probability, 0, 1), probability


def of(task, y, probability, label, n_resamples=300) -> Scored:
    nothing = np.full(N, np.nan)
    return Scored(
        task,
        y,
        (Outcome(nothing, probability, label, nothing),),
        Bootstrap(np.arange(N), y, n_resamples),
    )


def test_calibration_in_the_large_is_the_intercept_at_a_slope_of_1(rows):
    positive, probability = rows
    weights = np.vstack([np.ones(N), np.random.default_rng(1).gamma(1, size=N)])
    found = weighted.calibration_in_the_large(positive, probability, weights)
    for value, row in zip(found, weights, strict=True):
        x = logit(probability)
        expected = brentq(lambda a, x=x, row=row: (row * (positive - 1 / (1 + np.exp(-x - a)))).sum(), -9, 9)
        assert value == pytest.approx(expected, abs=1e-6)
    assert found[0] > 0  # observed shares are higher than predicted
    assert np.isnan(weighted.calibration_in_the_large(np.ones(N, bool), probability, weights)).all()


def test_net_benefit_counts_false_positives_by_the_odds_of_the_threshold(rows):
    positive, probability = rows
    found = weighted.net_benefit(positive, probability, np.array([0.2, 0.5]), np.ones((1, N)))[0]
    for value, threshold in zip(found, (0.2, 0.5), strict=True):
        treated = probability >= threshold
        hits, alarms = (treated & positive).sum(), (treated & ~positive).sum()
        assert value == pytest.approx((hits - alarms * threshold / (1 - threshold)) / N)


def test_everyone_is_treated_at_a_threshold_below_all_probabilities(binary, rows):
    positive, probability = rows
    probability = 0.06 + 0.9 * probability
    y = positive.astype(int)
    found = decisions(of(binary, y, np.column_stack([1 - probability, probability]), (probability > 0.5) * 1))
    curve = found.curves[binary.positive]
    assert curve.probe[0].value == pytest.approx(curve.everyone[0])
    assert len(curve.probe) == len(THRESHOLDS)
    assert all(one.ci_low <= one.value <= one.ci_high for one in curve.probe)
    for k, name in enumerate(binary.classes):
        shares = found.confusion[name]
        assert sum(one.value for one in shares.values()) == pytest.approx(1)
        assert shares[binary.positive].value == pytest.approx((probability > 0.5)[y == k].mean())
        assert all(0 <= one.ci_low < one.ci_high <= 1 for one in shares.values())
    json.dumps(found.to_dict(), allow_nan=False)


def test_an_error_that_never_happened_has_an_interval(binary):
    y = np.arange(N) % 2
    found = decisions(of(binary, y, np.column_stack([1 - y, y]) * 0.8 + 0.1, y))
    wrong = found.confusion[binary.classes[0]][binary.classes[1]]
    assert (wrong.value, wrong.ci_low) == (0, 0)
    assert wrong.ci_high == pytest.approx(1 - 0.025 ** (1 / 150), rel=0.05)


def test_each_of_more_classes_has_a_curve_and_numbers_have_none(triple, number):
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=N)
    probability = rng.dirichlet((1, 1, 1), N)
    found = decisions(of(triple, y, probability, probability.argmax(axis=1), 50))
    assert set(found.curves) == set(found.in_the_large) == set(triple.classes)
    numbers = of(number, y.astype(float), np.empty((N, 0)), np.full(N, -1), 0)
    assert numbers.kind.details(numbers, None, None) == {}


def test_intervals_of_calibration_in_the_large_and_of_the_net_benefit_cover_the_truth(binary):
    rng = np.random.default_rng(3)
    large, net = [], []
    big = rng.beta(1, 2, 1_000_000)
    treated = big >= 0.3
    expected = np.where(treated, big - (1 - big) * 0.3 / 0.7, 0).mean()
    place = THRESHOLDS.index(0.3)
    for _ in range(200):
        p = rng.beta(1, 2, N)
        y = (rng.random(N) < p).astype(int)
        found = decisions(of(binary, y, np.column_stack([1 - p, p]), (p > 0.5) * 1, 200))
        one, other = found.in_the_large[binary.positive], found.curves[binary.positive].probe[place]
        large.append(one.ci_low <= 0 <= one.ci_high)
        net.append(other.ci_low <= expected <= other.ci_high)
    assert 0.91 <= np.mean(large) <= 0.99
    assert 0.91 <= np.mean(net) <= 0.99
