"""Pooling over sites: numbers of a reference implementation, and honest intervals for a new site."""

import numpy as np
import pytest

from prima_features.clinical.audit import AuditOptions, audit
from prima_features.evaluation.pooling import pool


def test_pooling_equals_statsmodels() -> None:
    """Values of statsmodels 0.15.0, combine_effects(..., method_re="iterated", use_t=True)."""
    values, errors = np.array([0.61, 1.2, 0.85, 2.1, 1.4]), np.array([0.2, 0.3, 0.25, 0.4, 0.15])
    found = pool(values, errors)
    assert found is not None
    assert found.tau**2 == pytest.approx(0.22499801750995072, rel=1e-5)
    assert found.mean == pytest.approx(1.1825326260497255, abs=1e-6)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.510417, 1.854648), abs=1e-5)
    assert found.q == pytest.approx(17.171470848719565)
    assert found.i_squared == pytest.approx(0.7670554820119984)
    # Wider than with a known variance between sites, and reproducible.
    known = 1.96 * np.hypot(found.tau, 0.24207772)
    assert found.prediction_high - found.mean > known
    assert found.mean - found.prediction_low > known
    assert pool(values, errors) == found


def test_sites_that_agree_have_no_variance_between_them() -> None:
    found = pool(np.array([1.0, 1.01, 0.99, 1.0]), np.full(4, 0.2))
    assert found is not None
    assert found.tau == found.i_squared == 0
    assert found.ci_high - found.ci_low >= 2 * 1.96 * 0.1
    assert (found.prediction_low, found.prediction_high) == (found.ci_low, found.ci_high)
    assert pool(np.array([1.0]), np.array([0.2])) is None


def test_a_site_that_differs_shows_as_heterogeneity(simulate) -> None:
    spread = []
    for shift in (0.0, 2.5):
        made = simulate(n=1500, names=1, seed=2)
        truth = made.labels["condition_0"].to_numpy()
        made.scores["diagnosis/condition_0"] -= shift * truth * (made.attributes["site"] == "C")
        scores, labels, attributes = made.paths
        options = AuditOptions(resamples=200, groups=("site",))
        document = audit(scores, labels=labels, attributes=[attributes], options=options).document
        one = document["sites"]["site"]["condition_0"]
        spread.append(one["prediction"][1] - one["prediction"][0])
        assert (one["p_heterogeneity"] < 0.001) == (shift > 0)
        assert one["without_site"]["C"] == pytest.approx(0.86, abs=0.04)
        assert set(one["site_alone"]) == {"A", "B", "C"}
    assert spread[1] > 3 * spread[0]
