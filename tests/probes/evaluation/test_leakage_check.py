"""Labels permuted within sites and within subjects, and one scan under two names."""

from dataclasses import replace

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Recipe
from prima_features.probes.evaluation import EvaluationPlan, evaluate
from prima_features.probes.evaluation.leakage import check_leakage
from prima_features.probes.evaluation.permuted import permuted_rows
from prima_features.probes.evaluation.sizes import sample_size_of
from prima_features.probes.evaluation.splits import Scheme
from prima_features.probes.tasks import Task

TINY = Scheme(outer_folds=3, inner_folds=2)
LOGISTIC = Recipe("logistic", {"C": (1e-2,)}, inner_folds=2)
RIDGE = Recipe("ridge", {"alphas": (1e2, 1e1)}, inner_folds=2)


def test_what_comes_from_the_sites_is_left_within_sites(make_cohort, binary):
    cohort = make_cohort(binary, 120, signal=0.0, sites=("a", "b"), site_shift=2.0, confounding=0.8).samples
    found = check_leakage(cohort, LOGISTIC, TINY, 0.5, 9)
    within = found.shuffled["site"]
    assert within.observed > 0.7
    assert within.share > 0.6
    assert any("comes from the sites" in text for text in found.warnings)


def test_what_comes_from_the_image_is_lost_within_sites(make_cohort, binary, number):
    for task, recipe, chance in ((binary, LOGISTIC, 0.5), (number, RIDGE, 17.5)):
        cohort = make_cohort(task, 120, signal=2.0, sites=("a", "b"), site_shift=2.0).samples
        found = check_leakage(cohort, recipe, TINY, chance, 19)
        assert abs(found.shuffled["site"].share) < 0.2
        assert found.shuffled["site"].p_value == 1 / 20
        assert found.warnings == ()
        assert found.not_possible == {"subject": "no subject has several studies"}


def visits(make_cohort, number, state: float):
    """Two visits of 60 subjects: the target depends on who the subject is and on a state that changes."""
    cohort = make_cohort(number, 60, scans=2, signal=2.0, scan_noise=0.5)
    rng = np.random.default_rng(5)
    change = rng.normal(size=120)
    X = np.column_stack([cohort.X, state * change])
    frame = cohort.frame.assign(target=cohort.frame["target"] + 15 * change)
    return replace(cohort, X=X, frame=frame).samples


def test_who_the_subject_is_survives_exchanged_labels_and_a_state_does_not(make_cohort, number):
    person = check_leakage(visits(make_cohort, number, 0.0), RIDGE, TINY, 20.0, 9)
    state = check_leakage(visits(make_cohort, number, 1.0), RIDGE, TINY, 20.0, 9)
    assert person.shuffled["subject"].share > 0.8
    assert any("who the subject is" in text for text in person.warnings)
    assert state.shuffled["subject"].share < person.shuffled["subject"].share - 0.2
    assert state.shuffled["subject"].p_value == 1 / 10
    assert state.not_possible == {"site": "fewer than two sites are known"}


def test_labels_stay_within_their_sites_and_subjects_with_as_many_scans_at_each(make_cohort, number):
    samples = make_cohort(number, 40, scans=3, sites=("a", "b", "c")).samples
    rng = np.random.default_rng(1)
    travelling = samples.frame.assign(site=rng.choice(["a", "b", ""], len(samples)))
    samples = replace(samples, frame=travelling)
    order = permuted_rows(samples, rng, samples.sites)
    assert sorted(order) == list(range(len(samples)))
    assert (samples.sites[order] == samples.sites).all()
    groups = samples.groups
    for name in np.unique(groups):
        assert len(set(groups[order[groups == name]])) == 1


def test_labels_that_a_subject_or_a_site_always_has_cannot_be_permuted(make_cohort, binary):
    cohort = make_cohort(binary, 40, scans=2, sites=("a", "b")).samples
    same = replace(cohort, y=(cohort.sites == "a").astype(np.int64))
    found = check_leakage(same, LOGISTIC, TINY, 0.5, 2)
    assert found.shuffled == {}
    assert found.not_possible == {
        "site": "no two subjects of one site have different labels",
        "subject": "the labels of a subject's studies are all the same",
    }


def test_one_scan_under_two_names_is_found_and_repeats_of_a_subject_are_not(make_cohort, number):
    cohort = make_cohort(number, 30, scans=2, scan_noise=1e-6)
    assert check_leakage(cohort.samples, RIDGE, TINY, 12.0, 1).n_twins == 0
    X = cohort.X.copy()
    X[40] = X[3] + 1e-5
    found = check_leakage(replace(cohort, X=X).samples, RIDGE, TINY, 12.0, 1)
    names = cohort.frame["study"]
    # The other visit of the third row's subject is nearly the same too.
    assert (names[3], names[40]) in found.twins
    assert found.n_twins == 2
    assert any("2 pairs of studies of different subjects have" in text for text in found.warnings)


def test_an_evaluation_has_both_and_they_are_in_its_json(make_cohort, binary):
    cohort = make_cohort(binary, 60, sites=("a", "b")).samples
    plan = EvaluationPlan(TINY, 20, leakage_check=True, site_check=False, anticipated_r2=0.3)
    document = evaluate(cohort, LOGISTIC, plan).metrics_json()
    assert document["leakage"]["shuffled"]["site"]["n_permutations"] == 39
    size = document["sample_size"]
    assert (size["n"], size["n_parameters"], size["r2"]) == (60, cohort.X.shape[1], 0.3)
    assert size["needed"] == max(size["criteria"].values())


@pytest.mark.parametrize("r2", [0.0, 1.0, -0.1, float("nan")])
def test_an_anticipated_r2_outside_0_and_1_is_refused(make_cohort, number, r2):
    with pytest.raises(UsageError, match="between 0 and 1"):
        sample_size_of(make_cohort(number, 60).samples, r2)


def test_subjects_are_counted_once_and_other_kinds_have_no_criteria(make_cohort, number):
    assert sample_size_of(make_cohort(number, 60, scans=3).samples, 0.2).n == 60
    ordinal = Task("severity", "", ("0", "1", "2"), scale="ordinal")
    assert sample_size_of(make_cohort(ordinal, 60).samples, 0.2) is None
