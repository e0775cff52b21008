"""Van Elteren's test is scipy's in one stratum and leaves strata apart; folds share out each of several labels."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from prima_features.evaluation.folds import deal, rarest_label
from prima_features.evaluation.rank_test import van_elteren


@pytest.mark.parametrize("decimals", [1, 9])
def test_one_stratum_is_the_test_of_mann_and_whitney(decimals: int) -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(50) < 0.3
    score = np.round(rng.normal(size=50) + positive, decimals)
    expected = mannwhitneyu(
        score[positive],
        score[~positive],
        alternative="greater",
        use_continuity=False,
        method="asymptotic",
    )
    z = van_elteren(positive, score, np.zeros(50, dtype=int))
    assert norm.sf(z) == pytest.approx(expected.pvalue, abs=1e-12)


def test_rows_of_different_strata_are_not_compared() -> None:
    rng = np.random.default_rng(1)
    positive, score, strata = rng.random(80) < 0.5, rng.normal(size=80), np.arange(80) % 4
    assert van_elteren(positive, score + 100 * strata, strata) == pytest.approx(
        van_elteren(positive, score, strata), abs=1e-12
    )
    assert np.isnan(van_elteren(np.ones(5, dtype=bool), np.arange(5.0), np.zeros(5)))
    assert np.isnan(van_elteren(np.arange(6) < 3, np.ones(6), np.zeros(6)))


def test_folds_share_out_each_of_several_labels_and_cut_no_group() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random((200, 4)) < [0.05, 0.1, 0.3, 0.6]).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    groups = np.repeat(np.arange(100), 2)
    fold = deal(groups, np.hstack([y == 1, y == 0]), 5, 0)
    assert (fold[::2] == fold[1::2]).all()
    assert np.ptp(np.bincount(fold)) <= 8
    for column in y.T:
        present = np.bincount(fold[column == 1], minlength=5)
        assert np.ptp(present) <= max(3, 0.25 * present.max())
    other = deal(groups, np.hstack([y == 1, y == 0]), 5, 1)
    assert (fold != other).any()


def test_the_rarest_label_that_is_present() -> None:
    y = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, np.nan], [0, 1, 1]], dtype=float)
    assert rarest_label(y).tolist() == [1, 2, 3, 0, 3]
