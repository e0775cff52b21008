"""How unlike the training set a study is."""

import numpy as np
import pytest

from prima_features.probes.steps.familiar import TrainingRange


def embeddings(n, seed, width=40, rank=40):
    """Correlated features of falling variance."""
    scales = np.linspace(3, 0.1, rank)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(width, width)))[0][:rank]
    return (np.random.default_rng(seed).normal(size=(n, rank)) * scales) @ turn


def fit(X, groups=None, seed=0):
    return TrainingRange.fit(X, np.arange(len(X)), np.arange(len(X)) if groups is None else groups, seed)


def test_one_in_a_hundred_new_studies_of_the_same_population_is_flagged():
    share = [
        (fit(embeddings(400, seed)).distance(embeddings(1000, 100 + seed)) > 1).mean() for seed in range(8)
    ]
    assert 0.003 < np.mean(share) < 0.02


@pytest.mark.parametrize("change", ["shifted", "scaled", "turned"])
def test_studies_of_another_population_are_flagged(change):
    near, new = fit(embeddings(400, 0)), embeddings(300, 1)
    other = {
        "shifted": lambda: new + 3,
        "scaled": lambda: 3 * new,
        "turned": lambda: new[:, ::-1] * np.where(np.arange(40) % 2, 3, -3),
    }[change]()
    assert (near.distance(other) > 1).mean() > 0.8


def test_what_lies_outside_the_span_of_the_training_set_is_flagged():
    near = fit(embeddings(200, 0, rank=10))
    inside = embeddings(50, 1, rank=10)
    outside = inside + 6 * np.linalg.qr(np.random.default_rng(9).normal(size=(40, 40)))[0][20]
    assert (near.distance(inside) > 1).mean() < 0.2
    assert (near.distance(outside) > 1).mean() > 0.8


def test_repeated_scans_do_not_make_the_range_too_narrow():
    people = embeddings(150, 0)
    scans = np.repeat(people, 4, axis=0) + 0.01 * np.random.default_rng(1).normal(size=(600, 40))
    grouped = fit(scans, np.repeat(np.arange(150), 4))
    new = embeddings(1000, 2)
    assert (grouped.distance(new) > 1).mean() < 0.05
    assert (fit(scans).distance(new) > 1).mean() > (grouped.distance(new) > 1).mean() + 0.05


def test_it_looks_at_training_rows_alone_and_a_seed_replays_it():
    X = embeddings(200, 0)
    rows = np.arange(100)
    first = TrainingRange.fit(X, rows, rows, 3)
    X[100:] = 1e3
    second = TrainingRange.fit(X, rows, rows, 3)
    np.testing.assert_array_equal(first.distance(X), second.distance(X))


def test_its_state_brings_it_back():
    near, new = fit(embeddings(120, 0)), embeddings(20, 1)
    np.testing.assert_array_equal(TrainingRange.restore(near.state()).distance(new), near.distance(new))


def test_more_than_two_thousand_rows_are_sampled():
    near = fit(embeddings(2300, 0, width=8, rank=8))
    assert np.isfinite(near.limit)
    assert (near.distance(embeddings(2000, 1, width=8, rank=8)) > 1).mean() < 0.03
