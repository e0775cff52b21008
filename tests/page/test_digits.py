import numpy as np
import pytest

from prima_features.page.digits import (
    brief,
    decimals_for,
    interval,
    number,
    p_value,
    short,
    with_interval,
)
from prima_features.probes.evaluation import Estimate


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (4.5678, 2, "4.57"),
        (-0.5, 1, "−0.5"),
        (-0.0001, 2, "0.00"),
        (12345.6, 0, "12,346"),
        (1.5e-9, 11, "1.50e−09"),
        (2e12, 0, "2.00e+12"),
        (np.nan, 2, "not defined"),
        (np.inf, 2, "not defined"),
    ],
)
def test_numbers_have_few_digits_and_a_true_minus(value: float, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


def test_intervals_stand_beside_their_number() -> None:
    estimate = Estimate(4.567, 4.1, 5.06)
    assert interval(estimate, 2) == "4.10 to 5.06"
    assert brief(estimate, 2) == "4.57 (4.10 to 5.06)"
    assert with_interval(estimate, 2, "years") == "4.57 years (95% interval 4.10 to 5.06)"


def test_no_interval_is_made_up() -> None:
    assert interval(Estimate(1.0), 2) == ""
    assert with_interval(Estimate(1.0), 2) == "1.00"
    assert brief(Estimate(np.nan), 2) == "not defined"
    assert interval(Estimate(0.5, 0.5, 0.5), 2) == ""


@pytest.mark.parametrize(("scale", "decimals"), [(4.5, 2), (0.0123, 4), (123.0, 0), (45000, 0), (0.0, 2)])
def test_errors_are_shown_with_three_digits(scale: float, decimals: int) -> None:
    assert decimals_for(scale) == decimals


@pytest.mark.parametrize(
    ("value", "text"), [(0.01, "0.01"), (1e-6, "1e−06"), (1e4, "10,000"), (50, "50"), (0.05, "0.05")]
)
def test_parameters_are_short(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0196, "0.020"), (1.0, "1.000"), (0.00012, "0.00012")])
def test_p_values_have_two_digits_at_least(value: float, text: str) -> None:
    assert p_value(value) == text
