"""ComBat is Johnson's and Fortin's method, gives neuroCombat's numbers, and works row by row."""

import json
from pathlib import Path

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes.steps.adjust import ComBat, separable

DATA = Path(__file__).parents[2] / "data" / "probes"
SITES = np.array(["a", "b", "c"])


@pytest.fixture
def data():
    """Features of 90 training and 30 new rows, of three sites that shift and scale them, with two covariates."""
    rng = np.random.default_rng(0)
    site = rng.integers(3, size=120)
    covariates = np.column_stack([rng.normal(60, 10, 120), rng.integers(2, size=120)])
    X = rng.normal(size=(120, 7)) * np.array([1.0, 2.0, 0.5])[site][:, None] + site[:, None]
    X += 0.1 * covariates[:, :1] + rng.normal(size=7) * covariates[:, 1:]
    return X, SITES[site], covariates


def johnson(X, sites, covariates):
    """Johnson 2007, section 3.2, with the covariates of Fortin 2018, feature by feature; iterated to the end."""
    names, n_features = np.unique(sites), X.shape[1]
    design = np.column_stack([*(sites == name for name in names), covariates]).astype(float)
    beta = np.linalg.lstsq(design, X, rcond=None)[0]
    alpha = sum((sites == name).mean() * beta[i] for i, name in enumerate(names))
    sigma = np.sqrt(np.mean((X - design @ beta) ** 2, axis=0))
    expected = alpha + covariates @ beta[len(names) :]
    Z, made = (X - expected) / sigma, np.empty_like(X)
    for name in names:
        own = Z[sites == name]
        n, gamma_hat, delta_hat = len(own), own.mean(axis=0), own.var(axis=0, ddof=1)
        gamma_bar, tau = gamma_hat.mean(), gamma_hat.var(ddof=1)
        v, s = delta_hat.mean(), delta_hat.var(ddof=1)
        lam, theta = (v**2 + 2 * s) / s, (v**3 + v * s) / s
        for g in range(n_features):
            gamma, delta = gamma_hat[g], delta_hat[g]
            for _ in range(500):
                gamma = (n * tau * gamma_hat[g] + delta * gamma_bar) / (n * tau + delta)
                delta = (theta + ((own[:, g] - gamma) ** 2).sum() / 2) / (n / 2 + lam - 1)
            made[sites == name, g] = (own[:, g] - gamma) / np.sqrt(delta)
    return made * sigma + expected


@pytest.mark.parametrize("with_covariates", [False, True])
def test_it_is_the_papers_method(data, with_covariates):
    X, sites, covariates = data
    given = covariates if with_covariates else covariates[:, :0]
    made = ComBat().fit(X, sites, given).transform(X, sites, given)
    # The iteration ends at a relative change of 1e-4, as neuroCombat's does.
    np.testing.assert_allclose(made, johnson(X, sites, given), atol=1e-4)


@pytest.mark.parametrize("kind", ["without", "with"])
def test_it_is_neurocombats(kind):
    known = json.loads((DATA / "neurocombat.json").read_text())
    X, sites = np.array(known["X"]), np.array(known["site"])
    covariates = np.column_stack([known["age"], known["sex"]]) if kind == "with" else None
    made = ComBat().fit(X, sites, covariates).transform(X, sites, covariates)
    # neuroCombat holds covariates as float32.
    np.testing.assert_allclose(made, known[kind], rtol=0, atol=1e-5 if kind == "with" else 1e-12)


def test_shrinkage_is_within_a_site_over_features():
    """A site whose features all shift alike keeps that shift although each feature alone is noise."""
    rng = np.random.default_rng(0)
    site = np.repeat(["a", "b"], [200, 4])
    X = rng.normal(size=(204, 300)) + 1.5 * (site == "b")[:, None]
    fitted = ComBat().fit(X, site, None)
    shift = -(fitted.offset_ / fitted.slope_)[1]
    plain = X[site == "b"].mean(axis=0)
    assert shift.std() < 0.7 * plain.std()


def test_a_covariate_that_each_site_has_one_value_of_is_not_kept(data):
    X, sites, covariates = data
    of_site = np.searchsorted(SITES, sites).astype(float)[:, None]
    np.testing.assert_array_equal(
        ComBat().fit(X, sites, np.hstack([covariates, of_site])).slope_,
        ComBat().fit(X, sites, covariates).slope_,
    )
    given = np.hstack([covariates, of_site, 2 * covariates[:, :1]])
    assert separable(given, sites).tolist() == [True, True, False, False]


def test_one_feature_alone_is_harmonised_without_priors(data):
    X, sites, _ = data
    made = ComBat().fit(X[:, :1], sites, None).transform(X[:, :1], sites, None)
    assert np.ptp([made[sites == site].mean() for site in SITES]) < 1e-9


def test_sites_are_alike_afterwards(data):
    X, sites, _ = data
    made = ComBat().fit(X, sites, None).transform(X, sites, None)
    before = [X[sites == site].mean(axis=0) for site in SITES]
    after = [made[sites == site].mean(axis=0) for site in SITES]
    assert np.ptp(before, axis=0).min() > 0.5
    assert np.ptp(after, axis=0).mean() < 0.15 * np.ptp(before, axis=0).mean()


def test_a_row_is_harmonised_alike_alone_and_among_others(data):
    X, sites, covariates = data
    fitted = ComBat().fit(X[:90], sites[:90], covariates[:90])
    together = fitted.transform(X[90:], sites[90:], covariates[90:])
    for i in range(30):
        alone = fitted.transform(X[90 + i : 91 + i], sites[90 + i : 91 + i], covariates[90 + i : 91 + i])
        np.testing.assert_allclose(alone[0], together[i], rtol=0, atol=1e-12)


def test_rows_of_unseen_sites_stay_as_they_are_or_are_refused(data):
    X, sites, _ = data
    keep = ComBat().fit(X[:90], sites[:90], None)
    new = np.array(["elsewhere", "", "a"])
    made = keep.transform(X[90:93], new, None)
    np.testing.assert_array_equal(made[:2], X[90:92])
    assert (made[2] != X[92]).all()
    np.testing.assert_array_equal(keep.transform(X[:2], None, None), X[:2])
    refuse = ComBat("error").fit(X[:90], sites[:90], None)
    with pytest.raises(UsageError, match="not fitted on site 'elsewhere'"):
        refuse.transform(X[90:91], new[:1], None)
    with pytest.raises(UsageError, match="unknown"):
        refuse.transform(X[91:92], new[1:2], None)


def test_rows_without_a_site_or_of_a_tiny_one_do_not_train_it(data):
    X, sites, _ = data
    sites = sites.astype(object)
    sites[:5], sites[5:7] = "", "tiny"
    fitted = ComBat().fit(X, sites.astype(str), None)
    assert fitted.sites_.tolist() == ["a", "b", "c"]
    alone = ComBat().fit(X[7:], sites[7:].astype(str), None)
    np.testing.assert_array_equal(fitted.slope_, alone.slope_)


@pytest.mark.parametrize("column", [0, 1])
def test_an_unknown_covariate_counts_as_the_mean(data, column):
    X, sites, covariates = data
    fitted = ComBat().fit(X, sites, covariates)
    asked = covariates[:1].copy()
    asked[0, column] = np.nan
    mean = covariates[:1].copy()
    mean[0, column] = covariates[:, column].mean()
    np.testing.assert_allclose(
        fitted.transform(X[:1], sites[:1], asked), fitted.transform(X[:1], sites[:1], mean)
    )


def test_a_covariate_that_tells_nothing_changes_nothing(data):
    X, sites, covariates = data
    without = ComBat().fit(X, sites, covariates[:, :1])
    for useless in (np.nan, 1.0):
        given = np.column_stack([covariates[:, 0], np.full(len(X), useless)])
        made = ComBat().fit(X, sites, given).transform(X, sites, given)
        np.testing.assert_allclose(made, without.transform(X, sites, covariates[:, :1]), atol=1e-8)


def test_the_effect_of_covariates_is_kept(data):
    X, sites, covariates = data
    rng = np.random.default_rng(1)
    # Age goes with the site, so that without the covariate its effect would be taken for the site's.
    age = covariates[:, 0] + 15 * (sites == "c")
    X = rng.normal(size=X.shape) + 0.1 * age[:, None]
    slopes = []
    for given in (age[:, None], None):
        made = ComBat().fit(X, sites, given).transform(X, sites, given)
        slopes.append(np.polyfit(age, made, 1)[0].mean())
    assert slopes[0] == pytest.approx(0.1, abs=0.01)
    assert slopes[1] < 0.085


def test_a_constant_feature_stays_finite(data):
    X, sites, covariates = data
    X[:, 2] = 3.0
    made = ComBat().fit(X, sites, covariates).transform(X, sites, covariates)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[:, 2], 3.0, atol=1e-3)


def test_it_needs_two_sites(data):
    X = data[0]
    with pytest.raises(UsageError, match="needs the sites"):
        ComBat().fit(X, None, None)
    for few in (np.full(len(X), "a"), np.full(len(X), ""), np.where(np.arange(len(X)) < 2, "b", "a")):
        with pytest.raises(UsageError, match="two sites with at least 3"):
            ComBat().fit(X, few, None)


def test_its_state_brings_it_back(data):
    X, sites, covariates = data
    fitted = ComBat("error").fit(X, sites, covariates)
    again = ComBat().restore(*fitted.state())
    np.testing.assert_array_equal(
        again.transform(X, sites, covariates), fitted.transform(X, sites, covariates)
    )
    assert again.unseen == "error"
