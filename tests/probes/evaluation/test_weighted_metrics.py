"""Weighted metrics are scikit-learn's, with its sample weights and with rows repeated."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from prima_features.evaluation import weighted
from prima_features.evaluation.weighted import logit
from prima_features.probes.kinds import kind_of
from prima_features.probes.recipe import Outcome

N, N_WEIGHTS = 60, 12


@pytest.fixture(params=[False, True], ids=["all different", "ties"])
def scored_rows(request):
    rng = np.random.default_rng(1)
    truth = rng.random(N) < 0.4
    score = np.clip(0.3 * truth + rng.random(N) * 0.7, 0.01, 0.99)
    return truth, np.round(score, 1).clip(0.1, 0.9) if request.param else score


@pytest.fixture
def weights():
    drawn = np.random.default_rng(2).integers(0, 4, size=(N_WEIGHTS, N)).astype(float)
    drawn[0] = 1
    return drawn


def repeated(row, *arrays):
    """Each element as often as its weight says."""
    index = np.repeat(np.arange(len(row)), row.astype(int))
    return [values[index] for values in arrays]


def assert_equal_both_ways(found, weights, metric, *arrays):
    """Equal to a metric of weighted rows and of repeated rows."""
    for value, row in zip(found, weights, strict=True):
        assert value == pytest.approx(metric(*arrays, sample_weight=row), abs=1e-12)
        assert value == pytest.approx(metric(*repeated(row, *arrays)), abs=1e-12)


def test_auroc_and_average_precision(scored_rows, weights):
    truth, score = scored_rows
    assert_equal_both_ways(weighted.auroc(truth, score, weights), weights, sk.roc_auc_score, truth, score)
    found = weighted.average_precision(truth, score, weights)
    assert_equal_both_ways(found, weights, sk.average_precision_score, truth, score)


def test_hand_and_tills_auc_is_the_mean_over_pairs_of_classes(weights):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 4, N)
    probability = rng.dirichlet(np.ones(4), N)
    probability[np.arange(N), y] += 0.2
    probability /= probability.sum(axis=1, keepdims=True)
    for value, row in zip(weighted.hand_till(y, probability, weights), weights, strict=True):
        expected = sk.roc_auc_score(
            *repeated(row, y, probability), multi_class="ovo", average="macro", labels=range(4)
        )
        assert value == pytest.approx(expected, abs=1e-12)


def test_hand_and_tills_auc_does_not_depend_on_the_frequencies_of_classes():
    rng = np.random.default_rng(4)
    y, probability = np.arange(N) % 3, rng.dirichlet(np.ones(3), N)
    weights = np.vstack([np.ones(N), np.array([1.0, 5.0, 0.2])[y]])
    first, second = weighted.hand_till(y, probability, weights)
    assert first == pytest.approx(second, abs=1e-12)
    absent = np.where(y == 2, 0, y)
    assert np.isnan(weighted.hand_till(absent, probability, weights)).all()


def test_brier_and_balanced_accuracy(scored_rows, weights):
    truth, score = scored_rows
    found = weighted.mean((score - truth) ** 2, weights)
    assert_equal_both_ways(found, weights, sk.brier_score_loss, truth, score)
    label = (score > 0.5).astype(int)
    found = weighted.balanced_accuracy(truth.astype(int), label, weights, 2)
    assert_equal_both_ways(found, weights, sk.balanced_accuracy_score, truth.astype(int), label)


def test_balanced_accuracy_of_more_classes(weights):
    rng = np.random.default_rng(3)
    truth, label = rng.integers(3, size=N), rng.integers(3, size=N)
    found = weighted.balanced_accuracy(truth, label, weights, 3)
    assert_equal_both_ways(found, weights, sk.balanced_accuracy_score, truth, label)


def test_errors_of_numbers(weights, number):
    rng = np.random.default_rng(4)
    y = rng.normal(60, 12, N)
    value = y + rng.normal(0, 5, N)
    found = kind_of(number).scores(y, Outcome(value, np.empty((N, 0)), np.full(N, -1), value), weights)
    assert_equal_both_ways(found["mae"], weights, sk.mean_absolute_error, y, value)
    assert_equal_both_ways(found["rmse"], weights, sk.root_mean_squared_error, y, value)
    assert_equal_both_ways(found["r2"], weights, sk.r2_score, y, value)
    for r, row in zip(found["pearson_r"], weights, strict=True):
        assert r == pytest.approx(np.corrcoef(*repeated(row, y, value))[0, 1])


def test_r2_and_correlation_hold_far_from_zero(weights):
    rng = np.random.default_rng(5)
    y = 1e7 + rng.normal(0, 0.5, N)
    value = y + rng.normal(0, 0.2, N)
    for r2, row in zip(weighted.r2(y, value, weights), weights, strict=True):
        assert r2 == pytest.approx(sk.r2_score(y, value, sample_weight=row), abs=1e-6)
    assert weighted.pearson(y, value, weights)[0] == pytest.approx(np.corrcoef(y, value)[0, 1], abs=1e-6)


def test_the_calibration_slope_is_that_of_a_logistic_regression_on_the_log_odds(scored_rows, weights):
    truth, score = scored_rows
    found = weighted.calibration_slope(truth, score, weights)
    for slope, row in zip(found, weights, strict=True):
        model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(score)[:, None], truth, sample_weight=row)
        assert slope == pytest.approx(model.coef_[0, 0], abs=1e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_multiclass_metrics_are_the_mean_of_each_class_against_the_rest(triple, weights, tied):
    rng = np.random.default_rng(6)
    y = rng.integers(3, size=N)
    probability = rng.dirichlet((1, 1, 1), N) + 0.5 * np.eye(3)[y]
    probability /= probability.sum(axis=1, keepdims=True)
    if tied:
        probability = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])[rng.integers(3, size=N)]
    outcome = Outcome(np.full(N, np.nan), probability, probability.argmax(axis=1), np.full(N, np.nan))
    found = kind_of(triple).scores(y, outcome, weights)
    for i, row in enumerate(weights):
        auroc = sk.roc_auc_score(y, probability, multi_class="ovr", average="macro", sample_weight=row)
        assert found["auroc"][i] == pytest.approx(auroc)
        truth = np.eye(3)[y]
        auprc = sk.average_precision_score(truth, probability, average="macro", sample_weight=row)
        assert found["auprc"][i] == pytest.approx(auprc)
        brier = np.mean(
            [sk.brier_score_loss(truth[:, k], probability[:, k], sample_weight=row) for k in range(3)]
        )
        assert found["brier"][i] == pytest.approx(brier)
        assert found["prevalence"][i] == pytest.approx(1 / 3)


def test_fractional_weights_are_allowed(scored_rows):
    truth, score = scored_rows
    row = np.random.default_rng(7).gamma(0.5, size=(1, N))
    found = weighted.auroc(truth, score, row)[0]
    assert found == pytest.approx(sk.roc_auc_score(truth, score, sample_weight=row[0]))


def test_numbers_that_are_not_defined_are_nan_without_warnings():
    ones, truth, score = np.ones((2, 4)), np.array([True] * 4), np.array([0.1, 0.2, 0.3, 0.4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(weighted.auroc(truth, score, ones)).all()
        assert np.isnan(weighted.average_precision(~truth, score, ones)).all()
        assert np.isnan(weighted.balanced_accuracy(np.ones(4), np.ones(4), ones, 2)).all()
        assert np.isnan(weighted.calibration_slope(truth, score, ones)).all()
        assert np.isnan(weighted.calibration_slope(score > 0.2, np.full(4, 0.3), ones)).all()
        assert np.isnan(weighted.r2(np.full(4, 3.0), score, ones)).all()
        assert np.isnan(weighted.pearson(np.full(4, 3.0), score, ones)).all()
        assert np.isnan(weighted.mean(score, np.zeros((1, 4)))).all()


def test_a_score_that_separates_the_classes_has_no_calibration_slope():
    truth = np.array([False, False, True, True])
    assert np.isnan(weighted.calibration_slope(truth, np.array([0.1, 0.2, 0.7, 0.9]), np.ones((1, 4))))
