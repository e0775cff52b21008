"""The baseline of age and sex that a probe carries to other cohorts."""

from dataclasses import replace

import numpy as np
import pytest
from pandas.api.types import is_numeric_dtype

from prima_features.probes import Features, FeatureSource, Probe, Recipe
from prima_features.probes.covariates import CovariateBaseline, _design, baseline_recipe
from prima_features.probes.kinds import kind_of
from prima_features.probes.recipe import fit_recipe
from prima_features.probes.samples import samples

SOURCE = FeatureSource("prima", "main", "ab" * 32)


def aged(cohort):
    """The cohort with ages that the target depends on."""
    rng = np.random.default_rng(0)
    target = cohort.frame["target"]
    code = target.to_numpy() if is_numeric_dtype(target) else target.astype("category").cat.codes.to_numpy()
    return cohort.frame.assign(age=50 + 8 * code + rng.normal(0, 5, len(code)))


@pytest.mark.parametrize("kind", ["number", "binary", "triple"])
def test_it_predicts_as_the_model_that_was_fitted(kind, request, make_cohort):
    task = request.getfixturevalue(kind)
    cohort = make_cohort(task, 120)
    given = samples(cohort.X, aged(cohort), task)
    given.frame.loc[:5, "age"] = np.nan
    rows = np.arange(100)
    made = CovariateBaseline.fit(given, rows, 5, 0)
    assert made.names == ("age", "sex")
    design = replace(given, X=_design(given, made.names, made.typical))
    expected = fit_recipe(baseline_recipe(kind_of(task)), design, rows).predict(design)
    found = made.predict(given)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-6)
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-9)
    np.testing.assert_array_equal(found.label, expected.label)


def test_another_cohort_is_compared_with_it_also_after_loading(tmp_path, binary, make_cohort):
    cohort = make_cohort(binary, 120, signal=0.0)
    features = Features.of(cohort.X.astype(np.float32), SOURCE)
    recipe = Recipe("logistic", {"C": (1e-2, 1e-1)}, inner_folds=2)
    probe = Probe(binary, recipe).fit(features, aged(cohort))
    probe.save(tmp_path / "probe")
    loaded = Probe.load(tmp_path / "probe")
    assert loaded.fitted.training.covariates == probe.fitted.training.covariates
    found = loaded.evaluate(features, aged(cohort), n_bootstrap=50)
    assert set(found.baselines) == set(found.over_baselines) == {"dummy", "age_sex"}
    assert found.baselines["age_sex"]["auroc"].value > 0.8  # ages tell the classes apart
    without = loaded.evaluate(features, aged(cohort).assign(age=np.nan), n_bootstrap=50)
    assert set(without.baselines) == {"dummy"}
    assert any("age is unknown in this cohort: the baseline age_sex" in one for one in without.warnings)


def test_there_is_none_without_covariates(binary, make_cohort):
    cohort = make_cohort(binary, 60)
    given = samples(cohort.X, cohort.frame.assign(age=np.nan, sex=""), binary)
    assert CovariateBaseline.fit(given, np.arange(60), 2, 0) is None
