"""Taking confounds out of features."""

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes.steps.adjust import Residualizer


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    covariates = np.column_stack([rng.normal(60, 10, 200), rng.integers(2, size=200)])
    return rng.normal(size=(200, 5)) + covariates @ rng.normal(size=(2, 5)), covariates


def test_what_is_left_does_not_go_with_the_confounds(data):
    X, covariates = data
    left = Residualizer().fit(X, None, covariates).transform(X, None, covariates)
    for c in range(2):
        for d in range(5):
            assert abs(np.corrcoef(covariates[:, c], left[:, d])[0, 1]) < 1e-10
    np.testing.assert_allclose(left.mean(axis=0), X.mean(axis=0))


def test_effects_are_those_of_training_rows_by_least_squares(data):
    X, covariates = data
    fitted = Residualizer().fit(X[:150], None, covariates[:150])
    design = np.column_stack([np.ones(150), covariates[:150]])
    expected = np.linalg.lstsq(design, X[:150], rcond=None)[0][1:]
    np.testing.assert_allclose(fitted.effect_, expected)
    left = fitted.transform(X[150:], None, covariates[150:])
    np.testing.assert_allclose(left, X[150:] - (covariates[150:] - covariates[:150].mean(axis=0)) @ expected)


def test_a_missing_confound_counts_as_the_mean(data):
    X, covariates = data
    fitted = Residualizer().fit(X, None, covariates)
    np.testing.assert_array_equal(fitted.transform(X[:1], None, np.full((1, 2), np.nan)), X[:1])


def test_confounds_that_nobody_knows_are_refused(data):
    X, covariates = data
    for none in (None, np.empty((200, 0))):
        with pytest.raises(UsageError, match="only if they are known"):
            Residualizer().fit(X, None, none)
    covariates[:, 1] = np.nan
    with pytest.raises(UsageError, match="unknown for all training subjects"):
        Residualizer().fit(X, None, covariates)


def test_its_state_brings_it_back(data):
    X, covariates = data
    fitted = Residualizer().fit(X, None, covariates)
    again = Residualizer().restore(*fitted.state())
    np.testing.assert_array_equal(again.transform(X, None, covariates), fitted.transform(X, None, covariates))
