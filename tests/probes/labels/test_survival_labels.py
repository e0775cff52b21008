"""Times to an event are read with their censoring; what has no time is counted and said."""

from __future__ import annotations

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, join, summarize, task_of
from prima_features.probes.labels.survival import default_horizons

NAMES = [f"sub-{i:02d}" for i in range(1, 9)]


def request(path, **more):
    known = {"time_column": "T", "event_column": "E", "time_unit": "days"}
    return LabelRequest((path,), task="survival", **known | more)


def test_events_are_positive_and_censored_times_negative(studies, table):
    path = table("t.csv", ["id,T,E", "01,100,1", "02,50,0", "03,30.5,dead", "04,20,alive"])
    joined = join(studies(*NAMES[:4]), request(path))
    assert joined.frame["target"].tolist() == [100, -50, 30.5, -20]
    assert summarize(joined).classes == {"event": 2, "censored": 2}
    assert summarize(joined).target_range == (20, pytest.approx(50.125), 100)
    assert task_of(joined).unit == "days"


def test_times_that_are_missing_0_or_negative_are_counted_and_said(studies, table):
    path = table(
        "t.csv", ["id,T,E", "01,100,1", "02,,0", "03,0,1", "04,-7.5,1", "05,80,", "06,soon,1", "07,60,0"]
    )
    joined = join(studies(*NAMES[:7]), request(path))
    assert joined.frame["study"].tolist() == ["sub-01", "sub-07"]
    reasons = summarize(joined).study_reasons
    assert reasons == {
        "the time is missing": 1,
        "the time is 0": 1,
        "the time is negative": 1,
        "it is unknown whether the event occurred": 1,
        "the time is not a number": 1,
    }
    for reason in reasons:
        assert any(reason in sentence for sentence in joined.warnings)


def test_competing_risks_are_refused_unless_the_event_is_named(studies, table):
    path = table("t.csv", ["id,T,E", "01,100,1", "02,50,0", "03,30,2"])
    file = studies(*NAMES[:3])
    with pytest.raises(UsageError, match="values 0, 1 and 2: competing risks are not supported"):
        join(file, request(path))
    joined = join(file, request(path, event_values=("1",)))
    assert joined.frame["target"].tolist() == [100, -50, -30]
    assert any("competing event" in sentence for sentence in joined.warnings)
    both = join(file, request(path, event_values=("1", "2")))
    assert both.frame["target"].tolist() == [100, -50, 30]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time_unit": ""}, "unit of the times is unknown: give --time-unit days, months or years"),
        ({"event_column": ""}, "name the time with --time-column and the event with --event-column"),
        ({"time_column": "OS"}, "no column 'OS' .--time-column"),
        ({"target_column": "T"}, "--time-column and --event-column, not --target-column"),
        ({"event_values": ("3",)}, "--event-values names 3, but E has only the values 0, 1"),
    ],
)
def test_what_is_not_stated_is_asked_for(studies, table, change, reason):
    path = table("t.csv", ["id,T,E", "01,100,1", "02,50,0"])
    with pytest.raises(UsageError, match=reason):
        join(studies(*NAMES[:2]), request(path, **change))


def test_an_unclear_event_is_refused(studies, table):
    path = table("t.csv", ["id,T,E", "01,100,relapse", "02,50,alive"])
    with pytest.raises(UsageError, match="unclear whether relapse in E means an event"):
        join(studies(*NAMES[:2]), request(path))


def test_upenn_gbm_censors_who_is_alive_at_another_column(studies, table):
    path = table(
        "UPENN-GBM_clinical_info_v2.1.csv",
        [
            "ID,Gender,Age_at_scan_years,Survival_from_surgery_days_UPDATED,Survival_Status,Survival_Censor",
            "UPENN-GBM-00001_11,M,50,500,Deceased,Not Available",
            "UPENN-GBM-00002_11,F,60,Not Available,Alive,900",
            "UPENN-GBM-00003_11,F,61,Not Available,Lost to Follow-up,40",
            "UPENN-GBM-00004_11,F,62,Not Available,Deceased - uncertain date of death,70",
            "UPENN-GBM-00005_11,F,62,Not Available,Deceased,70",
        ],
    )
    file = studies(*(f"UPENN-GBM-0000{i}_11" for i in range(1, 6)))
    joined = join(file, LabelRequest((path,), task="survival", cohort="upenn-gbm"))
    assert joined.frame["target"].tolist() == [500, -900, -40, -70]
    assert summarize(joined).study_reasons == {"the time is missing": 1}


def test_brats_2020_writes_censoring_into_the_time(studies, table):
    path = table(
        "survival_info.csv",
        [
            "Brats20ID,Age,Survival_days,Extent_of_Resection",
            "BraTS20_Training_001,60.5,289,GTR",
            "BraTS20_Training_002,52.3,ALIVE (361 days later),GTR",
        ],
    )
    file = studies("BraTS20_Training_001", "BraTS20_Training_002")
    joined = join(file, LabelRequest((path,), task="survival", cohort="brats2020"))
    assert joined.frame["target"].tolist() == [289, -361]


def test_default_horizons_are_years_with_events_before_and_subjects_after():
    y = np.concatenate([np.linspace(10, 300, 30), -np.linspace(380, 1800, 40)])
    assert default_horizons(y, "days") == (365, 730, 1095)
    assert default_horizons(y / 365 * 12, "months") == (12, 24, 36)
    assert default_horizons(np.linspace(10, 300, 30), "days") == (155,)
    assert default_horizons(-np.ones(5), "days") == ()
