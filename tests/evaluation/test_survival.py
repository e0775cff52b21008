"""Metrics of censored times: definitions, invariants of weights, and the numbers of scikit-survival."""

from __future__ import annotations

import numpy as np
import pytest

from prima_features.evaluation import survival


def cohort(n: int = 120, seed: int = 0, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Signed times in whole days, many tied, and log risks."""
    rng = np.random.default_rng(seed)
    risk = np.round(rng.normal(size=n), 1)
    time = np.ceil(30 * rng.exponential(np.exp(-signal * risk))).clip(1, 200)
    censored = np.ceil(rng.uniform(5, 150, n))
    return np.where(time <= censored, time, -censored), risk


def curves(risk: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.exp(-np.exp(risk)[:, None] * times / 60)


TIMES = np.array([5.0, 20.0, 40.0, 80.0])
ONE = np.ones((1, 120))


def all_metrics(y: np.ndarray, risk: np.ndarray, weights: np.ndarray) -> np.ndarray:
    probability = curves(risk, TIMES)
    score = survival.brier(y, probability, TIMES, weights)
    columns = [
        survival.c_index(y, risk, weights),
        survival.uno_c(y, risk, weights, 60),
        survival.calibration_slope(y, risk, weights),
        survival.integrated(score, TIMES),
    ]
    more = [survival.auc(y, risk, weights, TIMES), score]
    more.append(survival.observed_to_expected(y, probability, TIMES, weights))
    return np.column_stack([*columns, *more])


def test_whole_weights_count_as_repeated_rows() -> None:
    y, risk = cohort()
    weights = np.random.default_rng(1).integers(0, 4, (2, len(y)))
    found = all_metrics(y, risk, weights.astype(float))
    for one, counts in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(len(y)), counts)
        np.testing.assert_allclose(
            one, all_metrics(y[rows], risk[rows], np.ones((1, len(rows))))[0], rtol=1e-8
        )


def test_the_scale_of_weights_changes_nothing() -> None:
    y, risk = cohort()
    weights = np.random.default_rng(1).gamma(1, size=(3, len(y)))
    np.testing.assert_allclose(all_metrics(y, risk, 7 * weights), all_metrics(y, risk, weights), rtol=1e-9)


def test_without_censoring_the_auc_is_that_of_the_events_by_then() -> None:
    from sklearn.metrics import roc_auc_score

    y, risk = np.abs(cohort()[0]), cohort()[1]
    for time, found in zip(TIMES, survival.auc(y, risk, ONE, TIMES)[0], strict=True):
        assert found == pytest.approx(roc_auc_score(y <= time, risk))


def test_constant_risks_are_chance_and_perfect_ones_are_1() -> None:
    y, _ = cohort()
    assert survival.c_index(y, np.zeros(len(y)), ONE) == pytest.approx(0.5)
    assert survival.c_index(y, -np.abs(y) - 0.1 * (y < 0), ONE) == pytest.approx(1)
    assert np.isnan(survival.calibration_slope(y, np.zeros(len(y)), ONE))


def test_a_time_after_the_last_follow_up_is_undefined() -> None:
    y, risk = cohort()
    late = np.array([np.abs(y).max(), 1000.0])
    for found in (survival.auc(y, risk, ONE, late), survival.brier(y, curves(risk, late), late, ONE)):
        assert np.isnan(found).all()


def test_log_rank_of_equal_groups_is_small_and_of_ordered_ones_large() -> None:
    y, risk = cohort()
    group = np.digitize(risk, np.quantile(risk, [1 / 3, 2 / 3]))
    assert survival.log_rank(y, group, 3).p_value < 1e-6
    found = survival.log_rank(y, np.arange(len(y)) % 3, 3)
    assert found.p_value > 0.01
    assert sum(found.observed) == (y > 0).sum() == pytest.approx(sum(found.expected))
    assert np.isnan(survival.log_rank(y, np.zeros(len(y)), 3).p_value)


def test_the_numbers_are_those_of_scikit_survival() -> None:
    metrics = pytest.importorskip("sksurv.metrics")
    from sksurv.compare import compare_survival
    from sksurv.util import Surv

    y, risk = cohort(300)
    one, event, time = np.ones((1, 300)), y > 0, np.abs(y)
    truth = Surv.from_arrays(event, time)
    assert survival.c_index(y, risk, one)[0] == pytest.approx(
        metrics.concordance_index_censored(event, time, risk)[0], abs=1e-12
    )
    assert survival.uno_c(y, risk, one, 60)[0] == pytest.approx(
        metrics.concordance_index_ipcw(truth, truth, risk, 60)[0], abs=1e-12
    )
    np.testing.assert_allclose(
        survival.auc(y, risk, one, TIMES)[0],
        metrics.cumulative_dynamic_auc(truth, truth, risk, TIMES)[0],
        atol=1e-12,
    )
    expected = metrics.brier_score(truth, truth, curves(risk, TIMES), TIMES)[1]
    np.testing.assert_allclose(survival.brier(y, curves(risk, TIMES), TIMES, one)[0], expected, atol=1e-12)
    group = np.digitize(risk, np.quantile(risk, [1 / 3, 2 / 3]))
    chi2, p_value = compare_survival(truth, group)
    found = survival.log_rank(y, group, 3)
    assert (found.chi2, found.p_value) == pytest.approx((chi2, p_value), rel=1e-9)


def test_the_numbers_are_those_of_lifelines() -> None:
    import lifelines
    from lifelines.statistics import multivariate_logrank_test
    from lifelines.utils import concordance_index

    y, risk = cohort(300)
    event, time, one = y > 0, np.abs(y), np.ones((1, 300))
    given = survival.Times(y)
    fitted = lifelines.KaplanMeierFitter().fit(time, event)
    expected = fitted.survival_function_at_times(TIMES).to_numpy()
    np.testing.assert_allclose(given.step(given.survival(one), TIMES)[0], expected, atol=1e-12)
    assert survival.c_index(y, risk, one)[0] == pytest.approx(
        concordance_index(time, -risk, event), abs=1e-12
    )
    group = np.digitize(risk, [-0.5, 0.5])
    found = survival.log_rank(y, group, 3)
    assert found.p_value == pytest.approx(multivariate_logrank_test(time, group, event).p_value, rel=1e-9)


def test_a_raised_variance_of_the_trend_lowers_the_statistic_of_a_trend_alone() -> None:
    y, risk = cohort(300)
    group = np.digitize(risk, np.quantile(risk, [1 / 3, 2 / 3]))
    plain, raised = (survival.log_rank(y, group, 3, trend_variance=part).chi2 for part in (0.0, 1.0))
    assert plain / 2 <= raised < plain
    pair = np.minimum(group, 1)
    halves = [survival.log_rank(y, pair, 2, trend_variance=part).chi2 for part in (0.0, 1.0)]
    assert halves[1] == pytest.approx(halves[0] / 2)
