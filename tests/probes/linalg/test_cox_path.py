"""Ridge Cox regression: stationary points, invariants, and the numbers of scikit-survival and lifelines."""

from __future__ import annotations

import numpy as np
import pytest

from prima_features.probes.linalg.cox import PartialLikelihood, cox_path
from prima_features.probes.linalg.rows import Rows

ALPHAS = (1e4, 1e2, 1.0, 0.1)
SHAPES = [(120, 15), (60, 150)]
"""More rows than features, and fewer."""


def cohort(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and signed times in whole days, many tied."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width)) * rng.uniform(0.5, 3, width) + 1
    time = np.ceil(30 * rng.exponential(np.exp(X[:, 1] - X[:, 0]))).clip(1, 90)
    censored = np.ceil(rng.uniform(1, 90, n))
    return X, np.where(time <= censored, time, -censored)


def by_definition(y: np.ndarray, scores: np.ndarray) -> float:
    """Efron's partial likelihood, written out."""
    time, event, share, total = np.abs(y), y > 0, np.exp(scores), 0.0
    for one in np.unique(time[event]):
        tied = event & (time == one)
        for k in range(tied.sum()):
            total += np.log(share[time >= one].sum() - k / tied.sum() * share[tied].sum())
        total -= scores[tied].sum()
    return float(total)


def test_the_likelihood_and_its_derivatives_are_those_of_the_definition() -> None:
    _, y = cohort(80, 3)
    rng = np.random.default_rng(1)
    scores, along = rng.normal(size=80), rng.normal(size=80)
    likelihood = PartialLikelihood(y)
    assert likelihood.value(scores) == pytest.approx(by_definition(y, scores), rel=1e-12)
    step, here = 1e-5, likelihood.at(scores)
    slope = (by_definition(y, scores + step * along) - by_definition(y, scores - step * along)) / (2 * step)
    assert here.gradient() @ along == pytest.approx(slope, rel=1e-6)
    bent = (
        likelihood.at(scores + step * along).gradient() - likelihood.at(scores - step * along).gradient()
    ) / (2 * step)
    np.testing.assert_allclose(here.product(along), bent, atol=1e-7)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_the_gradient_is_0_at_each_solution(n: int, width: int) -> None:
    X, y = cohort(n, width)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    path = cox_path(Rows.all(X), y, ALPHAS)
    assert path.converged.all()
    for alpha, weights, offset in zip(ALPHAS, path.weights, path.offsets, strict=True):
        w = weights * X.std(axis=0)
        gradient = Z.T @ PartialLikelihood(y).at(Z @ w).gradient() + alpha * w
        assert np.abs(gradient).max() < 1e-7
        np.testing.assert_allclose(X @ weights + offset, Z @ w, atol=1e-9)


def test_the_unit_of_time_and_the_order_of_rows_change_nothing() -> None:
    X, y = cohort(100, 8)
    path = cox_path(Rows.all(X), y, ALPHAS)
    np.testing.assert_allclose(cox_path(Rows.all(X), y / 30.4, ALPHAS).weights, path.weights, atol=1e-9)
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_allclose(cox_path(Rows(X, order), y[order], ALPHAS).weights, path.weights, atol=1e-8)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_the_numbers_are_those_of_scikit_survival(n: int, width: int) -> None:
    linear_model = pytest.importorskip("sksurv.linear_model")
    from sksurv.util import Surv

    X, y = cohort(n, width)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    path = cox_path(Rows.all(X), y, ALPHAS)
    for alpha, weights in zip(ALPHAS, path.weights, strict=True):
        model = linear_model.CoxPHSurvivalAnalysis(alpha=alpha, ties="efron", tol=1e-13, n_iter=200)
        expected = model.fit(Z, Surv.from_arrays(y > 0, np.abs(y))).coef_
        np.testing.assert_allclose(weights * X.std(axis=0), expected, atol=1e-8)


def test_the_baseline_hazard_is_breslows() -> None:
    linear_model = pytest.importorskip("sksurv.linear_model")
    from sksurv.util import Surv

    from prima_features.probes.steps.hazard import SurvivalCurve

    X, y = cohort(120, 5)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    model = linear_model.CoxPHSurvivalAnalysis(alpha=1.0, ties="efron", tol=1e-13, n_iter=200)
    model.fit(Z, Surv.from_arrays(y > 0, np.abs(y)))
    times = np.array([5.0, 17.0, 60.0])
    found = SurvivalCurve.fit(y, Z @ model.coef_, times)
    expected = model.cum_baseline_hazard_(times)
    np.testing.assert_allclose(found.hazard, expected, rtol=1e-9)


def test_without_ties_the_numbers_are_those_of_lifelines() -> None:
    import lifelines
    import pandas as pd

    X, y = cohort(150, 4)
    y = np.sign(y) * (np.abs(y) + np.random.default_rng(0).uniform(0, 0.5, len(y)))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    table = pd.DataFrame(Z).assign(time=np.abs(y), event=y > 0)
    # The penalty of lifelines is per row, on features scaled by the deviation of a sample.
    fitted = lifelines.CoxPHFitter(penalizer=1.0 / len(y)).fit(
        table, "time", "event", fit_options={"precision": 1e-13}
    )
    weights = cox_path(Rows.all(X), y, [len(y) / (len(y) - 1)]).weights[0] * X.std(axis=0)
    np.testing.assert_allclose(weights, fitted.params_.to_numpy(), atol=1e-6)
