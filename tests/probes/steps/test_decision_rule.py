"""The rule that turns probabilities into a class is chosen in training."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from prima_features.probes import Recipe
from prima_features.probes.recipe import fit_recipe
from prima_features.probes.steps.outputs import Decision


def two(score):
    return np.column_stack([1 - np.asarray(score), score])


def test_the_threshold_maximises_sensitivity_plus_specificity():
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = (rng.random(40) < 0.3).astype(int)
        score = np.round(rng.random(40) * 0.5 + 0.2 * y, 2)
        rule = Decision.fit(two(score), y)
        best = max(balanced_accuracy_score(y, (score >= level).astype(int)) for level in np.unique(score))
        assert balanced_accuracy_score(y, rule(two(score))) == pytest.approx(best)


def test_it_lies_in_the_middle_between_two_scores():
    rule = Decision.fit(two([0.1, 0.2, 0.4, 0.5]), np.array([0, 0, 1, 1]))
    assert rule.threshold == pytest.approx(0.3)
    assert rule(two([0.29, 0.31])).tolist() == [0, 1]


def test_a_single_class_or_a_single_score_gives_a_rule_all_the_same():
    assert Decision.fit(two([0.2, 0.6]), np.array([1, 1])).threshold == 0.5
    assert Decision.fit(two([0.4, 0.4]), np.array([0, 1]))(two([0.4])).tolist() == [1]


def test_rare_classes_of_three_are_found_by_calibrated_and_by_weighted_probabilities():
    rng = np.random.default_rng(1)
    share = np.array([0.8, 0.15, 0.05])
    y = rng.choice(3, p=share, size=3000)
    likelihood = np.exp(-((rng.normal(y * 1.0, 1)[:, None] - np.arange(3)) ** 2) / 2)
    calibrated = likelihood * share
    for odds in (calibrated, likelihood):
        probability = odds / odds.sum(axis=1, keepdims=True)
        rule = Decision.fit(probability, y)
        best = balanced_accuracy_score(y, likelihood.argmax(axis=1))
        assert balanced_accuracy_score(y, rule(probability)) == pytest.approx(best, abs=0.01)
    plain = calibrated.argmax(axis=1)
    assert balanced_accuracy_score(y, plain) < best - 0.05


def test_a_class_that_training_lacks_is_never_chosen():
    rule = Decision.fit(np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2]]), np.array([0, 1]))
    assert rule(np.array([[0.0, 0.4, 0.6]])).tolist() in ([1], [2])


def test_the_recipe_chooses_it_on_out_of_fold_predictions(make_cohort, binary):
    samples = make_cohort(binary, 150, signal=0.5).samples
    fitted = fit_recipe(Recipe("logistic", {"C": (1e-2, 1.0)}), samples)
    assert fitted.decision == Decision.fit(fitted.estimator.out_of_fold_, samples.y)
    outcome = fitted.predict(make_cohort(binary, 50, seed=1).samples)
    expected = (outcome.probability[:, 1] >= fitted.decision.threshold).astype(int)
    np.testing.assert_array_equal(outcome.label, expected)
