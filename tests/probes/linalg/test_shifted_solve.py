"""Solving with many shifts by way of a band."""

import numpy as np
import pytest

from prima_features.probes.linalg.ridge import BandForm, solve_shifted

SHIFTS = (1e6, 10.0, 0.1)


def positive(n: int, rank: int, seed: int = 0) -> np.ndarray:
    """A positive semidefinite matrix in Fortran order."""
    Z = np.random.default_rng(seed).standard_normal((n, rank))
    return np.asfortranarray(Z @ Z.T)


def as_stored(A: np.ndarray) -> np.ndarray:
    """Its lower half, with what must not be read above it."""
    stored = np.asfortranarray(np.tril(A))
    stored[np.triu_indices(len(A), 1)] = np.nan
    return stored


def reference(A: np.ndarray, right: np.ndarray, shifts: tuple[float, ...]) -> np.ndarray:
    return np.stack([np.linalg.solve(A + shift * np.eye(len(A)), right) for shift in shifts], axis=1)


@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33, 34, 65, 66, 513, 700, 2200])
@pytest.mark.parametrize("shifts", [SHIFTS, SHIFTS[1:2]])
def test_solutions_are_numpys(n: int, shifts: tuple[float, ...]) -> None:
    A, right = positive(n, n), np.random.default_rng(1).standard_normal(n)
    expected = reference(A, right, shifts)
    found = solve_shifted(as_stored(A), right, shifts)
    assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()


def test_solutions_of_a_matrix_without_full_rank() -> None:
    A, right = positive(400, 30), np.random.default_rng(1).standard_normal(400)
    assert np.allclose(solve_shifted(as_stored(A), right, SHIFTS), reference(A, right, SHIFTS), atol=1e-9)


@pytest.mark.parametrize("A", [np.zeros((300, 300)), np.eye(300), np.diag(np.arange(300.0))])
def test_solutions_where_nothing_has_to_be_turned(A: np.ndarray) -> None:
    right = np.arange(300.0)
    assert np.allclose(solve_shifted(as_stored(A), right, SHIFTS), reference(A, right, SHIFTS))


@pytest.mark.parametrize("width", [1, 2, 7, 128])
def test_the_band_form_is_the_matrix_turned(width: int) -> None:
    A = positive(150, 150)
    form = BandForm.reduce(as_stored(A), width)
    bands = form.bands()
    assert len(bands) == width + 1
    B = sum(np.diag(band[: 150 - i], -i) for i, band in enumerate(bands))
    B += np.tril(B, -1).T
    Q = form.rotate(np.eye(150), transpose=False)
    assert np.allclose(Q @ Q.T, np.eye(150))
    assert np.allclose(Q @ B @ Q.T, A)
    assert np.allclose(form.rotate(np.eye(150), transpose=True), Q.T)


@pytest.mark.parametrize("shifts", [(1.0,), (2.0, 1.0)])
def test_a_matrix_that_is_not_positive_is_refused(shifts: tuple[float, ...]) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        solve_shifted(np.asfortranarray(-5 * np.eye(4)), np.ones(4), shifts)
