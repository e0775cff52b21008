"""The logistic path is scikit-learn's LogisticRegression, converged, for inputs of any shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from prima_features.probes.linalg.logistic import (
    LogisticPath,
    logistic_path,
    probabilities,
    unconverged_sentence,
)
from prima_features.probes.linalg.rows import Rows

PENALTIES = (1e-8, 1e-4, 1e-2, 1.0, 1e2)


@dataclass(frozen=True)
class Data:
    """Training rows and rows to predict."""

    X: np.ndarray
    y: np.ndarray
    other: np.ndarray


def data(n: int = 60, width: int = 20, n_classes: int = 2, noise: float = 1.0, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    X = 3 + rng.standard_normal((n + 25, width)) * np.exp(rng.standard_normal(width))
    score = (X - X.mean(axis=0)) @ rng.standard_normal(width) / np.sqrt(width)
    score += noise * score.std() * rng.standard_normal(len(X))
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    y[:n_classes] = np.arange(n_classes)
    return Data(X[:n], y[:n], X[n:])


def standardised(X: np.ndarray, other: np.ndarray) -> np.ndarray:
    X, other = X.astype(float), other.astype(float)
    scale = X.std(axis=0)
    return (other - X.mean(axis=0)) / np.where(scale > 1e-6 * np.abs(X.mean(axis=0)), scale, 1)


def predicted(path: LogisticPath, X: np.ndarray) -> list[np.ndarray]:
    """Probabilities for each penalty."""
    return [
        probabilities(X.astype(float) @ weights + intercept)
        for weights, intercept in zip(path.weights, path.intercepts, strict=True)
    ]


def assert_equals_scikit_learn(
    given: Data, weights: np.ndarray | None = None, penalties: tuple[float, ...] = PENALTIES
) -> None:
    path = logistic_path(Rows.all(given.X), given.y, penalties, weights=weights)
    assert path.converged.all()
    assert np.isfinite(path.weights).all()
    Z, Z_other = (standardised(given.X, X) for X in (given.X, given.other))
    for i, C in enumerate(penalties):
        # Its default solver stops a little earlier than its tolerance says.
        plain = LogisticRegression(C=C, tol=1e-10, max_iter=20_000, solver="newton-cg")
        plain.fit(Z, given.y, sample_weight=weights)
        for X, scaled in ((given.X, Z), (given.other, Z_other)):
            assert np.allclose(predicted(path, X)[i], plain.predict_proba(scaled), atol=1e-5), C


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("shape", [(60, 20), (60, 200), (60, 59), (60, 60), (60, 61), (12, 300), (200, 1)])
def test_probabilities_are_scikit_learns(shape: tuple[int, int], n_classes: int) -> None:
    assert_equals_scikit_learn(data(*shape, n_classes))


@pytest.mark.parametrize("width", [15, 150])
def test_features_may_be_float32(width: int) -> None:
    given = data(width=width)
    assert_equals_scikit_learn(Data(given.X.astype(np.float32), given.y, given.other.astype(np.float32)))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("width", [15, 150])
def test_sample_weights_are_scikit_learns(width: int, n_classes: int) -> None:
    given = data(width=width, n_classes=n_classes)
    assert_equals_scikit_learn(given, np.random.default_rng(1).gamma(1.0, size=60) + 1e-3)


@pytest.mark.parametrize("width", [15, 150])
def test_a_weight_of_two_is_the_row_twice(width: int) -> None:
    given = data(width=width)
    twice = np.arange(60) % 3 == 0
    index = np.concatenate([np.arange(60), np.flatnonzero(twice)])
    repeated = logistic_path(Rows(given.X, index), given.y[index], PENALTIES, standardize=False)
    # The mean that features are centred by differs: only the intercept is moved by it.
    weighted = logistic_path(Rows.all(given.X), given.y, PENALTIES, weights=1.0 + twice, standardize=False)
    for one, two in zip(predicted(repeated, given.other), predicted(weighted, given.other), strict=True):
        assert np.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("width", [15, 150])
def test_repeated_rows_with_other_labels_and_constant_features(width: int) -> None:
    given = data(width=width, n_classes=3)
    X, y = np.repeat(given.X, 2, axis=0), np.repeat(given.y, 2)
    y[1::10] = (y[1::10] + 1) % 3
    X[:, [0, -1]] = [0.1, -1e6]
    other = given.other.copy()
    other[:, [0, -1]] = [0.1, -1e6]
    assert_equals_scikit_learn(Data(X, y, other))


@pytest.mark.parametrize("width", [2, 150])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_that_can_be_separated(width: int, n_classes: int) -> None:
    given = data(width=width, n_classes=n_classes, noise=0)
    assert_equals_scikit_learn(given, penalties=(1e-4, 1.0, 1e3))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_few_of_a_class(n_classes: int) -> None:
    given = data(width=100, n_classes=n_classes)
    y = np.where(np.arange(60) < n_classes + 1, given.y % n_classes, 0)
    y[:n_classes] = np.arange(n_classes)
    assert_equals_scikit_learn(Data(given.X, y, given.other))


@pytest.mark.parametrize(
    ("width", "n_classes"), [(width, n_classes) for width in (15, 59, 60, 150) for n_classes in (2, 3, 5)]
)
@pytest.mark.parametrize("penalty", [1e-12, 1e-6, 1e6, 1e10])
def test_the_gradient_vanishes_at_extreme_penalties(width: int, n_classes: int, penalty: float) -> None:
    """scikit-learn's own solver does not converge there, so the condition itself is checked."""
    given = data(width=width, n_classes=n_classes)
    X, y = np.repeat(given.X, 2, axis=0), np.repeat(given.y, 2)
    y[1::8] = (y[1::8] + 1) % n_classes
    path = logistic_path(Rows.all(X), y, (penalty,))
    assert path.converged.all()
    residual = predicted(path, X)[0] - (y[:, None] == np.arange(n_classes))
    assert np.abs(residual.sum(axis=0)).max() < 1e-4
    weights = path.weights[0] * X.std(axis=0)[:, None]
    gradient = standardised(X, X).T @ residual[:, -path.weights.shape[2] :] + weights / penalty
    assert np.linalg.norm(gradient) < 1e-4 * np.sqrt(X.size)


def objective(Z: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray, C: float) -> float:
    scores = Z @ w + b
    share = softmax(scores, axis=1) if w.shape[1] > 1 else expit(np.hstack([-scores, scores]))
    return float(-np.log(share[np.arange(len(y)), y]).sum() + (w**2).sum() / (2 * C))


@pytest.mark.parametrize("seed", range(10))
def test_the_objective_is_the_least_in_its_neighbourhood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = data(40, int(rng.integers(2, 90)), 2 + seed % 3, seed=seed)
    Z, penalties = standardised(given.X, given.X), (1e-3, 1e-1, 10.0)
    path = logistic_path(Rows.all(given.X), given.y, penalties)
    for i, C in enumerate(penalties):
        weights = path.weights[i] * given.X.std(axis=0)[:, None]
        intercept = path.intercepts[i] + given.X.mean(axis=0) @ path.weights[i]
        least = objective(Z, given.y, weights, intercept, C)
        for _ in range(10):
            other = weights + 1e-3 * rng.standard_normal(weights.shape)
            shifted = intercept + 1e-3 * rng.standard_normal(intercept.shape)
            assert objective(Z, given.y, other, shifted, C) > least - 1e-7


def test_a_penalty_has_one_solution_on_any_path() -> None:
    given = data(width=100, n_classes=3)
    whole = logistic_path(Rows.all(given.X), given.y, PENALTIES)
    for i, C in enumerate(PENALTIES):
        alone = logistic_path(Rows.all(given.X), given.y, (C,))
        assert np.allclose(predicted(alone, given.other)[0], predicted(whole, given.other)[i], atol=1e-5)


@pytest.mark.parametrize("standardize", [False, True])
def test_all_components_are_the_features(standardize: bool) -> None:
    for shape in ((30, 80), (80, 30)):
        given = data(*shape)
        paths = [
            logistic_path(
                Rows.all(given.X), given.y, PENALTIES, standardize=standardize, components=components
            )
            for components in (None, 29 if shape[0] == 30 else 30, 1000)
        ]
        for path in paths[1:]:
            assert np.allclose(path.weights, paths[0].weights, atol=1e-4)
            assert np.allclose(path.intercepts, paths[0].intercepts, atol=1e-4)


def test_features_that_do_not_vary_leave_the_shares_of_the_classes() -> None:
    y = np.array([0, 0, 0, 1, 1, 2])
    for width in (2, 50):
        path = logistic_path(Rows.all(np.full((6, width), 4.0)), y, PENALTIES)
        assert path.converged.all()
        assert not path.weights.any()
        for found in predicted(path, np.full((1, width), 4.0)):
            assert np.allclose(found, [[1 / 2, 1 / 3, 1 / 6]])


def test_too_few_steps_are_reported() -> None:
    given = data(width=100)
    path = logistic_path(Rows.all(given.X), given.y, (1e-8, 1e2), max_steps=1)
    assert not path.converged[-1]
    assert "did not converge with C of 100" in unconverged_sentence([1e2])


def test_probabilities_of_far_scores_are_exact() -> None:
    assert probabilities(np.array([[-800.0], [800.0]])).tolist() == [[1, 0], [0, 1]]
    assert probabilities(np.array([[-40.0]]))[0, 1] == pytest.approx(np.exp(-40))
    assert probabilities(np.array([[900.0, 0.0, -900.0]])).tolist() == [[1, 0, 0]]


def certified_change(Z: np.ndarray, y: np.ndarray, weights: np.ndarray, point: np.ndarray, C: float) -> float:
    """The most that Newton's step from a solution of two classes still changes a row's probability.

    Args:
        Z: (n, D) scaled rows.
        y: (n,).
        weights: (n,).
        point: (D + 1,) weights and intercept.
        C: inverse penalty.
    """
    rows = np.hstack([Z, np.ones((len(Z), 1))])
    share, penalty = expit(rows @ point), np.append(np.full(Z.shape[1], 1 / C), 0)
    gradient = rows.T @ (weights * (share - y)) + penalty * point
    curvature = share * (1 - share)
    hessian = rows.T @ ((weights * curvature)[:, None] * rows) + np.diag(penalty)
    scale = 1 / np.sqrt(hessian.diagonal())
    step = scale * np.linalg.solve(hessian * scale[:, None] * scale, scale * gradient)
    return float(np.abs(curvature * (rows @ step)).max())


@pytest.mark.parametrize("seed", range(40))
def test_what_is_said_to_have_converged_has(seed: int) -> None:
    """Also for rows that count a millionth of others, and penalties far apart."""
    rng = np.random.default_rng(seed)
    given = data(
        int(rng.integers(8, 40)), int(rng.integers(1, 30)), noise=10 ** rng.uniform(-2, 1), seed=seed
    )
    weights = 10.0 ** rng.uniform(-3, 3, len(given.y))
    penalties = tuple(np.sort(10.0 ** rng.uniform(-9, 5, 4)))
    path = logistic_path(Rows.all(given.X), given.y, penalties, weights=weights)
    Z = standardised(given.X, given.X)
    for i, C in enumerate(penalties):
        if path.converged[i]:
            on_scaled = path.weights[i][:, 0] * given.X.std(axis=0)
            intercept = path.intercepts[i] + given.X.mean(axis=0) @ path.weights[i]
            change = certified_change(Z, given.y, weights, np.append(on_scaled, intercept), C)
            assert change < 1e-3, C
    assert path.converged[:2].all()


@pytest.mark.parametrize("first", [1e-12, 1e-9, 1e-5])
@pytest.mark.parametrize("shape", [(10, 2), (10, 60)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_much_weaker_penalty_after_a_strong_one(
    first: float, shape: tuple[int, int], n_classes: int
) -> None:
    """The factor of a Hessian a trillion times as large makes any gradient look negligible."""
    given = data(*shape, n_classes)
    found = logistic_path(Rows.all(given.X), given.y, (first, 0.1, 1e3))
    alone = logistic_path(Rows.all(given.X), given.y, (0.1,))
    assert found.converged.all()
    for X in (given.X, given.other):
        assert np.allclose(predicted(found, X)[1], predicted(alone, X)[0], atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_unseen_rows_of_separated_classes_with_weights_of_any_unit(n_classes: int) -> None:
    given = data(30, 29, n_classes, noise=0)
    paths = [
        logistic_path(Rows.all(given.X), given.y, (C / unit,), weights=np.full(30, unit))
        for C in (1e2, 1e4)
        for unit in (1.0, 1e-6, 1e6)
    ]
    assert all(path.converged.all() for path in paths)
    for same in (paths[:3], paths[3:]):
        for path in same[1:]:
            for one, two in zip(predicted(path, given.other), predicted(same[0], given.other), strict=True):
                assert np.allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("width", [15, 150])
def test_features_of_very_different_scales_are_scikit_learns(width: int, n_classes: int) -> None:
    """Without standardisation, so that the Hessian's diagonal spans ten orders."""
    given = data(width=width, n_classes=n_classes)
    X = (given.X - given.X.mean(axis=0)) * np.logspace(-3, 2, width)
    path = logistic_path(Rows.all(X), given.y, (1e-3, 1e-1), standardize=False)
    assert path.converged.all()
    for i, C in enumerate((1e-3, 1e-1)):
        plain = LogisticRegression(C=C, tol=1e-10, max_iter=20_000, solver="newton-cg").fit(X, given.y)
        assert np.allclose(predicted(path, X)[i], plain.predict_proba(X), atol=1e-4), C


def test_the_same_rows_give_the_same_numbers() -> None:
    given = data(width=100, n_classes=3)
    one, two = (logistic_path(Rows.all(given.X), given.y, PENALTIES) for _ in range(2))
    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.intercepts, two.intercepts)
