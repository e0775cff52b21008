import math
from pathlib import Path

import numpy as np
import pytest
import torch

from prima_features.encoders.prima.networks.transformer import flat_latent, sinusoids, token_vectors


def test_sinusoids_interleave_sine_and_cosine_from_the_highest_frequency() -> None:
    expected = []
    for j in range(5):
        angle = 7 * 10000 ** (-2 * j / 10)
        expected += [math.sin(angle), math.cos(angle)]
    torch.testing.assert_close(sinusoids(torch.tensor([7]), 10), torch.tensor([expected]))


def test_an_odd_number_of_sinusoids_is_refused() -> None:
    with pytest.raises(ValueError, match="even number of components, not 9"):
        sinusoids(torch.arange(3), 9)


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_a_vector_holds_the_latent_the_place_and_the_slice_axis(slice_axis: int) -> None:
    sides, size = [8, 8, 8], [32, 32, 32]
    sides[slice_axis], size[slice_axis] = 2, 4
    latent = torch.randn(2, 2, *sides)
    grid = torch.tensor([[0, 1, 2], [5, 0, 7]])
    vectors = token_vectors(latent, (grid * torch.tensor(size)).short(), slice_axis, tuple(size))
    assert vectors.shape == (2, 289)
    assert torch.equal(vectors[:, :256], flat_latent(latent, slice_axis))
    torch.testing.assert_close(vectors[:, 256:286].view(2, 3, 10), sinusoids(grid, 10))
    assert vectors[:, 286:].tolist() == [[float(axis == slice_axis) for axis in range(3)]] * 2


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_the_slice_axis_trades_places_with_the_first(slice_axis: int) -> None:
    canonical = torch.randn(3, 2, 2, 8, 8)
    assert torch.equal(flat_latent(canonical.transpose(2, 2 + slice_axis), slice_axis), canonical.flatten(1))


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_golden_token_vectors_are_met(golden: Path, slice_axis: int) -> None:
    arrays = np.load(golden / "study_a.npz")
    size = [32, 32, 32]
    size[slice_axis] = 4
    checked = 0
    for i in range(5):
        latent = torch.from_numpy(arrays[f"latent_{i}"])
        if latent.shape[2 + slice_axis] != 2:
            continue
        expected = arrays[f"token_vector_{i}"]
        vectors = token_vectors(latent, torch.from_numpy(arrays[f"coord_{i}"]), slice_axis, tuple(size))
        assert np.abs(vectors.numpy() - expected).max() < 1e-6 * np.abs(expected).max()
        checked += 1
    assert checked >= 1
