"""Metrics of ordered classes and of counts: invariants of weights, and the numbers of scikit-learn and scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom, somersd
from sklearn import metrics

from prima_features.evaluation import counts, ordinal
from prima_features.evaluation.weighted import auroc

ONE = np.ones((1, 200))


def classes(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True and decided positions, a score with ties, and probabilities."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, 200)
    score = np.round(y + rng.normal(size=200), 1)
    label = np.clip(np.round(score), 0, 4).astype(int)
    return y, label, score, rng.dirichlet(np.ones(5), 200)


def counted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Counts and predicted means."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(size=200))
    return rng.poisson(mean).astype(float), mean * np.exp(0.2 * rng.normal(size=200))


def of_classes(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    y, label, score, probability = (one[rows] for one in classes())
    return np.array(
        [
            ordinal.kappa(y, label, weights),
            ordinal.concordance(y, score, weights, 5),
            ordinal.ranked_probability_score(y, probability, weights),
        ]
    )


def of_counts(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    y, mean = (one[rows] for one in counted())
    more = {"pearson": counts.pearson_dispersion(y, mean, weights)}
    return np.array([*(counts.metrics(y, mean, weights) | more).values()])


@pytest.mark.parametrize("measure", [of_classes, of_counts])
def test_whole_weights_count_as_repeated_rows_and_their_scale_changes_nothing(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    all_rows = np.arange(200)
    weights = np.random.default_rng(1).integers(0, 4, (2, 200))
    found = measure(all_rows, weights.astype(float))
    for i, times in enumerate(weights):
        rows = np.repeat(all_rows, times)
        np.testing.assert_allclose(found[:, i], measure(rows, np.ones((1, len(rows))))[:, 0], rtol=1e-8)
    np.testing.assert_allclose(measure(all_rows, 7.0 * weights), found, rtol=1e-8)


def test_kappa_and_ordinal_c_are_those_of_scikit_learn_and_scipy() -> None:
    y, label, score, _ = classes()
    expected = metrics.cohen_kappa_score(y, label, weights="quadratic")
    assert ordinal.kappa(y, label, ONE)[0] == pytest.approx(expected, abs=1e-12)
    found = ordinal.concordance(y, score, ONE, 5)[0]
    assert 2 * found - 1 == pytest.approx(somersd(y, score).statistic, abs=1e-12)
    two = (y > 1).astype(int)
    assert ordinal.concordance(two, score, ONE, 2) == pytest.approx(auroc(two, score, ONE))


def test_deviance_and_d2_are_those_of_scikit_learn() -> None:
    y, mean = counted()
    assert counts.deviance(y, mean, ONE)[0] == pytest.approx(metrics.mean_poisson_deviance(y, mean))
    assert counts.d2(y, mean, ONE)[0] == pytest.approx(metrics.d2_tweedie_score(y, mean, power=1))


def test_the_negative_binomial_deviance_is_that_of_the_likelihood() -> None:
    y, mean = counted()

    def likelihood(mu: np.ndarray) -> np.ndarray:
        return np.asarray(nbinom.logpmf(y, 1 / 0.6, 1 / (1 + 0.6 * mu)))

    saturated = likelihood(np.maximum(y, 1e-12))
    np.testing.assert_allclose(
        counts.unit_deviance(y, mean, 0.6), 2 * (saturated - likelihood(mean)), atol=1e-6
    )


def test_perfect_and_constant_predictions_are_at_the_ends() -> None:
    y, _, _, _ = classes()
    assert ordinal.kappa(y, y, ONE)[0] == 1
    assert ordinal.concordance(y, y, ONE, 5)[0] == 1
    assert ordinal.ranked_probability_score(y, np.eye(5)[y], ONE)[0] == 0
    assert ordinal.kappa(y, np.full(200, 2), ONE)[0] == pytest.approx(0, abs=1e-12)
    assert ordinal.concordance(y, np.zeros(200), ONE, 5)[0] == pytest.approx(0.5)
    assert np.isnan(ordinal.kappa(np.zeros(200, dtype=int), np.zeros(200, dtype=int), ONE)[0])
    many, _ = counted()
    constant = np.full(200, many.mean())
    assert counts.d2(many, constant, ONE)[0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(counts.calibration_slope(many, constant, ONE)[0])
    assert np.isnan(counts.d2(np.full(200, 3.0), constant, ONE)[0])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 3.0), st.floats(0.2, 5.0))
def test_stretched_predictions_have_the_inverse_slope_and_ratio(stretch: float, factor: float) -> None:
    y, mean = counted()
    before = counts.calibration_slope(y, mean, ONE)[0]
    after = counts.calibration_slope(y, factor * mean**stretch, ONE)[0]
    assert after == pytest.approx(before / stretch, rel=1e-6)
    ratio = counts.calibration_ratio(y, mean, ONE)[0]
    assert counts.calibration_ratio(y, factor * mean, ONE)[0] == pytest.approx(ratio / factor)


def test_the_slope_is_that_of_statsmodels() -> None:
    api = pytest.importorskip("statsmodels.api")
    y, mean = counted()
    weights = np.random.default_rng(0).gamma(1, size=(1, 200))
    plain = api.GLM(
        y, api.add_constant(np.log(mean)), family=api.families.Poisson(), freq_weights=weights[0]
    ).fit(tol=1e-12)
    assert counts.calibration_slope(y, mean, weights)[0] == pytest.approx(plain.params[1], rel=1e-8)


def test_the_dispersion_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    mean = np.exp(rng.normal(1, 0.5, 2000))
    k, p_value = counts.estimate_dispersion(rng.negative_binomial(2, 2 / (2 + mean)).astype(float), mean)
    assert k == pytest.approx(0.5, abs=0.1)
    assert p_value < 1e-10
    assert counts.estimate_dispersion(np.round(mean), mean) == (0.0, 1.0)
    rejected = [
        counts.estimate_dispersion(rng.poisson(mean[:200]).astype(float), mean[:200])[1] < 0.05
        for _ in range(200)
    ]
    assert np.mean(rejected) < 0.11
