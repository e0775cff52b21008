"""How unlike the training set a study is."""

import numpy as np
import pytest

from prima_features.probes.steps.novelty import Departure, TrainingRange, scores_of


def embeddings(n, seed, width=40, rank=40):
    """Correlated features of falling variance."""
    scales = np.linspace(3, 0.1, rank)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(width, width)))[0][:rank]
    return (np.random.default_rng(seed).normal(size=(n, rank)) * scales) @ turn


def fit(X, groups=None, seed=0):
    return TrainingRange.fit(X, np.arange(len(X)), np.arange(len(X)) if groups is None else groups, seed)


def test_about_two_in_a_hundred_new_studies_of_the_same_population_are_flagged():
    share = [
        (fit(embeddings(400, seed)).distance(embeddings(1000, 100 + seed)) > 1).mean() for seed in range(8)
    ]
    assert 0.008 < np.mean(share) < 0.03


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
    assert (fit(scans).distance(new) > 1).mean() > (grouped.distance(new) > 1).mean() + 0.03


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
    assert (near.distance(embeddings(2000, 1, width=8, rank=8)) > 1).mean() < 0.05


CHANGES = {
    "scaled by 0.5": lambda X: 0.5 * X,
    "scaled by 0.1": lambda X: 0.1 * X,
    "doubled": lambda X: 2 * X,
    "collapsed to the mean": lambda X: np.repeat(X.mean(axis=0)[None], len(X), axis=0),
    "shrunk towards the mean": lambda X: X.mean(axis=0) + 0.4 * (X - X.mean(axis=0)),
    "all zero": np.zeros_like,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("centre", [0.0, 5.0])
def test_what_is_too_near_is_flagged_as_what_is_too_far(change: str, centre: float) -> None:
    near, new = fit(embeddings(200, 0) + centre), embeddings(60, 1) + centre
    assert not near.cohort(new, np.arange(60))
    assert near.cohort(CHANGES[change](new), np.arange(60))
    if change not in ("scaled by 0.5", "shrunk towards the mean") or centre:
        assert (near.distance(CHANGES[change](new)) > 1).mean() > 0.6


def test_a_cohort_can_differ_although_hardly_a_study_does() -> None:
    near, new = fit(embeddings(400, 0)), embeddings(80, 1)
    a_little = 1.15 * new
    assert (near.distance(a_little) > 1).mean() < 0.25
    assert "high" in {one.how for one in near.cohort(a_little, np.arange(80))}
    assert near.cohort(a_little[:4], np.arange(4)) == ()
    # Many scans of few people are few.
    assert near.cohort(np.repeat(a_little[:4], 20, axis=0), np.repeat(np.arange(4), 20)) == ()


def test_a_shift_along_a_direction_that_only_the_probe_uses_is_seen_in_its_predictions() -> None:
    X = embeddings(300, 0)
    weights = np.linalg.qr(np.random.default_rng(9).normal(size=(40, 40)))[0][-1]  # of least variance
    near = TrainingRange.fit(X, np.arange(300), np.arange(300), 0, scores_of(X @ weights))
    new = embeddings(100, 1)
    moved = new + 0.6 * weights
    assert (near.distance(new, scores_of(new @ weights)) > 1).mean() < 0.08
    assert set(near.reasons(near.departures(moved, scores_of(moved @ weights)))) >= {"prediction high"}
    assert (near.distance(moved, scores_of(moved @ weights)) > 1).mean() > 0.95
    assert (near.distance(moved) > 1).mean() < 0.08
    same = new - np.outer(new @ weights, weights)
    assert near.cohort(same, np.arange(100), scores_of(same @ weights)) == (
        Departure("prediction", "narrow"),
    )


def test_probabilities_count_as_log_odds() -> None:
    two, three = np.array([[0.9, 0.1]]), np.array([[0.7, 0.2, 0.1]])
    assert scores_of(two) == pytest.approx(np.log(0.1 / 0.9))
    assert scores_of(three).shape == (1, 3)


def test_limits_that_contradict_themselves_are_refused() -> None:
    state = fit(embeddings(60, 0)).state()
    for name, values in (
        ("limits", state["limits"][:, ::-1].copy()),
        ("limits", state["limits"][:2]),
        ("grid", state["grid"][:, :5]),
        ("counts", np.array([0, 60])),
    ):
        with pytest.raises(ValueError, match="limits of the training range"):
            TrainingRange.restore(state | {name: values})
