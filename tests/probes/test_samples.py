"""Features and labels side by side."""

import numpy as np
import pandas as pd
import pytest

from prima_features.errors import UsageError
from prima_features.probes.samples import samples, unlabelled

X = np.arange(12.0).reshape(4, 3)


def test_what_is_not_known_is_empty_or_nan(number):
    made = samples(X, pd.DataFrame({"target": [1, 2, 3, 4]}), number)
    assert made.sites.tolist() == [""] * 4
    assert np.isnan(made.age).all()
    assert np.isnan(made.covariates(["age", "sex", "icv"])).all()
    assert made.eligible.all()
    assert made.covariates([]).shape == (4, 0)


def test_each_row_without_an_id_is_a_subject_that_no_other_cohort_knows(number):
    made = samples(X, pd.DataFrame({"target": [1, 2, 3, 4]}), number)
    assert len(set(made.groups)) == 4
    assert made.named_subjects == []
    named = samples(X, pd.DataFrame({"target": [1, 2, 3, 4], "study": ["a", "b", "", None]}), number)
    assert named.frame["subject"].tolist() == ["a", "b", "row2", "row3"]
    assert named.named_subjects == ["a", "b"]


@pytest.mark.parametrize(
    "values",
    [
        [3.0, np.nan, "x ", None],
        [np.float32(3), pd.NA, "x", np.nan],
        pd.array([3, None, None, None], dtype="Int64"),
        [3, "", "x", pd.NaT],
    ],
)
def test_texts_come_in_many_types(number, values):
    made = samples(X, pd.DataFrame({"target": [1, 2, 3, 4], "site": values}), number)
    assert made.sites[0] == "3"
    assert made.sites[1] == made.sites[3] == ""


def test_classes_are_numbered_in_the_tasks_order(triple):
    made = samples(X, pd.DataFrame({"target": ["ad", "cn", "mci", "cn"]}), triple)
    assert made.y.tolist() == [2, 0, 1, 0]
    with pytest.raises(UsageError, match="cn, mci, ad, but a target is 'AD'"):
        samples(X, pd.DataFrame({"target": ["AD", "cn", "mci", "cn"]}), triple)
    with pytest.raises(UsageError, match="a target is nan"):
        samples(X, pd.DataFrame({"target": [np.nan, "cn", "mci", "cn"]}), triple)


def test_numbers_must_be_known(number):
    with pytest.raises(UsageError, match="2 have none"):
        samples(X, pd.DataFrame({"target": [1, "n/a", np.inf, 4]}), number)


@pytest.mark.parametrize("make", [samples, unlabelled])
def test_features_must_be_finite_and_as_many_as_the_labels(number, make):
    frame = pd.DataFrame({"target": [1, 2, 3, 4]})
    with pytest.raises(UsageError, match="for each of 4 studies, not shape"):
        make(X[:3], frame, number)
    bad = X.copy()
    bad[1, 1] = np.nan
    with pytest.raises(UsageError, match="finite"):
        make(bad, frame, number)


def test_a_subject_in_two_groups_is_refused(number):
    frame = pd.DataFrame({"target": [1, 2, 3, 4], "subject": list("aabc"), "group": list("xyyz")})
    with pytest.raises(UsageError, match="subject a is in several groups"):
        samples(X, frame, number)


def test_the_age_of_brain_age_is_the_target_and_else_the_column(brain_age, number):
    frame = pd.DataFrame({"target": [20, 30, 40, 50], "age": [1, 2, 3, 4]})
    assert samples(X, frame, brain_age).age.tolist() == [20, 30, 40, 50]
    assert samples(X, frame, number).age.tolist() == [1, 2, 3, 4]
    assert unlabelled(X, frame, brain_age).age.tolist() == [1, 2, 3, 4]


def test_controls_alone_are_eligible_where_the_task_says_so(brain_age, number):
    frame = pd.DataFrame({"target": [20, 30, 40, 50], "control": [1, 0, None, True]})
    assert samples(X, frame, brain_age).eligible.tolist() == [True, False, False, True]
    assert samples(X, frame, number).eligible.all()
    unknown = frame.assign(control=np.nan)
    assert samples(X, unknown, brain_age).eligible.all()


def test_sexes_become_numbers(number):
    made = samples(X, pd.DataFrame({"target": [1, 2, 3, 4], "sex": ["M", "F", "", "other"]}), number)
    np.testing.assert_array_equal(made.covariates(["sex"])[:, 0], [1, 0, np.nan, np.nan])


def test_taking_rows_keeps_them_together(number):
    frame = pd.DataFrame({"target": [1, 2, 3, 4], "study": list("abcd")}, index=[9, 8, 7, 6])
    made = samples(X, frame, number)
    for rows in (np.array([2, 0]), np.array([True, False, True, False])):
        part = made.take(rows)
        assert part.frame["study"].tolist() == np.array(list("abcd"))[rows].tolist()
        np.testing.assert_array_equal(part.X, X[rows])
        np.testing.assert_array_equal(part.y, made.y[rows])
