"""Ridge regressions of counts and ordered classes: stationary points, invariants, and the numbers of statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prima_features.probes.linalg.glm import Counts, Cumulative, Loss, class_probabilities, glm_path
from prima_features.probes.linalg.logistic import logistic_path
from prima_features.probes.linalg.rows import Rows

ALPHAS = (1e4, 1e2, 1.0, 1e-1)
SHAPES = [(150, 6), (60, 150)]
"""More rows than features, and fewer."""
NAMES = ("ordinal", "poisson", "negative binomial")
TINY = 1e-9
"""A penalty that is as good as none."""


def cohort(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features, and the target of each model."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width)) * rng.uniform(0.5, 3, width) + 1
    eta = (X[:, 0] - X[:, 1]) / 2
    return X, {
        "ordinal": np.digitize(eta + rng.logistic(size=n), [-1, 0.3, 1.5]),
        "poisson": rng.poisson(np.exp(0.5 + eta / 2)).astype(float),
        "negative binomial": rng.negative_binomial(1.5, 1.5 / (1.5 + np.exp(1 + eta / 2))).astype(float),
    }


def loss_of(name: str, y: np.ndarray) -> Loss:
    return Cumulative(y) if name == "ordinal" else Counts(y, 0.7 if name == "negative binomial" else 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_the_loss(name: str) -> None:
    _, targets = cohort(80, 3)
    rng = np.random.default_rng(1)
    loss = loss_of(name, targets[name])
    scores, along = rng.normal(size=80) / 2, rng.normal(size=80)
    extra = loss.start() + 0.1
    more, step = rng.normal(size=len(extra)) / 10, 1e-5
    here = loss.at(scores, extra)
    ahead, behind = (loss.at(scores + t * along, extra + t * more) for t in (step, -step))
    up, down = (loss.value(scores + t * along, extra + t * more) for t in (step, -step))
    slope = here.gradient @ along + here.extra_gradient @ more
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)
    bent = here.curvature * along + here.cross @ more
    np.testing.assert_allclose(bent, (ahead.gradient - behind.gradient) / (2 * step), atol=1e-7)
    bent = here.cross.T @ along + here.extra_hessian @ more
    np.testing.assert_allclose(bent, (ahead.extra_gradient - behind.extra_gradient) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_the_gradient_is_0_at_each_solution(name: str, n: int, width: int) -> None:
    X, targets = cohort(n, width)
    loss, scale = loss_of(name, targets[name]), X.std(axis=0)
    Z = (X - X.mean(axis=0)) / scale
    path = glm_path(Rows.all(X), loss, ALPHAS)
    assert path.converged.all()
    for alpha, weights, extra in zip(ALPHAS, path.weights, path.extra, strict=True):
        here = loss.at(X @ weights, extra)
        assert np.abs(Z.T @ here.gradient + alpha * weights * scale).max() < 1e-6
        assert np.abs(here.extra_gradient).max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_rows_and_the_unit_of_features_change_nothing(name: str) -> None:
    X, targets = cohort(100, 8)
    y = targets[name]
    path = glm_path(Rows.all(X), loss_of(name, y), ALPHAS)
    order = np.random.default_rng(0).permutation(100)
    again = glm_path(Rows(X, order), loss_of(name, y[order]), ALPHAS)
    np.testing.assert_allclose(again.weights, path.weights, atol=1e-7)
    scaled = glm_path(Rows.all(10 * X), loss_of(name, y), ALPHAS)
    np.testing.assert_allclose(10 * scaled.weights, path.weights, atol=1e-7)
    np.testing.assert_allclose(scaled.extra, path.extra, atol=1e-7)


def test_reversed_classes_have_opposite_weights() -> None:
    X, targets = cohort(150, 6)
    y = targets["ordinal"]
    path, back = (glm_path(Rows.all(X), Cumulative(one), ALPHAS) for one in (y, y.max() - y))
    np.testing.assert_allclose(back.weights, -path.weights, atol=1e-7)
    np.testing.assert_allclose(back.extra, -path.extra[:, ::-1], atol=1e-7)


def test_two_ordered_classes_are_logistic_regression() -> None:
    X, targets = cohort(150, 6)
    y = (targets["ordinal"] > 1).astype(np.int64)
    path = glm_path(Rows.all(X), Cumulative(y), ALPHAS)
    plain = logistic_path(Rows.all(X), y, [1 / alpha for alpha in ALPHAS])
    np.testing.assert_allclose(path.weights, plain.weights[:, :, 0], atol=1e-4)
    np.testing.assert_allclose(-path.extra, plain.intercepts, atol=1e-3)


def test_a_dispersion_near_0_is_poisson() -> None:
    X, targets = cohort(150, 6)
    paths = [glm_path(Rows.all(X), Counts(targets["poisson"], one), ALPHAS) for one in (0.0, 1e-7)]
    np.testing.assert_allclose(paths[1].weights, paths[0].weights, atol=1e-5)


def test_a_strong_penalty_leaves_the_frequencies_and_the_mean() -> None:
    X, targets = cohort(150, 6)
    y = targets["ordinal"]
    found = glm_path(Rows.all(X), Cumulative(y), [1e12])
    share = class_probabilities(X @ found.weights.T - found.extra[0])
    np.testing.assert_allclose(share, np.tile(np.bincount(y) / 150, (150, 1)), atol=1e-6)
    counts = targets["poisson"]
    found = glm_path(Rows.all(X), Counts(counts), [1e12])
    np.testing.assert_allclose(np.exp(X @ found.weights[0] + found.extra[0]), counts.mean(), rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-800, 800), min_size=1, max_size=6))
def test_probabilities_of_classes_are_at_least_0_and_sum_to_1(values: list[float]) -> None:
    made = class_probabilities(np.sort(values)[::-1][None])
    assert (made >= 0).all()
    assert made.sum() == pytest.approx(1)


def test_without_penalty_ordered_classes_are_those_of_statsmodels() -> None:
    ordinal_model = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    X, targets = cohort(150, 6)
    y = targets["ordinal"]
    model = ordinal_model.OrderedModel(y, X, distr="logit")
    fitted = model.fit(method="bfgs", disp=0, gtol=1e-9, maxiter=2000)
    path = glm_path(Rows.all(X), Cumulative(y), [TINY])
    np.testing.assert_allclose(path.weights[0], fitted.params[:6], atol=1e-6)
    thresholds = model.transform_threshold_params(fitted.params[6:])[1:-1]
    np.testing.assert_allclose(path.extra[0], thresholds, atol=1e-6)
    likelihood = -Cumulative(y).value(X @ path.weights[0], path.extra[0])
    assert likelihood == pytest.approx(fitted.llf, rel=1e-9)
    share = class_probabilities(X @ path.weights.T - path.extra[0])
    np.testing.assert_allclose(share, fitted.predict(X), atol=1e-6)


@pytest.mark.parametrize("name", ["poisson", "negative binomial"])
def test_without_penalty_counts_are_those_of_statsmodels(name: str) -> None:
    api = pytest.importorskip("statsmodels.api")
    X, targets = cohort(150, 6)
    families = {
        "poisson": api.families.Poisson(),
        "negative binomial": api.families.NegativeBinomial(alpha=0.7),
    }
    fitted = api.GLM(targets[name], api.add_constant(X), family=families[name]).fit(tol=1e-13)
    path = glm_path(Rows.all(X), loss_of(name, targets[name]), [TINY])
    np.testing.assert_allclose(np.append(path.extra[0], path.weights[0]), fitted.params, atol=1e-6)


def test_with_a_penalty_counts_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import PoissonRegressor

    X, targets = cohort(150, 6)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    path = glm_path(Rows.all(X), Counts(targets["poisson"]), ALPHAS)
    for alpha, weights in zip(ALPHAS, path.weights, strict=True):
        # The penalty of scikit-learn is per row.
        plain = PoissonRegressor(alpha=alpha / 150, solver="newton-cholesky", tol=1e-9).fit(
            Z, targets["poisson"]
        )
        np.testing.assert_allclose(weights * X.std(axis=0), plain.coef_, atol=1e-6)
