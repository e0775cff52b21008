"""The two-sample test of vectors: valid for few and for repeated studies, and it finds shifts of mean and of spread."""

import numpy as np
import pytest

from prima_features.evaluation.two_sample import FourierFeatures, two_sample

WIDTH = 16


def features(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    return FourierFeatures.draw(vectors.mean(axis=0), vectors.std(axis=0), vectors, seed).of(vectors)


def test_products_of_features_are_the_gaussian_kernel_of_the_median_distance() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, WIDTH)) * np.linspace(1, 50, WIDTH) + 7
    z = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    distance = ((z[:, None] - z) ** 2).sum(axis=2)
    median = np.median(distance[np.triu_indices(200, 1)])
    kernel = FourierFeatures.draw(vectors.mean(axis=0), vectors.std(axis=0), vectors, 0, n=20_000).of(vectors)
    np.testing.assert_allclose(kernel @ kernel.T, np.exp(-distance / (2 * median)), atol=0.03)


def test_a_constant_component_and_equal_vectors_are_no_drift() -> None:
    vectors = np.ones((40, WIDTH))
    found = two_sample(features(vectors), np.arange(40) >= 20, np.arange(40), np.arange(40))
    assert found.p == 1
    assert found.auroc == 0.5


@pytest.mark.parametrize("n", [20, 400])
def test_a_shift_of_the_mean_and_of_the_spread_are_found(n: int) -> None:
    rng = np.random.default_rng(1)
    second = np.arange(n) >= n // 2
    for moved in (lambda x: x + 1.5, lambda x: x * 4):
        vectors = rng.normal(size=(n, WIDTH))
        vectors[second] = moved(vectors[second])
        found = two_sample(features(vectors), second, np.arange(n), np.arange(n))
        assert found.p < 0.01
        assert found.mmd2 > 0
    assert two_sample(features(vectors), second, np.arange(n), np.arange(n)) == found  # reproducible


def test_p_values_are_uniform_without_drift_also_for_repeated_studies() -> None:
    rng = np.random.default_rng(2)
    p_values, areas = [], []
    for seed in range(400):
        subject = np.repeat(np.arange(12), rng.integers(1, 6, 12))
        vectors = rng.normal(size=(12, WIDTH))[subject] + 0.2 * rng.normal(size=(len(subject), WIDTH))
        second = (rng.random(12) < 0.5)[subject] ^ (rng.random(len(subject)) < 0.1)
        if len(set(subject[second])) < 3 or len(set(subject[~second])) < 3:
            continue
        found = two_sample(features(vectors, seed), second, subject, rng.random(len(subject)), 99, seed)
        p_values.append(found.p)
        areas.append(found.auroc)
    assert np.mean(np.array(p_values) <= 0.05) < 0.08
    assert np.mean(p_values) > 0.47
    assert np.nanmean(areas) == pytest.approx(0.5, abs=0.05)
