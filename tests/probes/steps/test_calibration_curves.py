"""Calibration of distorted probabilities, judged on rows that it was not fitted on."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from prima_features.errors import UsageError
from prima_features.evaluation.weighted import calibration_slope
from prima_features.probes import Recipe
from prima_features.probes.recipe import fit_recipe
from prima_features.probes.steps.outputs import Calibration, logit

N = 3000


def distorted(seed, steepness=3.0, shift=1.0):
    """Outcomes, and probabilities whose log odds are stretched and shifted."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.2, N)
    y = (rng.random(N) < 1 / (1 + np.exp(-odds))).astype(int)
    score = 1 / (1 + np.exp(-(steepness * odds + shift)))
    return y, np.column_stack([1 - score, score])


def slope(y, probability):
    return calibration_slope(y == 1, probability[:, 1], np.ones((1, len(y))))[0]


# An isotonic curve follows its training rows at both ends, where there are few: it stays a little too sure.
@pytest.mark.parametrize(("method", "tolerance"), [("platt", 0.1), ("isotonic", 0.25)])
def test_the_brier_score_improves_and_the_slope_comes_near_one_on_new_rows(method, tolerance):
    fitted = Calibration.fit(method, distorted(0)[1], distorted(0)[0])
    y, before = distorted(1)
    after = fitted.apply(before)
    assert brier_score_loss(y, after[:, 1]) < brier_score_loss(y, before[:, 1]) - 0.03
    assert slope(y, before) < 0.5
    assert slope(y, after) == pytest.approx(1, abs=tolerance)
    assert after[:, 1].mean() == pytest.approx(y.mean(), abs=0.03)
    np.testing.assert_allclose(after.sum(axis=1), 1)


def test_platts_curve_keeps_the_order_and_the_isotonic_one_nearly():
    y, before = distorted(1)
    auroc = roc_auc_score(y, before[:, 1])
    platt, isotonic = (
        Calibration.fit(name, *distorted(0)[::-1]).apply(before) for name in ("platt", "isotonic")
    )
    assert roc_auc_score(y, platt[:, 1]) == auroc
    assert roc_auc_score(y, isotonic[:, 1]) == pytest.approx(auroc, abs=0.01)


def test_platt_finds_the_distortion():
    ((slopes, intercepts),) = Calibration.fit("platt", *distorted(0)[::-1]).curves
    # log odds = (distorted - 1) / 3
    assert slopes[0] == pytest.approx(1 / 3, abs=0.05)
    assert intercepts[0] == pytest.approx(-1 / 3, abs=0.15)


def test_scores_that_order_worse_than_chance_become_the_prevalence():
    y, before = distorted(0)
    for method in ("platt", "isotonic"):
        after = Calibration.fit(method, before[:, ::-1], y).apply(before[:, ::-1])[:, 1]
        assert np.ptp(after) < 0.02
        assert after.mean() == pytest.approx(y.mean(), abs=0.02)


def test_separated_classes_do_not_become_certain():
    y = np.repeat([0, 1], 10)
    separated = np.column_stack([1 - y, y]).astype(float)
    for method in ("platt", "isotonic"):
        after = Calibration.fit(method, separated, y).apply(separated)
        assert np.isfinite(after).all()
        assert 0 < after.min() < 0.15
        np.testing.assert_allclose(after.sum(axis=1), 1)


@pytest.mark.parametrize("method", ["none", "platt", "isotonic"])
def test_probabilities_of_more_classes_sum_to_one(method):
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=300)
    probability = rng.dirichlet((1, 1, 1), 300) * 0.7 + 0.3 * np.eye(3)[y]
    after = Calibration.fit(method, probability, y).apply(probability)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (after.argmax(axis=1) == y).mean() > 0.7
    if method == "none":
        np.testing.assert_array_equal(after, probability)


def test_an_overconfident_classifier_of_three_classes_is_calibrated_inside_the_recipe(make_cohort, triple):
    train, new = (make_cohort(triple, 200, width=60, signal=0.5, seed=seed).samples for seed in (0, 1))
    truth = np.eye(3)[new.y]
    found = {}
    for method in ("none", "platt", "isotonic"):
        recipe = Recipe("logistic", {"C": (100.0,)}, calibration=method)
        probability = fit_recipe(recipe, train).predict(new).probability
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        found[method] = ((probability - truth) ** 2).mean()
    assert found["platt"] < found["none"]
    assert found["isotonic"] < found["none"]


def test_curves_are_fitted_on_out_of_fold_predictions(make_cohort, binary):
    samples = make_cohort(binary, 150, signal=0.3).samples
    fitted = fit_recipe(Recipe("knn", {"neighbours": (5,)}, calibration="platt"), samples)
    expected = Calibration.fit("platt", fitted.estimator.out_of_fold_, samples.y)
    assert fitted.calibration == expected
    seen = fitted.estimator.predict_proba(samples.X)
    assert Calibration.fit("platt", seen, samples.y).curves != expected.curves


def test_unknown_methods_are_refused():
    with pytest.raises(UsageError, match="unknown calibration 'beta'"):
        Calibration.fit("beta", *distorted(0)[::-1])


def test_log_odds_stay_finite():
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
