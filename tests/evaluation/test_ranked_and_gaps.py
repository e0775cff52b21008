"""Fast metrics of many resamples, the largest gap between groups, and Holm's correction."""

import numpy as np
import pytest

from prima_features.evaluation import weighted
from prima_features.evaluation.gaps import holm, homogeneity, largest_gap
from prima_features.evaluation.ranked import Ranking


def test_ranked_metrics_equal_those_of_every_row_sorted() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(500) < 0.2
    score = np.round(rng.normal(size=500) + positive, 1)  # with ties
    weights = rng.gamma(1.0, size=(500, 7))
    found = Ranking.of(np.arange(500), positive, score, 500).metrics(weights, 0.9)
    np.testing.assert_allclose(found["auroc"], weighted.auroc(positive, score, weights.T), atol=1e-12)
    np.testing.assert_allclose(
        found["auprc"], weighted.average_precision(positive, score, weights.T), atol=1e-12
    )


def test_specificity_is_at_the_highest_threshold_that_reaches_the_sensitivity() -> None:
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    positive = np.array([False, True, False, True, False, True])
    one = Ranking.of(np.arange(6), positive, score, 6)
    assert one.threshold(0.6) == 0.4
    assert one.metrics(np.ones((6, 1)), 0.6)["specificity_at"][0] == pytest.approx(2 / 3)
    assert one.threshold(1.0) == 0.2


def test_rows_are_those_of_the_weights() -> None:
    rng = np.random.default_rng(1)
    positive, score = rng.random(40) < 0.5, rng.normal(size=40)
    weights = np.zeros((100, 3))
    rows = rng.permutation(100)[:40]
    weights[rows] = rng.gamma(1.0, size=(40, 3))
    found = Ranking.of(rows, positive, score, 100).metrics(weights, 0.9)
    np.testing.assert_allclose(found["auroc"], weighted.auroc(positive, score, weights[rows].T), atol=1e-12)


def test_no_row_has_no_metric() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    one = Ranking.of(nothing, nothing.astype(bool), nothing.astype(float), 5)
    assert np.isnan(one.metrics(np.ones((5, 2)), 0.9)["auroc"]).all()
    assert np.isnan(one.threshold(0.9))


def _resampled(values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    hits = np.round(values * n)
    return rng.beta(hits[:, None] + 0.5, n - hits[:, None] + 0.5, size=(len(values), 500))


@pytest.mark.parametrize(
    ("true", "n"),
    [([0.8, 0.8], 60), ([0.8, 0.8, 0.8, 0.8], 60), ([0.9, 0.6], 60), ([0.9, 0.8, 0.7, 0.6], 200)],
)
def test_the_interval_of_a_gap_contains_it_also_if_it_is_zero(true: list[float], n: int) -> None:
    rng = np.random.default_rng(3)
    hit = 0
    for _ in range(100):
        values = rng.binomial(n, true) / n
        found = largest_gap(values, _resampled(values, n, rng))
        assert 0 <= found.ci_low <= found.value <= found.ci_high <= 1
        hit += found.ci_low <= np.ptp(true) <= found.ci_high
    assert 88 <= hit <= 100


def test_equal_groups_are_seldom_called_different_and_different_ones_always() -> None:
    rng = np.random.default_rng(4)
    for true, most in (([0.7, 0.7, 0.7], 0.12), ([0.5, 0.7, 0.9], 1.0)):
        p = []
        for _ in range(100):
            values = rng.binomial(150, true) / 150
            resampled = np.log(one := _resampled(values, 150, rng)) - np.log1p(-one)
            p.append(homogeneity(resampled.mean(axis=1), resampled))
        share = float(np.mean(np.array(p) < 0.05))
        assert share <= most
        assert share > 0.99 or most < 1


def test_a_group_that_is_not_defined_leaves_no_gap() -> None:
    assert np.isnan(largest_gap(np.array([0.5, np.nan]), np.ones((2, 10))).value)
    assert np.isnan(largest_gap(np.array([0.5]), np.ones((1, 10))).value)


def test_holm_keeps_unknown_p_values() -> None:
    """Values of R: p.adjust(c(0.01, 0.04, 0.03), "holm")."""
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06])


def test_an_observed_gap_of_zero_does_not_mean_that_groups_are_equal() -> None:
    """The interval is not narrower than that of the median gap by chance, and still covers small true gaps."""
    rng = np.random.default_rng(0)
    resampled = 0.8 + 0.05 * rng.normal(size=(2, 2000))
    found = largest_gap(np.array([0.8, 0.8]), resampled)
    assert found.ci_low == found.value == 0
    assert found.ci_high > 0.1
    for true in (0.0, 0.03, 0.1):
        covered = []
        for _ in range(300):
            values = np.array([0.8, 0.8 + true]) + 0.05 * rng.normal(size=2)
            one = largest_gap(values, resampled)
            covered.append(one.ci_low <= true <= one.ci_high)
        assert 0.92 <= np.mean(covered) <= 0.99
