"""Several near-identical scans of each person, whose labels are noise: grouping keeps them from being recognised."""

import numpy as np
import pytest

from prima_features.probes import Recipe
from prima_features.probes.estimators.base import ProbeEstimator
from prima_features.probes.evaluation import EvaluationPlan, Scheme, evaluate
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.recipe import fit_recipe

SCHEMES = ("nested", "leave-site-out")
KNN = Recipe("knn", {"neighbours": (3,)}, inner_folds=3)
PLAN = EvaluationPlan(Scheme(inner_folds=3), n_bootstrap=200, site_check=False)


def scanned_often(make_cohort, task):
    return make_cohort(task, 60, width=30, signal=0.0, scans=4, scan_noise=0.05)


@pytest.mark.parametrize("recipe", [KNN, Recipe("logistic", {"C": (1e-2, 1.0)})], ids=["knn", "logistic"])
def test_grouped_folds_find_nothing_in_noise(make_cohort, binary, recipe):
    found = evaluate(scanned_often(make_cohort, binary).samples, recipe, PLAN).metrics["auroc"]
    assert found.ci_low <= 0.5 <= found.ci_high
    assert found.value < 0.6


def test_the_same_scans_taken_for_different_people_are_recognised(make_cohort, binary):
    cohort = scanned_often(make_cohort, binary)
    ungrouped = cohort.known(subject=cohort.frame["study"]).samples
    assert evaluate(ungrouped, KNN, PLAN).metrics["auroc"].value > 0.9


def test_groups_hold_families_where_they_are_known(make_cohort, binary):
    cohort = scanned_often(make_cohort, binary)
    # The scans of one person get ids of their own, as siblings in a family would.
    family = cohort.known(group=cohort.frame["subject"], subject=cohort.frame["study"]).samples
    assert evaluate(family, KNN, PLAN).metrics["auroc"].value < 0.6


@pytest.mark.parametrize("kind", SCHEMES)
def test_drawn_inner_folds_keep_groups_whole(make_cohort, binary, kind):
    samples = make_cohort(binary, 40, scans=3, sites=("a", "b", "c")).samples
    for fold in draw(samples, Scheme(kind, inner_folds=4)).folds:
        groups = samples.groups[fold.train]
        for name in np.unique(groups):
            assert len(set(fold.inner[groups == name])) == 1
        assert len(set(fold.inner)) == 4


def test_the_search_uses_grouped_inner_folds_in_cross_validation_and_in_the_last_fit(
    make_cohort, binary, logistic, monkeypatch
):
    seen = []
    search = ProbeEstimator._search

    def recorded(self, candidates, rows, y, companions, folds, plan):
        seen.append((companions.groups, folds))
        search(self, candidates, rows, y, companions, folds, plan)

    monkeypatch.setattr(ProbeEstimator, "_search", recorded)
    samples = make_cohort(binary, 40, scans=3).samples
    evaluate(samples, logistic, EvaluationPlan(Scheme(inner_folds=3), n_bootstrap=0, site_check=False))
    fit_recipe(logistic, samples)
    assert len(seen) > 5
    for groups, folds in seen:
        assert len(set(folds)) == 3
        assert len(set(zip(groups, folds, strict=True))) == len(set(groups))


def test_out_of_fold_predictions_of_training_rows_do_not_know_the_persons_other_scans(make_cohort, binary):
    cohort = scanned_often(make_cohort, binary)
    for subject, lowest, highest in (
        (cohort.frame["subject"], 0.3, 0.62),
        (cohort.frame["study"], 0.9, 1),
    ):
        samples = cohort.known(subject=subject).samples
        held_out = fit_recipe(KNN, samples).estimator.out_of_fold_[:, 1]
        positive, negative = held_out[samples.y == 1], held_out[samples.y == 0]
        ordered = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
        assert lowest < ordered <= highest
