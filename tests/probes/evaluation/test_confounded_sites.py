"""Labels that go with sites: refused or said, and seen in leave-site-out and the site's baseline."""

import json

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation import EvaluationPlan, Scheme, evaluate
from prima_features.probes.evaluation.checks import (
    check,
    check_harmonization,
    label_by_site,
    refuse_confounded,
    site_decodability,
)

SITES = ("berlin", "kyoto", "lagos", "lima")
NESTED = Scheme(inner_folds=3)
LEFT_OUT = Scheme("leave-site-out", inner_folds=3)


@pytest.fixture
def confounded(make_cohort, binary):
    """No signal but the site's: most cases at two sites, most controls at two others."""
    cohort = make_cohort(binary, 240, signal=0.0, seed=3)
    code = (cohort.frame["target"] == "case").to_numpy()
    rng = np.random.default_rng(0)
    other = rng.random(len(code)) < 0.15
    site = np.array(SITES)[2 * rng.integers(2, size=len(code)) + (code ^ other)]
    shift = 4 * np.linalg.qr(np.random.default_rng(1).normal(size=(cohort.X.shape[1], 4)))[0].T
    # Sites of controls, and sites of cases, have nothing in common that a probe could carry over.
    X = cohort.X + shift[[SITES.index(name) for name in site]]
    return type(cohort)(binary, X, cohort.frame.assign(site=site)).samples


def test_the_reader_is_told_and_leave_site_out_shows_the_fall(confounded, logistic):
    plan = EvaluationPlan(NESTED, n_bootstrap=200)
    nested = evaluate(confounded, logistic, plan)
    assert any("label and site are associated" in sentence for sentence in nested.warnings)
    assert nested.label_by_site.association > 0.5
    assert nested.metrics["auroc"].value > 0.75
    assert nested.baselines["site"]["auroc"].value > 0.75
    assert nested.over_baselines["site"]["auroc"].ci_low < 0
    assert nested.site_decodability.balanced_accuracy.value > 0.9
    assert nested.site_decodability.chance == 1 / 4

    left_out = evaluate(confounded, logistic, EvaluationPlan(LEFT_OUT, n_bootstrap=200))
    within = np.nanmean(left_out.fold_scores.values)
    assert within < nested.metrics["auroc"].value - 0.2
    assert left_out.metrics["auroc"].value < nested.metrics["auroc"].value - 0.2
    assert set(left_out.fold_scores.names) == set(SITES)
    assert "site" not in left_out.baselines


def test_scores_of_sites_left_out_that_are_not_on_one_scale_are_said(confounded, logistic):
    left_out = evaluate(confounded, logistic, EvaluationPlan(LEFT_OUT, n_bootstrap=0, site_check=False))
    assert any("not on one scale" in sentence for sentence in left_out.warnings)


def test_a_label_that_equals_the_site_is_refused_unless_allowed(make_cohort, binary, logistic):
    cohort = make_cohort(binary, 100)
    where = np.where(cohort.frame["target"] == "case", "hospital", "volunteers")
    samples = cohort.known(site=where).samples
    with pytest.raises(UsageError, match="hospital only case"):
        evaluate(samples, logistic)
    allowed = evaluate(samples, logistic, EvaluationPlan(NESTED, n_bootstrap=0, allow_confounded=True))
    assert allowed.label_by_site.association == pytest.approx(1)
    assert any("label and site are associated" in sentence for sentence in allowed.warnings)


def test_so_is_one_that_equals_whether_the_site_is_known(make_cohort, binary):
    cohort = make_cohort(binary, 100)
    samples = cohort.known(site=np.where(cohort.frame["target"] == "case", "hospital", "")).samples
    with pytest.raises(UsageError, match="an unknown site only control"):
        refuse_confounded(samples)


def test_sites_that_hold_both_classes_and_numbers_are_not_refused(make_cohort, binary, number):
    refuse_confounded(make_cohort(binary, 60, sites=SITES).samples)
    refuse_confounded(make_cohort(binary, 60, sites=("one",)).samples)
    refuse_confounded(make_cohort(binary, 60).samples)
    refuse_confounded(make_cohort(number, 60, sites=SITES).samples)


def test_many_small_sites_do_not_seem_to_give_the_label(make_cohort, binary, number):
    names = [f"site{i}" for i in range(30)]
    for task in (binary, number):
        found = [
            label_by_site(make_cohort(task, 150, sites=names, seed=seed).samples).association
            for seed in range(20)
        ]
        assert np.mean(found) < 0.12
        assert not check(make_cohort(task, 150, sites=names).samples, NESTED)


def test_association_of_a_number_is_the_part_of_its_variance_between_sites(make_cohort, number):
    cohort = make_cohort(number, 3000, sites=SITES, signal=0.0)
    code = np.array([SITES.index(name) for name in cohort.frame["site"]])
    shifted = cohort.known(target=cohort.frame["target"] + 10 * code)
    # Four equal sites 10 apart have a variance of 125; that within them is 100.
    assert label_by_site(shifted.samples).association == pytest.approx(125 / 225, abs=0.03)
    assert label_by_site(cohort.samples).association == pytest.approx(0, abs=0.01)


def test_the_table_holds_every_label_and_unknown_sites(make_cohort, triple):
    cohort = make_cohort(triple, 90, sites=SITES)
    cohort.frame.loc[:9, "site"] = ""
    found = label_by_site(cohort.samples)
    assert set(found.table) == {"", *SITES}
    assert sum(sum(row.values()) for row in found.table.values()) == 90
    assert sum(found.table[""].values()) == 10
    one = label_by_site(make_cohort(triple, 90).samples)
    assert np.isnan(one.association)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_sites_are_read_from_the_embedding_where_they_left_a_trace(make_cohort, number, shift):
    found = site_decodability(make_cohort(number, 200, sites=SITES[:3], site_shift=shift).samples, 200)
    if shift:
        assert found.balanced_accuracy.value > 0.95
    else:
        assert found.balanced_accuracy.ci_low <= 1 / 3 <= found.balanced_accuracy.ci_high


def test_sites_are_read_before_and_after_harmonisation(make_cohort, number):
    cohort = make_cohort(number, 200, sites=SITES[:3], site_shift=1.5).samples
    found = site_decodability(cohort, 200, recipe=Recipe(harmonize="combat"))
    assert found.balanced_accuracy.value > 0.95
    assert found.harmonized.value < 0.5 and found.to_dict()["harmonized"]["ci_low"] < 0.4
    assert site_decodability(cohort, 0, recipe=Recipe()).harmonized is None


def test_a_covariate_that_the_site_gives_is_named(make_cohort, binary):
    cohort = make_cohort(binary, 120, sites=SITES[:3])
    by_site = cohort.known(sex=cohort.frame["site"].map({SITES[0]: "F", SITES[1]: "M", SITES[2]: "M"}))
    recipe = Recipe("logistic", {"C": (1e-2,)}, harmonize="combat", inner_folds=2)
    found = check_harmonization(by_site.samples, recipe, NESTED)
    assert found == ("the effect of sex cannot be separated from that of the site, so ComBat removes both",)
    assert check_harmonization(cohort.samples, recipe, NESTED) == ()


def test_a_small_site_counts_as_much_as_a_large_one(make_cohort, number):
    cohort = make_cohort(number, 330, signal=0.0)
    site = np.repeat(["large", "middle", "small"], [270, 40, 20])
    X = cohort.X.copy()
    X[site == "middle", 0] += 4
    X[site == "small", 1] += 4
    found = site_decodability(type(cohort)(number, X, cohort.frame.assign(site=site)).samples, 0)
    assert found.balanced_accuracy.value > 0.85


def test_sites_of_few_people_are_not_read(make_cohort, number):
    cohort = make_cohort(number, 40, scans=2)
    site = np.where(np.arange(80) < 10, "small", "large")  # ten scans of five people
    assert site_decodability(cohort.known(site=site).samples) is None


def test_harmonising_a_confounded_or_a_left_out_site_is_said(confounded):
    recipe = Recipe("logistic", {"C": (1e-2,)}, harmonize="combat", inner_folds=2)
    found = evaluate(confounded, recipe, EvaluationPlan(LEFT_OUT, n_bootstrap=0, site_check=False)).warnings
    assert any("ComBat can remove or leak signal" in sentence for sentence in found)
    assert any("ComBat cannot harmonise the left-out site" in sentence for sentence in found)


def test_the_document_of_metrics_has_the_sites_in_it(confounded, logistic):
    document = evaluate(confounded, logistic, EvaluationPlan(NESTED, n_bootstrap=50)).metrics_json()
    text = json.loads(json.dumps(document, allow_nan=False))
    assert set(text["site_decodability"]) == {"balanced_accuracy", "chance", "n_sites", "harmonized"}
    assert set(text["label_by_site"]["table"]) == set(SITES)
