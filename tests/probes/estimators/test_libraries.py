"""Each estimator is the library that it stands on, where that does the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prima_features.probes.estimators import (
    KNNClassifierProbe,
    KNNRegressorProbe,
    LogisticProbe,
    MLPClassifierProbe,
    MLPRegressorProbe,
    RidgeProbe,
    XGBClassifierProbe,
    XGBRegressorProbe,
)

ALPHAS = (1e4, 1e3, 1e2, 1e1, 1.0)
TREES = {
    "eta": 0.1,
    "subsample": 0.7,
    "colsample_bynode": 0.5,
    "max_bin": 16,
    "tree_method": "hist",
    "seed": 3,
    "nthread": 1,
}


@pytest.mark.parametrize("width", [12, 200])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_ridge_is_a_grid_search_over_a_pipeline(cohort: Any, width: int, kind: str) -> None:
    data = cohort(width=width)
    X, inner = data.X.astype(kind), data.groups % 5  # folds of one size, whose means scikit-learn averages
    probe = RidgeProbe(ALPHAS).fit(X, data.y, data.groups, inner=inner)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), Ridge()),
        {"ridge__alpha": ALPHAS},
        cv=PredefinedSplit(inner),
        scoring="neg_mean_squared_error",
    ).fit(X.astype(float), data.y)
    assert probe.best_params_["alpha"] == search.best_params_["ridge__alpha"]
    assert np.allclose(probe.inner_losses_, -search.cv_results_["mean_test_score"])
    assert np.allclose(probe.predict(X), search.predict(X.astype(float)))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("width", [12, 200])
@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0])
def test_logistic_is_logistic_regression_on_standardised_features(
    cohort: Any, classes: int, width: int, C: float
) -> None:
    data = cohort(classes, width=width)
    X = data.X.astype(float)
    probe = LogisticProbe((1e-5, C)).fit(X, data.y, data.groups)
    probe.set_params(C=(C,)).fit(X, data.y, data.groups)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000)).fit(X, data.y)
    assert np.allclose(probe.predict_proba(X), plain.predict_proba(X), atol=2e-4)


def test_balanced_classes_are_scikit_learns(cohort: Any) -> None:
    data = cohort(2)
    y = (data.y + (np.arange(60) % 5 == 0) > 0).astype(int)
    probe = LogisticProbe((0.1,), class_weight="balanced").fit(data.X, y)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", tol=1e-8))
    assert np.allclose(
        probe.predict_proba(data.X), plain.fit(data.X.astype(float), y).predict_proba(data.X), atol=2e-4
    )


def test_xgboost_of_numbers_is_xgboosts_training(cohort: Any) -> None:
    data = cohort()
    probe = XGBRegressorProbe(
        (3,), (8,), learning_rate=0.1, subsample=0.7, colsample=0.5, max_bin=16, n_jobs=1, random_state=3
    ).fit(data.X, data.y, data.groups)
    booster = xgboost.train(TREES | {"max_depth": 3}, xgboost.DMatrix(data.X, label=data.y), 8)
    assert np.array_equal(probe.predict(data.X), booster.predict(xgboost.DMatrix(data.X)))


@pytest.mark.parametrize("classes", [2, 3])
def test_xgboost_of_classes_is_xgboosts_training(cohort: Any, classes: int) -> None:
    data = cohort(classes)
    probe = XGBClassifierProbe(
        (3,), (8,), learning_rate=0.1, subsample=0.7, colsample=0.5, max_bin=16, n_jobs=1, random_state=3
    ).fit(data.X, data.y, data.groups)
    objective = {"objective": "binary:logistic"}
    if classes == 3:
        objective = {"objective": "multi:softprob", "num_class": 3}
    booster = xgboost.train(TREES | objective | {"max_depth": 3}, xgboost.DMatrix(data.X, label=data.y), 8)
    plain = booster.predict(xgboost.DMatrix(data.X))
    found = probe.predict_proba(data.X)
    assert np.array_equal(found if classes == 3 else found[:, 1], plain.astype(float))


def test_fewer_rounds_read_off_a_booster_are_a_booster_of_fewer_rounds(cohort: Any) -> None:
    data = cohort()
    both, one = (
        XGBRegressorProbe((2,), rounds, n_jobs=1).fit(data.X, data.y, data.groups)
        for rounds in ((4, 9), (4,))
    )
    assert both.inner_losses_[0] == one.inner_losses_[0]


@pytest.mark.parametrize("k", [1, 7, 1000])
def test_nearest_neighbours_are_scikit_learns(cohort: Any, k: int) -> None:
    """Of all studies where more neighbours are asked for than there are."""
    data, other = cohort(), cohort(seed=1)
    Z = StandardScaler().fit(data.X)
    axes = PCA(5, svd_solver="full").fit(Z.transform(data.X.astype(float)))
    known, asked = (axes.transform(Z.transform(X.astype(float))) for X in (data.X, other.X))
    probe = KNNRegressorProbe((k,), components=5).fit(data.X, data.y, data.groups)
    plain = KNeighborsRegressor(min(k, 60), algorithm="brute").fit(known, data.y)
    assert np.allclose(probe.predict(other.X), plain.predict(asked))

    classes = cohort(3).y
    probe = KNNClassifierProbe((k,), components=5).fit(data.X, classes, data.groups)
    shares = KNeighborsClassifier(min(k, 60), algorithm="brute").fit(known, classes).predict_proba(asked)
    votes = shares * min(k, 60)
    assert np.allclose(probe.predict_proba(other.X), (votes + 1) / (votes + 1).sum(axis=1, keepdims=True))


def whitened(X: np.ndarray, asked: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components of unit variance along given axes of standardised features."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0) @ axes
    return Z / Z.std(axis=0), (asked - X.mean(axis=0)) / X.std(axis=0) @ axes / Z.std(axis=0)


def test_the_network_of_numbers_is_scikit_learns_on_a_standardised_target(cohort: Any) -> None:
    data, other = cohort(), cohort(seed=1)
    probe = MLPRegressorProbe((0.5,), hidden=(5, 3), components=6, max_steps=30, random_state=4)
    probe.fit(data.X, data.y, data.groups)
    known, asked = whitened(data.X.astype(float), other.X, probe.reduction_.axes_)
    plain = MLPRegressor(hidden_layer_sizes=(5, 3), alpha=0.5, solver="lbfgs", max_iter=30, random_state=4)
    with pytest.warns(UserWarning, match="lbfgs"):
        plain.fit(known, (data.y - data.y.mean()) / data.y.std())
    expected = plain.predict(asked) * data.y.std() + data.y.mean()
    assert np.allclose(probe.predict(other.X), expected, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_network_of_classes_is_scikit_learns(cohort: Any, classes: int) -> None:
    data, other = cohort(classes), cohort(classes, seed=1)
    probe = MLPClassifierProbe((5.0,), hidden=(5,), components=6, max_steps=10, random_state=4)
    probe.fit(data.X, data.y, data.groups)
    known, asked = whitened(data.X.astype(float), other.X, probe.reduction_.axes_)
    plain = MLPClassifier(hidden_layer_sizes=(5,), alpha=5.0, solver="lbfgs", max_iter=10, random_state=4)
    with pytest.warns(UserWarning, match="lbfgs"):
        plain.fit(known, data.y)
    assert np.allclose(probe.predict_proba(other.X), plain.predict_proba(asked), atol=1e-4)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_network_reads_targets_of_any_unit(cohort: Any, unit: float) -> None:
    data = cohort()
    options = {"hidden": (5,), "components": 6, "max_steps": 50}
    plain = MLPRegressorProbe((1.0,), **options).fit(data.X, data.y, data.groups)
    scaled = MLPRegressorProbe((1.0,), **options).fit(data.X, unit * data.y, data.groups)
    assert np.allclose(scaled.predict(data.X), unit * plain.predict(data.X), rtol=1e-3)


def test_a_constant_target_is_predicted_as_such(cohort: Any) -> None:
    data = cohort()
    for probe in (RidgeProbe(), MLPRegressorProbe(), KNNRegressorProbe(), XGBRegressorProbe(n_jobs=1)):
        fitted = probe.fit(data.X, np.full(60, 42.0), data.groups)
        assert np.allclose(fitted.predict(data.X), 42, atol=1e-3)
