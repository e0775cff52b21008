"""What is refused or said before anything is computed."""

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes.evaluation import EvaluationPlan, Scheme
from prima_features.probes.evaluation.checks import check

NESTED = Scheme()


def with_cases(cohort, n):
    """The cohort with so many cases."""
    return cohort.known(target=np.where(np.arange(len(cohort.X)) < n, "case", "control"))


def test_fewer_than_five_subjects_of_a_class_are_refused(make_cohort, binary):
    cohort = make_cohort(binary, 60)
    with pytest.raises(UsageError, match="class case has 4 subjects"):
        check(with_cases(cohort, 4).samples, NESTED)
    check(with_cases(cohort, 5).samples, NESTED)


def test_five_scans_of_one_person_are_one_subject(make_cohort, binary):
    with pytest.raises(UsageError, match="class case has 4 subjects"):
        check(with_cases(make_cohort(binary, 40, scans=5), 20).samples, NESTED)


def test_a_class_without_anyone_is_named_before_sites_are_looked_at(make_cohort, binary):
    samples = with_cases(make_cohort(binary, 40, sites=("a", "b")), 0).samples
    with pytest.raises(UsageError, match="class case has 0 subjects"):
        check(samples, NESTED)


def test_small_samples_are_said(make_cohort, binary, number):
    assert any(
        "class case has only 12" in one
        for one in check(with_cases(make_cohort(binary, 80), 12).samples, NESTED)
    )
    assert any("only 49 subjects" in one for one in check(make_cohort(number, 49).samples, NESTED))
    assert not check(make_cohort(number, 50).samples, NESTED)
    assert not check(with_cases(make_cohort(binary, 80), 20).samples, NESTED)


def test_only_those_who_train_count_as_subjects(make_cohort, brain_age):
    samples = make_cohort(brain_age, 90).known(control=(np.arange(90) < 30).astype(int)).samples
    assert any("only 30 subjects" in one for one in check(samples, NESTED))


def test_repeated_scans_and_families_are_said(make_cohort, number):
    cohort = make_cohort(number, 60, scans=2)
    assert any("120 studies are of 60 subjects" in one for one in check(cohort.samples, NESTED))
    family = np.repeat([f"family{i}" for i in range(30)], 4)
    found = check(cohort.known(group=family).samples, NESTED)
    assert any("60 subjects are in 30 groups" in one for one in found)


def test_the_name_of_the_plan_in_version_0_1_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="EvaluationPlan"):
        from prima_features.probes.evaluation import Plan
    assert Plan is EvaluationPlan
