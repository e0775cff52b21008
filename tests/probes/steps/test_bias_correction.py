"""Both corrections of predicted ages, by hand and out of sample."""

import logging

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation import EvaluationPlan, Scheme, evaluate
from prima_features.probes.steps.outputs import BiasCorrection

AGE = np.array([20.0, 40.0, 60.0, 80.0])
PREDICTED = np.array([35.0, 45.0, 55.0, 65.0])
"""Exactly 25 + 0.5 age: the regression to the mean of a middling brain-age model."""


def test_cole_divides_by_the_slope_of_predicted_on_true_age():
    # Cole 2018 (10.1038/mp.2017.62), as de Lange and Cole 2020 (10.1016/j.nicl.2020.102229) write it:
    # predicted = a age + b, corrected = (predicted - b) / a. Here a = 0.5 and b = 25.
    fitted = BiasCorrection.fit("cole", AGE, PREDICTED)
    assert (fitted.slope, fitted.intercept) == (pytest.approx(0.5), pytest.approx(25))
    # A new subject of 50 predicted 52 becomes (52 - 25) / 0.5 = 54; one predicted 40 becomes 30.
    corrected = fitted.apply(np.array([52.0, 40.0]), np.array([50.0, np.nan]))
    np.testing.assert_allclose(corrected, [54, 30])


def test_beheshti_subtracts_the_expected_gap_at_the_subjects_age():
    # Beheshti 2019 (10.1016/j.nicl.2019.102063): delta = predicted - age = a age + b,
    # corrected = predicted - (a age + b). Here the deltas are 15, 5, -5, -15: a = -0.5 and b = 25.
    fitted = BiasCorrection.fit("beheshti", AGE, PREDICTED)
    assert (fitted.slope, fitted.intercept) == (pytest.approx(-0.5), pytest.approx(25))
    # A new subject of 50 predicted 52: the expected gap at 50 is 0, so 52 stays; at 70 it is -10, so 52 becomes 62.
    corrected = fitted.apply(np.array([52.0, 52.0, 52.0]), np.array([50.0, 70.0, np.nan]))
    np.testing.assert_allclose(corrected, [52, 62, np.nan])


def test_none_leaves_predictions_as_they_are():
    np.testing.assert_array_equal(BiasCorrection.fit("none", AGE, PREDICTED).apply(PREDICTED, AGE), PREDICTED)


def test_what_cannot_be_corrected_is_refused_or_said(caplog):
    with pytest.raises(UsageError, match="unknown bias correction 'lange'"):
        BiasCorrection.fit("lange", AGE, PREDICTED)
    with pytest.raises(UsageError, match="the same age"):
        BiasCorrection.fit("cole", np.full(4, 30.0), PREDICTED)
    with caplog.at_level(logging.WARNING):
        BiasCorrection.fit("cole", AGE, 50 + 0.01 * AGE)
    assert "hardly rises with age" in caplog.text


@pytest.mark.parametrize("method", ["cole", "beheshti"])
def test_the_gap_does_not_fall_with_age_after_correction_and_accuracy_is_that_of_raw_predictions(
    make_cohort, brain_age, method
):
    samples = make_cohort(brain_age, 400, signal=0.8).known(control=1).samples
    plan = EvaluationPlan(Scheme(inner_folds=3), n_bootstrap=200, site_check=False)
    raw, corrected = (
        evaluate(samples, Recipe("ridge", {"alphas": (1e3, 1e2)}, bias_correction=name, inner_folds=3), plan)
        for name in ("none", method)
    )
    gap = corrected.gap
    assert gap.method == method
    assert gap.raw_age_correlation.ci_high < -0.3
    assert abs(gap.corrected_age_correlation.value) < 3 / np.sqrt(400)
    assert gap.corrected_age_correlation.ci_low < 0 < gap.corrected_age_correlation.ci_high
    assert gap.raw_age_correlation == raw.gap.raw_age_correlation
    assert raw.metrics == corrected.metrics
    np.testing.assert_array_equal(raw.predictions["prediction"], corrected.predictions["prediction"])
    table = corrected.predictions
    assert (table["prediction_corrected"] != table["prediction"]).all()
    np.testing.assert_allclose(table["gap"], table["prediction"] - table["age"])
    np.testing.assert_allclose(table["gap_corrected"], table["prediction_corrected"] - table["age"])
    measured = np.corrcoef(table["gap_corrected"], table["age"])[0, 1]
    assert gap.corrected_age_correlation.value == pytest.approx(measured)
    assert gap.age_range == (table["age"].min(), table["age"].max())
