"""Standardised features on their principal axes."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from prima_features.probes.linalg.rows import Reduction, Rows

SHAPES = [(25, 60), (60, 25)]


def made_up(n: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 3 + rng.standard_normal((n, width)) * np.exp(rng.standard_normal(width))


def standardised(X: np.ndarray) -> np.ndarray:
    return (X - X.mean(axis=0)) / X.std(axis=0)


def up_to_sign(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return found * np.sign((found * expected).sum(axis=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_components_are_scikit_learns_up_to_sign(shape: tuple[int, int]) -> None:
    X = made_up(*shape)
    found = Reduction(components=6).fit(Rows.all(X)).transform(Rows.all(X))
    expected = PCA(6, svd_solver="full").fit_transform(standardised(X))
    assert np.allclose(up_to_sign(found, expected), expected, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_whitened_components_have_unit_variance_and_no_correlation(shape: tuple[int, int]) -> None:
    X = made_up(*shape)
    whitened = Reduction(components=8, whiten=True).fit(Rows.all(X)).transform(Rows.all(X))
    assert np.allclose(whitened.T @ whitened / len(X), np.eye(8))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("components", "whiten"), [(4, False), (4, True), (1000, False), (1000, True), (None, False)]
)
def test_unfolded_weights_give_what_the_components_give(
    shape: tuple[int, int], components: int | None, whiten: bool
) -> None:
    X, other = made_up(*shape), made_up(*shape)[::-1] * 1.5
    reduction = Reduction(components=components, whiten=whiten).fit(Rows.all(X))
    Z = reduction.transform(Rows.all(other))
    weights = np.random.default_rng(1).standard_normal((Z.shape[1], 2))
    on_features, offset = reduction.unfold(weights)
    assert np.allclose(other @ on_features + offset, Z @ weights)


@pytest.mark.parametrize("shape", SHAPES)
def test_more_components_than_the_rows_span_keep_all_distances(shape: tuple[int, int]) -> None:
    X = made_up(*shape)
    Z = Reduction(components=1000, whiten=False).fit(Rows.all(X)).transform(Rows.all(X))
    assert Z.shape[1] <= min(shape)
    assert np.allclose(Z @ Z.T, standardised(X) @ standardised(X).T)


def test_repeated_features_and_rows_add_no_component() -> None:
    X = made_up(40, 6)
    for repeated in (np.hstack([X] * 10), np.repeat(X, 3, axis=0)):
        reduction = Reduction(components=50, whiten=True).fit(Rows.all(repeated))
        assert reduction.transform(Rows.all(repeated)).shape[1] == 6


@pytest.mark.parametrize("whiten", [False, True])
def test_constant_input_is_nothing_but_zeros(whiten: bool) -> None:
    X = np.full((10, 30), 4.0)
    Z = Reduction(components=5, whiten=whiten).fit(Rows.all(X)).transform(Rows.all(X))
    assert np.array_equal(Z, np.zeros((10, 1)))


def test_state_and_restore_give_the_same_bits() -> None:
    X = made_up(30, 50)
    reduction = Reduction(components=5, whiten=True).fit(Rows.all(X))
    again = Reduction(components=5, whiten=True).restore(reduction.state())
    assert np.array_equal(again.transform(Rows.all(X)), reduction.transform(Rows.all(X)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("components", [None, 4, 1000])
@pytest.mark.parametrize("whiten", [False, True])
def test_fitting_gives_the_components_of_the_training_rows(
    shape: tuple[int, int], components: int | None, whiten: bool
) -> None:
    X = made_up(*shape)
    reduction = Reduction(components=components, whiten=whiten)
    assert np.allclose(reduction.fit_transform(Rows.all(X)), reduction.transform(Rows.all(X)), atol=1e-9)
