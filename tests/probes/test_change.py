"""Changes between visits: one linear combination of a subject's studies, for vectors and targets alike."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prima_features.errors import UsageError
from prima_features.probes import tasks
from prima_features.probes.change import Change, contrasts
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.samples import samples

TASK = tasks.change("volume")


def visits(layout: dict[str, list[float]], **columns: object) -> pd.DataFrame:
    """A study for each time in years of each subject, in the order given."""
    rows = [
        {"subject": name, "session": f"{k + 1:02d}", "study": f"{name}_ses-{k + 1:02d}", "visit_years": year}
        for name, years in layout.items()
        for k, year in enumerate(years)
    ]
    table = pd.DataFrame(rows).assign(
        row=range(len(rows)), group=lambda one: one["subject"], visit_years_from="date", age=60.0, sex="F",
        site="", scanner="", field_strength="", target=0.0,
    )  # fmt: skip
    return table.assign(**columns)


def linear(frame: pd.DataFrame, slope: dict[str, float], width: int = 3) -> np.ndarray:
    """(N, width) vectors that change by a subject's slope per year from a start of its own."""
    rng = np.random.default_rng(0)
    start = {name: rng.normal(size=width) for name in slope}
    each = zip(frame["subject"], frame["visit_years"], strict=True)
    return np.array([start[name] + slope[name] * year for name, year in each])


@pytest.mark.parametrize("kind", ["first-last", "consecutive", "slope"])
def test_an_annual_change_does_not_depend_on_the_interval(kind: str) -> None:
    frame = visits({"a": [0, 1, 3], "b": [5, 5.5, 9], "c": [0, 2]})
    slope = {"a": 1.0, "b": -2.0, "c": 0.5}
    found = contrasts(frame, Change(visits=kind))
    made = found.frame(frame.assign(target=linear(frame, slope)[:, 0]))
    expected = made["subject"].map(slope).to_numpy()
    np.testing.assert_allclose(found.features(linear(frame, slope)), np.tile(expected[:, None], 3), rtol=1e-6)
    np.testing.assert_allclose(made["target"], expected, rtol=1e-9)
    assert len(made) == (5 if kind == "consecutive" else 3)


def test_a_total_change_is_the_last_minus_the_first() -> None:
    frame = visits({"a": [2, 4]}, target=[10.0, 13.0])
    found = contrasts(frame, Change(per_year=False))
    made = found.frame(frame)
    assert made["target"].tolist() == [3] and made["interval_years"].tolist() == [2]
    assert made["initial_value"].tolist() == [10] and made["study"].tolist() == ["a_ses-01 to a_ses-02"]


def test_the_slope_is_that_of_least_squares() -> None:
    frame = visits({"a": [0, 0.7, 2, 3.1]}, target=[1.0, 4.0, 2.0, 8.0])
    found = contrasts(frame, Change(visits="slope")).frame(frame)
    assert found["target"][0] == pytest.approx(np.polyfit(frame["visit_years"], frame["target"], 1)[0])


def test_the_baseline_is_the_vector_of_the_first_visit() -> None:
    frame = visits({"a": [3, 1]})  # the second study is the earlier one
    X = np.array([[5.0, 1.0], [1.0, 1.0]])
    found = contrasts(frame, Change("baseline+delta")).features(X)
    np.testing.assert_allclose(found, [[1, 1, 2, 0]])


def test_covariates_are_those_of_the_first_visit_and_those_that_differ_are_empty() -> None:
    frame = visits({"a": [0, 2], "b": [0, 2]}, age=[60.0, 62.0, 70.0, 72.0], site=["x", "x", "x", "y"])
    found = contrasts(frame, Change())
    made = found.frame(frame)
    assert made["age"].tolist() == [60, 70] and made["site"].tolist() == ["x", ""]
    assert any("the site differs between the visits" in one for one in found.warnings)


def said(frame: pd.DataFrame, change: Change | None = None, **more: object) -> str:
    return "\n".join(contrasts(frame, change or Change(), **more).warnings)  # type: ignore[arg-type]


def test_every_study_that_is_not_used_is_counted_with_its_reason() -> None:
    frame = visits(
        {
            "pair": [0, 1],
            "single": [0],
            "twice": [0, 0, 2],
            "untimed": [0, np.nan, 3],
            "close": [0, 0.1],
            "alone": [1, np.nan],
            "middle": [0, 1, 2],
        }
    )
    found = contrasts(frame, Change())
    text = "\n".join(found.warnings)
    for part in (
        "1 subject has one study and is left out: a change needs two",
        "2 studies are left out because the time of the visit is unknown",
        "1 study, such as twice_ses-02, has the same time as another study of the subject",
        "1 subject has several studies but only one known time",
        "2 studies are left out because the subject's visits are less than 90 days apart (--min-days)",
        "1 study between the first and the last visit is not used",
    ):
        assert part in text, text
    used = len(np.unique(np.concatenate(found.rows)))
    assert used + sum(found.summary.left_out.values()) == len(frame)
    assert found.summary.n_subjects == 4 and found.summary.n_studies == used


def test_sessions_whose_order_contradicts_their_times_are_reported() -> None:
    frame = visits({"a": [3, 1], "b": [0, 1]})
    assert (
        "in 1 of 2 changes, such as that of a_ses-02 and a_ses-01, the sessions are not in the order"
        in said(frame)
    )
    ten = visits({"a": [float(k) for k in range(11)]})
    assert "order of their times" not in said(ten, Change(visits="consecutive"))


def test_visits_of_different_series_are_reported() -> None:
    frame = visits({"a": [0, 1], "b": [0, 1]})
    series = [("FLAIR", "T1w"), ("T1w",), ("T1w",), ("T1w",)]
    assert (
        "in 1 of 2 changes, such as that of a_ses-01 and a_ses-02, the visits have different series"
        in said(frame, series=series)
    )
    assert "different series" not in said(frame, series=[("T1w",)] * 4)


def test_ages_in_whole_years_are_reported() -> None:
    frame = visits({"a": [60, 62], "b": [50, 51]}, visit_years_from="age")
    assert "ages in whole years" in said(frame)
    assert "ages in whole years" not in said(frame.assign(visit_years=frame["visit_years"] * 1.01))


@pytest.mark.parametrize(
    ("layout", "advice"),
    [
        ({"a": [0], "b": [1]}, "a change needs two studies of a subject"),
        ({"a": [np.nan, np.nan]}, "give the times of the visits"),
        ({"a": [60, 60, 60]}, "the ages or dates are the same at all visits"),
        ({"a": [0, 0.1], "b": [0, 0.1]}, "lower --min-days, which is 90"),
    ],
)
def test_a_cohort_without_changes_is_refused_with_advice(layout: dict[str, list[float]], advice: str) -> None:
    with pytest.raises(UsageError, match=f"no change can be computed from .*{advice}"):
        contrasts(visits(layout), Change())


@pytest.mark.parametrize(
    "wrong",
    [{"visits": "slope", "per_year": False}, {"min_days": 0}, {"features": "all"}, {"min_days": np.inf}],
)
def test_contradictory_changes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Change(**wrong)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.floats(0, 20), st.just(np.nan)), min_size=1, max_size=5),
        min_size=12,
        max_size=30,
    ),
    st.sampled_from(["first-last", "consecutive", "slope"]),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_no_subject_or_family_is_on_both_sides_of_a_fold(
    layout: list[list[float]], kind: str, seed: int, shuffle: object
) -> None:
    frame = visits({f"s{i}": years for i, years in enumerate(layout)})
    family = {f"s{i}": f"f{i // 2}" if i % 3 else f"own{i}" for i in range(len(layout))}
    rng = np.random.default_rng(seed)
    frame["target"] = rng.normal(size=len(frame))
    frame["group"] = frame["subject"].map(family)
    order = rng.permutation(len(frame))
    frame = frame.iloc[order].reset_index(drop=True)
    try:
        found = contrasts(frame, Change(visits=kind))  # type: ignore[arg-type]
    except UsageError:
        return
    # A sample is of one subject, all its weights add up to 0, and no study is in samples of two subjects.
    names = frame["subject"].to_numpy(dtype=str)
    for rows, weights in zip(found.rows, found.weights, strict=True):
        assert len(set(names[rows].tolist())) == 1 and abs(weights.sum()) < 1e-9 * np.abs(weights).max()
        assert (np.diff(frame["visit_years"].to_numpy()[rows]) > 0).all()
    used = len(np.unique(np.concatenate(found.rows)))
    assert used + sum(found.summary.left_out.values()) == len(frame)
    made = found.frame(frame)
    if made["group"].nunique() < 6:
        return
    given_ = samples(found.features(rng.normal(size=(len(frame), 4))), made, TASK)
    splits = draw(given_, Scheme("nested", 3, 2, 2, seed))
    for fold in splits.folds:
        for column in ("subject", "group"):
            sides = [set(made[column].iloc[rows]) for rows in (fold.train, fold.test)]
            assert not sides[0] & sides[1]
        inner = made["group"].iloc[fold.train].to_numpy()
        assert all(len(set(fold.inner[inner == name].tolist())) == 1 for name in set(inner))


def test_the_words_name_what_a_vector_is() -> None:
    assert Change().words == "the annual change from the first to the last visit"
    assert re.search(
        "first visit and the change between consecutive", Change("baseline+delta", "consecutive", False).words
    )
