"""Products of scaled rows, taken in pieces."""

import numpy as np
import pytest

from prima_features.probes.linalg.rows import (
    CHUNK_BYTES,
    Rows,
    Scaling,
    covariance,
    fit_gram,
    gram,
    transposed_dot,
)

RNG = np.random.default_rng(0)


def layouts(X: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers, laid out differently in memory."""
    wide = np.zeros((2 * X.shape[0], 3 * X.shape[1]), dtype=X.dtype)
    wide[::2, ::3] = X
    return {"C": X, "Fortran": np.asfortranarray(X), "strided": wide[::2, ::3], "reversed": X[::-1][::-1]}


def lower(matrix: np.ndarray) -> np.ndarray:
    return np.tril(matrix)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "reversed"])
def test_products_are_numpys_on_scaled_rows_in_any_layout(kind: str, layout: str) -> None:
    X = layouts((3 + 2 * RNG.standard_normal((30, 12))).astype(kind))[layout]
    index = RNG.permutation(30)[:20]
    rows, taken = Rows(X, index), X[index].astype(float)
    Z = (taken - taken.mean(axis=0)) / taken.std(axis=0)
    scaling = Scaling.fit(rows)
    assert np.allclose(lower(gram(rows, scaling)), lower(Z @ Z.T), atol=1e-12)
    assert np.allclose(lower(covariance(rows, scaling)), lower(Z.T @ Z), atol=1e-12)
    right = RNG.standard_normal((20, 3))
    assert np.allclose(transposed_dot(rows, scaling, right), Z.T @ right, atol=1e-12)
    weights = RNG.standard_normal((12, 2))
    assert np.allclose(rows.dot(weights), taken @ weights, atol=1e-12)


@pytest.mark.parametrize("shape", [(64, 70_000), (70_000, 64)])
def test_pieces_add_up_to_the_whole(shape: tuple[int, int]) -> None:
    X = RNG.standard_normal(shape)
    rows = Rows.all(X)
    assert X.nbytes > CHUNK_BYTES
    assert max(len(list(rows.column_chunks())), len(list(rows.row_chunks()))) > 1
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    scaling = Scaling.fit(rows)
    assert np.allclose(scaling.mean, X.mean(axis=0))
    assert np.allclose(scaling.scale, X.std(axis=0))
    if shape[0] < shape[1]:
        assert np.allclose(lower(gram(rows, scaling)), lower(Z @ Z.T), rtol=1e-9, atol=1e-6)
    else:
        assert np.allclose(lower(covariance(rows, scaling)), lower(Z.T @ Z), rtol=1e-9, atol=1e-6)
    right = RNG.standard_normal((shape[0], 1))
    assert np.allclose(transposed_dot(rows, scaling, right), Z.T @ right, atol=1e-8)
    weights = RNG.standard_normal((shape[1], 1))
    assert np.allclose(rows.dot(weights), X @ weights, atol=1e-8)


def test_products_leave_the_data_as_they_are() -> None:
    X = RNG.standard_normal((10, 6))
    before = X.copy()
    rows = Rows.all(X)
    scaling = Scaling.fit(rows)
    gram(rows, scaling)
    covariance(rows, scaling)
    transposed_dot(rows, scaling, np.ones((10, 1)))
    assert np.array_equal(X, before)


def test_a_constant_feature_is_centred_and_not_blown_up() -> None:
    X = np.full((8, 3), 0.1, dtype=np.float32)
    X[:, 0] = RNG.standard_normal(8)
    X[:, 2] = 0
    scaling = Scaling.fit(Rows.all(X))
    assert np.array_equal(scaling.scale[1:], [1, 1])
    scaled = scaling.apply(X.astype(float))
    assert np.abs(scaled[:, 1:]).max() < 1e-7
    assert scaled[:, 0].std() == pytest.approx(1)


def test_a_small_variation_of_a_large_number_counts_where_its_type_can_hold_it() -> None:
    X = 1e6 + 1e-2 * RNG.standard_normal((50, 1))
    assert Scaling.fit(Rows.all(X)).scale == pytest.approx(X.std(), rel=1e-3)
    assert Scaling.fit(Rows.all(np.where(X > 1e6, 1e6, 1e6 * (1 - 6e-8)).astype(np.float32))).scale == 1


def test_rows_taken_of_rows_are_those_of_the_matrix() -> None:
    X = RNG.standard_normal((10, 2))
    some = Rows.all(X).take(np.array([7, 3, 5]))
    assert np.array_equal(some.take(np.array([2, 0])).array(), X[[5, 7]])
    assert np.array_equal(some.take(np.array([False, True, False])).array(), X[[3]])


@pytest.mark.parametrize("standardize", [False, True])
def test_scaling_and_products_in_one_pass_are_those_of_two(standardize: bool) -> None:
    X = RNG.standard_normal((64, 70_000)).astype(np.float32)
    rows = Rows(X, RNG.permutation(64)[:50])
    scaling, product = fit_gram(rows, standardize)
    expected = Scaling.fit(rows, standardize)
    assert np.array_equal(scaling.mean, expected.mean)
    assert np.array_equal(scaling.scale, expected.scale)
    assert np.allclose(lower(product), lower(gram(rows, expected)), rtol=1e-12)
