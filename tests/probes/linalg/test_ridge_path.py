"""Ridge regression for many penalties at once."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prima_features.errors import UsageError
from prima_features.probes.linalg.ridge import WIDTHS, ridge_path
from prima_features.probes.linalg.rows import Rows

ALPHAS = (1e8, 1e2, 1.0, 1e-3)


def made_up(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = 5 + rng.standard_normal((n, width)) * np.exp(rng.standard_normal(width))
    return X, 40 + X[:, : min(5, width)].sum(axis=1) + rng.standard_normal(n)


def check(X: np.ndarray, y: np.ndarray, alphas: tuple[float, ...] = ALPHAS, tolerance: float = 1e-7) -> None:
    """Predictions of the training rows and of others are those of scikit-learn's solver by singular values."""
    weights, intercepts = ridge_path(Rows.all(X), y, alphas)
    wide = X.astype(np.float64)
    other = wide[::-1] + 0.5
    assert weights.shape == (X.shape[1], len(alphas))
    for i, alpha in enumerate(alphas):
        plain = make_pipeline(StandardScaler(), Ridge(alpha, solver="svd")).fit(wide, y)
        for Z in (wide, other):
            assert np.allclose(
                Z @ weights[:, i] + intercepts[i], plain.predict(Z), atol=tolerance * (1 + y.std())
            )


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(30, 200), (200, 30), (40, 40), (2 * WIDTHS[1] + 50, 600), (600, 2 * WIDTHS[1] + 50)]
)
def test_ridge_equals_scikit_learns_wide_tall_and_square(shape: tuple[int, int], kind: str) -> None:
    X, y = made_up(*shape)
    check(X.astype(kind), y)


def test_a_single_penalty_is_one_of_the_path() -> None:
    for shape in ((50, 80), (80, 50)):
        X, y = made_up(*shape)
        path, intercepts = ridge_path(Rows.all(X), y, ALPHAS)
        for i, alpha in enumerate(ALPHAS):
            weights, intercept = ridge_path(Rows.all(X), y, [alpha])
            assert np.allclose(weights[:, 0], path[:, i], rtol=1e-6, atol=1e-9)
            assert np.allclose(intercept, intercepts[i])


def test_one_feature() -> None:
    check(*made_up(20, 1))


def test_two_rows() -> None:
    check(*made_up(2, 5))


def test_one_row_predicts_its_own_target() -> None:
    weights, intercepts = ridge_path(Rows.all(np.ones((1, 4))), np.array([7.0]), ALPHAS)
    assert np.array_equal(weights, np.zeros((4, 4)))
    assert np.array_equal(intercepts, np.full(4, 7.0))


def test_constant_features_get_no_weight() -> None:
    for shape in ((20, 60), (60, 20)):
        X, y = made_up(*shape)
        X[:, 3] = 2.5
        weights, _ = ridge_path(Rows.all(X), y, ALPHAS)
        assert np.abs(weights[3]).max() < 1e-12
        check(X, y)


def test_nothing_but_constants_predicts_the_mean() -> None:
    for shape in ((4, 9), (9, 4)):
        y = np.arange(float(shape[0]))
        weights, intercepts = ridge_path(Rows.all(np.full(shape, 3.0)), y, ALPHAS)
        assert np.allclose(np.full(shape, 3.0) @ weights + intercepts, y.mean())


def test_repeated_rows_and_columns() -> None:
    X, y = made_up(15, 40)
    check(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    check(np.hstack([X, X]), y)
    X, y = made_up(60, 8)
    check(np.hstack([X, X]), y)


def test_a_huge_penalty_predicts_the_mean() -> None:
    X, y = made_up(30, 50)
    weights, intercepts = ridge_path(Rows.all(X), y, [1e15])
    assert np.allclose(X @ weights + intercepts, y.mean())


def test_a_tiny_penalty_interpolates_where_there_are_more_features_than_rows() -> None:
    X, y = made_up(30, 500)
    weights, intercepts = ridge_path(Rows.all(X), y, [1.0, 1e-6])
    assert np.allclose(X @ weights[:, 1] + intercepts[1], y, atol=1e-5)


@pytest.mark.parametrize("alphas", [[1e-16], [1.0, 1e-16]])
def test_a_penalty_below_rounding_errors_is_refused_with_a_reason(alphas: list[float]) -> None:
    X, y = made_up(60, 20)
    with pytest.raises(UsageError, match="1e-16 is too small"):
        ridge_path(Rows.all(np.repeat(X, 10, axis=1)), y, alphas)


def test_without_standardising_features_are_only_centred() -> None:
    for shape in ((30, 50), (50, 30)):
        X, y = made_up(*shape)
        weights, intercepts = ridge_path(Rows.all(X), y, [3.0, 0.3], standardize=False)
        for i, alpha in enumerate((3.0, 0.3)):
            plain = Ridge(alpha, solver="svd").fit(X, y)
            assert np.allclose(weights[:, i], plain.coef_, atol=1e-8)
            assert intercepts[i] == pytest.approx(plain.intercept_)


def test_rows_of_a_larger_matrix_count_alone() -> None:
    X, y = made_up(40, 60)
    rows = np.array([31, 2, 17, 5, 28, 9])
    of_all = ridge_path(Rows(X, rows), y[rows], ALPHAS)
    of_copy = ridge_path(Rows.all(X[rows]), y[rows], ALPHAS)
    assert np.array_equal(of_all[0], of_copy[0])
    changed = X.copy()
    changed[np.setdiff1d(np.arange(40), rows)] = 1e6
    assert np.array_equal(ridge_path(Rows(changed, rows), y[rows], ALPHAS)[0], of_all[0])
