"""Riley's criteria: published examples, and what must hold for any model."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from prima_features.evaluation.sample_size import (
    for_classes,
    for_numbers,
    for_survival,
    for_two_classes,
    largest_cox_snell,
    sample_size,
)

R2 = some.floats(0.01, 0.95)


def test_the_published_example_of_two_classes():
    """Example of pmsampsize: Cox-Snell R2 0.288, 24 parameters, prevalence 0.174."""
    most = largest_cox_snell([0.174, 0.826])
    assert for_two_classes(0.288 / most, 0.174)(24) == {"shrinkage": 623, "optimism": 662, "risk": 221}


def test_the_published_example_of_a_number():
    """Example of pmsampsize: R2 0.2, 25 parameters."""
    assert for_numbers(0.2)(25) == {"shrinkage": 918, "optimism": 401, "residual": 259}


def test_the_published_example_of_survival():
    """Example of pmsampsize: Cox-Snell R2 0.051, 30 parameters, rate 0.065, mean follow-up 2.07, time point 2."""
    events = 0.065 * 2.07
    most = 1 - exp(2 * events * (log(events) - 1))
    found = for_survival(0.051 / most, events, 2 / 2.07)(30)
    assert (found["shrinkage"], found["optimism"]) == (5143, 1039)


def test_classes_are_pairs_and_two_of_them_one_pair():
    assert for_classes(0.2, [0.7, 0.3])(5) == for_two_classes(0.2, 0.3)(5)
    three = for_classes(0.2, [0.6, 0.3, 0.1])(5)
    pair = for_two_classes(0.2, 0.25)(5)  # the second and the third class
    assert three["shrinkage"] >= pair["shrinkage"] / 0.4
    assert three["risk"] == for_two_classes(0.2, 0.6)(5)["risk"]


@pytest.mark.parametrize(
    "kind",
    [
        lambda r2: for_numbers(r2),
        lambda r2: for_two_classes(r2, 0.1),
        lambda r2: for_classes(r2, [0.5, 0.3, 0.2]),
        lambda r2: for_survival(r2, 0.3, 1.0),
    ],
)
@given(r2=R2, n=some.integers(2, 5000), p=some.integers(1, 3000))
def test_the_largest_model_that_is_supported_is_supported_and_the_next_is_not(kind, r2, n, p):
    criteria = kind(r2)
    found = sample_size(criteria, r2, n, p)
    assert found.needed == max(criteria(p).values())
    if found.supported >= 0:
        assert max(criteria(found.supported).values()) <= n
    if found.supported < n:
        assert max(criteria(found.supported + 1).values()) > n
    assert (p <= found.supported) == (found.needed <= n) or found.supported == n


@given(events=some.floats(0.01, 0.99), scale=some.floats(0.1, 10))
def test_the_risk_at_the_horizon_is_known_to_5_percent(events, scale):
    n = for_survival(0.2, events, scale)(1)["risk"]
    for more, enough in ((n, True), (n - 1, False)):
        if more < 1:
            continue
        half = 1.96 * np.sqrt(events / more)
        risks = [1 - np.exp(-max(0.0, rate) * scale) for rate in (events - half, events, events + half)]
        assert (max(np.diff(risks)) <= 0.05 + 1e-12) == enough
