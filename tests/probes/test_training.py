"""What is refused or said of new studies."""

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes.feature_matrix import FeatureSource
from prima_features.probes.steps.novelty import TrainingRange
from prima_features.probes.training import (
    TrainingSet,
    check_source,
    shared_subjects,
    subject_digest,
    unlike_training,
)

SOURCE = FeatureSource("prima", "main", "ab" * 32)


@pytest.fixture
def trained(make_cohort, number):
    """A training set of 300 subjects with its range."""
    samples = make_cohort(number, 300).samples
    rows = np.arange(300)
    return TrainingSet.of(samples, SOURCE, "ixi"), TrainingRange.fit(samples.X, rows, samples.groups)


def test_features_of_the_same_kind_pass(trained):
    check_source(trained[0], SOURCE, 20)
    check_source(trained[0], FeatureSource("another name", "v2", "ab" * 32), 20)


@pytest.mark.parametrize(
    ("source", "width", "said"),
    [
        (FeatureSource("other", "main", "cd" * 32), 20, "of prima .abababababab., but these are of other"),
        (FeatureSource(), 20, "an unnamed model .without a hash."),
        (
            FeatureSource("prima", "main", "ab" * 32, "series"),
            20,
            "reads features of level study, but these are of level series",
        ),
        (FeatureSource("prima", "main", "ab" * 32, "series", "T1"), 20, "are of level series, series 'T1'"),
        (SOURCE, 21, "reads 20 features per study, but these have 21"),
    ],
)
def test_features_of_another_kind_are_refused(trained, source, width, said):
    with pytest.raises(UsageError, match=said):
        check_source(trained[0], source, width)


def test_studies_of_the_same_population_raise_nothing(trained, make_cohort, number):
    training, near = trained
    flags, said = unlike_training(near, training, make_cohort(number, 200, seed=1).known(age=55).samples)
    assert flags["unlike_training"].mean() < 0.05
    assert set(flags) == {"distance", "unlike_training", "unlike_how", "outside_age_range"}
    assert said == []


def test_another_population_is_said(trained, make_cohort, number):
    training, near = trained
    cohort = make_cohort(number, 50, seed=1)
    shifted = type(cohort)(number, cohort.X + 4, cohort.frame.assign(age=55)).samples
    flags, said = unlike_training(near, training, shifted)
    assert flags["unlike_training"].sum() > 45
    np.testing.assert_array_equal(flags["unlike_training"], (flags["distance"] > 1).astype(int))
    assert len(said) == 2
    assert "studies are unlike the training set (" in said[0] and "norm high in" in said[0]
    assert said[1].startswith(
        "as a whole these studies differ from the training set: their vectors are longer"
    )
    assert set(flags["unlike_how"][flags["unlike_training"] == 0]) <= {""}


def test_ages_outside_those_of_training_are_said_and_unknown_ones_are_not(trained, make_cohort, number):
    training, near = trained
    low, high = training.age_range
    ages = np.full(40, 55.0)
    ages[:4] = low - 1, high + 1, low, np.nan
    flags, said = unlike_training(near, training, make_cohort(number, 40, seed=1).known(age=ages).samples)
    assert flags["outside_age_range"][:4].tolist() == [1, 1, 0, 0]
    assert any(
        f"2 of 40 studies are of subjects outside the ages of the training set, {low:.1f} to" in one
        for one in said
    )


def test_ages_are_not_looked_at_where_training_knew_none(make_cohort, number):
    samples = make_cohort(number, 60).known(age=np.nan).samples
    training = TrainingSet.of(samples, SOURCE)
    assert training.age_range is None
    near = TrainingRange.fit(samples.X, np.arange(60), samples.groups)
    assert "outside_age_range" not in unlike_training(near, training, samples)[0]


def test_subjects_and_cohorts_that_come_back_are_said(trained, make_cohort, number):
    training, _ = trained
    same = make_cohort(number, 30, scans=2).samples
    found = shared_subjects(training, same, "openbhb")
    assert any("openbhb contains scans of ixi under other ids" in one for one in found)
    assert any("30 subjects have ids that are also in the training set" in one for one in found)
    others = make_cohort(number, 30).known(subject=[f"patient{i}" for i in range(30)]).samples
    assert shared_subjects(training, others, "camcan") == []
    assert any("the same cohort" in one for one in shared_subjects(training, others, "ixi"))


def test_rows_that_came_without_ids_are_nobodys(make_cohort, number):
    cohort = make_cohort(number, 30)
    nameless = type(cohort)(number, cohort.X, cohort.frame[["target"]]).samples
    training = TrainingSet.of(nameless, SOURCE)
    assert training.subject_digests == ()
    assert training.n_subjects == 30
    assert shared_subjects(training, nameless, "") == []


def test_a_summary_names_nobody(trained):
    training = trained[0]
    assert "sub-" not in str(training)
    assert training.sexes.keys() == {"F", "M"}
    assert subject_digest("sub-001") == subject_digest("001") in training.subject_digests
