"""Attention pooling over ragged sets of vectors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from prima_features.errors import UsageError
from prima_features.probes.bags import Bags
from prima_features.probes.estimators import RowMetadata, make
from prima_features.probes.estimators.attention import Ragged, gates, gradient, outputs
from prima_features.probes.linalg.rows import Rows

QUICK = {"alphas": (10.0,), "steps": (0, 40), "components": 16, "width": 8, "inner_folds": 3}


def series(n=120, width=12, strength=4.0, seed=0):
    """Studies of 3 to 5 series in a random order; the second kind of series has the signal of a class or number."""
    rng = np.random.default_rng(seed)
    kinds = 2 * np.random.default_rng(1).normal(size=(5, width))
    y = rng.integers(0, 2, n)
    values, study = [], []
    for i in range(n):
        own = rng.permutation(np.r_[0:3, 3 : 3 + rng.integers(0, 3)])
        vectors = rng.normal(size=(len(own), width)) + kinds[own]
        vectors[own == 1, 0] += strength * (y[i] - 0.5)
        values.append(vectors)
        study += [i] * len(own)
    bags, _ = Bags.of(np.concatenate(values).astype(np.float32), np.array(study))
    return bags, y


def fitted(bags, y, name="classes", groups=None, inner=None, **options):
    target = y if name == "classes" else 20.0 + 5.0 * y
    rows = Rows.all(bags.means(), bags)
    groups = np.arange(len(y)) if groups is None else groups
    return make("attention", kind=name, **QUICK | options).fit_rows(rows, target, RowMetadata(groups), inner)


def network(seed=0, components=4, members=2, width=3, outputs=2):
    rng = np.random.default_rng(seed)
    shapes = {
        "V": (components, members, width),
        "U": (components, members, width),
        "u": (members, width),
        "W": (components, members, outputs),
        "b": (members, outputs),
    }
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def test_weights_sum_to_one_in_each_study_and_pool_its_components():
    given = Ragged.of(np.random.default_rng(0).normal(size=(9, 4)), np.array([2, 1, 6]))
    one = network()
    weights = gates(one, given)[2]
    np.testing.assert_allclose(given.sum(weights), 1)
    assert np.array_equal(weights[2], [1, 1])
    pooled = (weights[3:, 0, None] * given.h[3:]).sum(axis=0)
    found = outputs(one, given, weights)[1]
    np.testing.assert_allclose(found[2, 0], pooled @ one["W"][:, 0] + one["b"][0])


def test_gradients_are_those_of_finite_differences():
    given = Ragged.of(np.random.default_rng(0).normal(size=(9, 4)), np.array([2, 1, 6]))
    one, y, alphas = network(), np.array([0.0, 1.0, 1.0])[:, None, None], np.array([2.0, 0.5])
    found, _ = gradient(one, given, lambda score: expit(score) - y, alphas, 0.7)

    def loss(numbers, name):
        moved = one | {name: numbers.reshape(one[name].shape)}
        score = outputs(moved, given, gates(moved, given)[2])[1]
        penalty = (alphas[:, None] * moved["W"] ** 2).sum() + 0.7 * sum(
            (moved[key] ** 2).sum() for key in ("V", "U", "u")
        )
        return (np.logaddexp(0, score) - y * score).mean(axis=0).sum() + penalty / 6

    for name, values in found.items():
        expected = approx_fprime(one[name].ravel(), loss, 1e-6, name)
        np.testing.assert_allclose(values.ravel(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_a_signal_in_one_series_is_found_there(kind):
    bags, y = series()
    new, truth = series(seed=5)
    probe, mean = fitted(bags, y, kind), fitted(bags, y, kind, steps=(0,))
    assert probe.best_params_["steps"] == 40
    score, of_mean = (
        one.predict_proba(new.means(), bags=new)[:, 1]
        if kind == "classes"
        else one.predict(new.means(), bags=new)
        for one in (probe, mean)
    )
    assert roc_auc_score(truth, score) > roc_auc_score(truth, of_mean) + 0.05


def test_more_weight_is_given_to_series_with_the_signal():
    bags, y = series()
    probe = fitted(bags, y, steps=(0, 40, 160))
    weights = probe.attention(bags.means(), bags=bags)
    np.testing.assert_allclose(np.add.reduceat(weights, np.cumsum(bags.sizes) - bags.sizes), 1)
    kinds = 2 * np.random.default_rng(1).normal(size=(5, 12))
    kind = ((bags.values[:, None, 1:] - kinds[:, 1:]) ** 2).sum(axis=2).argmin(axis=1)
    over = weights * bags.sizes[bags.owner]
    assert over[kind == 1].mean() > 1.5 * over[kind != 1].mean()


def test_without_signal_the_weights_stay_equal_or_nearly_so():
    bags, _ = series(strength=0.0)
    y = np.random.default_rng(3).integers(0, 2, len(bags))
    probe = fitted(bags, y, alphas=(300.0,))
    weights = probe.attention(bags.means(), bags=bags)
    assert np.abs(weights * bags.sizes[bags.owner] - 1).mean() < 0.5


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_zero_steps_are_a_penalised_regression_on_the_mean(kind):
    bags, y = series(n=60)
    probe = fitted(bags, y, kind, steps=(0,))
    weights = probe.attention(bags.means(), bags=bags)
    np.testing.assert_allclose(weights, 1 / bags.sizes[bags.owner])
    # Linear in the mean: one study with all vectors equal to the mean is predicted the same.
    single = Bags.single(bags.means())
    np.testing.assert_allclose(
        probe.predict(bags.means(), bags=bags), probe.predict(bags.means(), bags=single), atol=1e-4
    )


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_the_order_of_studies_and_series_changes_nothing(kind):
    bags, y = series(n=60)
    rng = np.random.default_rng(0)
    order = rng.permutation(60)
    position = np.concatenate([rng.permutation(np.arange(bags.start[i], bags.stop[i])) for i in order])
    moved, _ = Bags.of(bags.values[position], np.repeat(np.arange(60), bags.sizes[order]))
    names = np.array([f"s{i:03d}" for i in range(60)])
    one, two = fitted(bags, y, kind, groups=names), fitted(moved, y[order], kind, groups=names[order])
    assert one.best_params_ == two.best_params_
    for name, values in one.network_.items():
        assert np.array_equal(values, two.network_[name]), name
    np.testing.assert_allclose(
        one.attention(bags.means(), bags=bags)[position], two.attention(moved.means(), bags=moved), atol=1e-12
    )
    np.testing.assert_allclose(one.out_of_fold_[order], two.out_of_fold_, atol=1e-12)


def test_studies_are_predicted_alone_as_among_others():
    bags, y = series(n=60)
    probe = fitted(bags, y)
    together = probe.predict_proba(bags.means(), bags=bags)
    for i in (0, 17, 59):
        own = bags.take(np.array([i]))
        np.testing.assert_allclose(probe.predict_proba(own.means(), bags=own)[0], together[i], atol=1e-12)


def test_of_many_vectors_some_are_trained_on_and_all_are_predicted_from():
    bags, y = series(n=60)
    probe = fitted(bags, y, most_vectors=2)
    assert len(probe.attention(bags.means(), bags=bags)) == len(bags.values)


def test_more_members_are_averaged():
    bags, y = series(n=60)
    probe = fitted(bags, y, members=3, steps=(20,))
    assert probe.network_["u"].shape == (3, 8)
    parts = [fitted(bags, y, members=1, steps=(20,), random_state=0)]
    assert parts[0].network_["u"].shape == (1, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"components": 65}, "components must be a whole number from 1 to 64"),
        ({"width": 0}, "width must be a whole number from 1 to 32"),
        ({"steps": ()}, "steps must be a list of one or more whole numbers"),
        ({"steps": (1.5,)}, "steps must be a whole number from 0 to"),
        ({"steps": 3}, "steps must be a list"),
        ({"rate": -1}, "rate must be a list of one or more positive numbers"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        make("attention", kind="number", **options)


def test_half_precision_vectors_are_read():
    bags, y = series(n=60)
    probe = fitted(replace(bags, values=bags.values.astype(np.float16)), y)
    exact = fitted(bags, y)
    a, b = (one.predict_proba(bags.means(), bags=bags) for one in (probe, exact))
    assert np.abs(a - b).max() < 0.05
