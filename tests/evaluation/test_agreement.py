"""ICC(2,1) and its exact interval."""

from __future__ import annotations

import numpy as np
import pytest

from prima_features.evaluation.agreement import icc, icc_estimate

# Shrout and Fleiss 1979, table 2: six targets, four judges.
RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def test_it_is_the_published_value_with_the_published_interval() -> None:
    found = icc_estimate(RATINGS)
    assert found.value == pytest.approx(0.28976378, abs=1e-8)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.02, 0.76), abs=0.005)
    assert found.value == pytest.approx(icc(RATINGS[:, :, None])[0])


@pytest.mark.parametrize("true", [0.2, 0.6, 0.9])
def test_the_interval_contains_the_truth_in_95_of_100(true: float) -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        subject = np.sqrt(true) * rng.normal(size=(25, 1))
        found = icc_estimate(subject + np.sqrt(1 - true) * rng.normal(size=(25, 2)))
        inside += found.ci_low <= true <= found.ci_high
    assert 0.92 <= inside / 400 <= 0.98


def test_without_differences_or_with_two_subjects_there_is_no_interval() -> None:
    same = np.repeat(np.arange(5.0)[:, None], 2, axis=1)
    assert icc_estimate(same).value == pytest.approx(1) and np.isnan(icc_estimate(same).ci_low)
    assert np.isnan(icc_estimate(RATINGS[:2, :2]).ci_low)
