"""The time of each study: one axis for all studies of a person, the best that is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.probes.labels import LabelRequest, join
from prima_features.probes.labels.times import DAYS_PER_YEAR, Time
from prima_features.probes.labels.visit_times import per_year, visit_years
from prima_features.studies.labels import Pseudonyms

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]


def test_the_first_axis_that_most_studies_of_a_person_have_is_used() -> None:
    times = [Time(date=100), Time(date=465.25), Time(day=0), Time(visit=30), Time(day=365.25), Time()]
    persons, ages = ["a", "a", "b", "b", "b", "c"], [60, 70, 50, 51, 52, 40]
    years, source = visit_years(persons, times, ages, [nan] * 6)
    assert years[1] - years[0] == pytest.approx(1) and source[:2] == ["date", "date"]
    # Of b only two of three have a day: ages are known for all.
    assert years[2:5] == [50, 51, 52] and source[2:5] == ["age"] * 3
    assert source[5] == "age"


def test_a_column_that_is_named_is_the_only_source() -> None:
    years, source = visit_years(["a", "a"], [Time(date=1), Time(date=2)], [1, 2], [nan, 3.0])
    assert isnan(years[0]) and years[1] == 3 and source == ["", "column"]


@pytest.mark.parametrize(
    ("column", "unit", "expected"),
    [
        ("days", "", DAYS_PER_YEAR),
        ("visit_months", "", 12),
        ("years", "", 1),
        ("t", "", 1),
        ("t", "days", DAYS_PER_YEAR),
    ],
)
def test_the_unit_is_the_one_given_or_that_of_the_name(column: str, unit: str, expected: float) -> None:
    assert per_year(LabelRequest(time_column=column, time_unit=unit)) == pytest.approx(expected)


def joined(embeddings: Embeddings, table: Path, **more: object) -> dict[str, np.ndarray]:
    request = LabelRequest((table,), task="change", target_column="score", **more)  # type: ignore[arg-type]
    frame = join(embeddings, request).frame
    return {name: frame[name].to_numpy() for name in ("study", "visit_years", "visit_years_from", "target")}


def test_days_of_the_scans_are_used_with_labels_by_session(studies: Studies, table: Table) -> None:
    file = studies("sub-1_ses-d0000", "sub-1_ses-d0731")
    rows = ["participant_id\tsession_id\tscore", "sub-1\tses-d0000\t3", "sub-1\tses-d0731\t5"]
    found = joined(file, table("t.tsv", rows))
    assert np.diff(found["visit_years"])[0] == pytest.approx(731 / DAYS_PER_YEAR)
    assert set(found["visit_years_from"]) == {"day"} and found["target"].tolist() == [3, 5]


def test_codes_of_visits_and_ages_at_baseline_are_understood_as_in_adni(
    studies: Studies, table: Table
) -> None:
    file = studies("sub-002S0295_ses-M000", "sub-002S0295_ses-M024")
    rows = ["RID,PTID,VISCODE,AGE,MMSE", "295,002_S_0295,bl,84.8,28", "295,002_S_0295,m24,84.8,25"]
    request = LabelRequest(
        (table("ADNIMERGE.csv", rows),), task="change", target_column="MMSE", cohort="adni"
    )
    frame = join(file, request).frame
    assert np.diff(frame["visit_years"])[0] == pytest.approx(2, abs=0.01)
    assert frame["age"].tolist() == pytest.approx([84.8, 86.8], abs=0.01)


def test_ages_are_used_if_nothing_else_is_known(studies: Studies, table: Table) -> None:
    file = studies("sub-1_ses-1", "sub-1_ses-2")
    rows = ["participant_id\tsession_id\tscore\tage", "sub-1\tses-1\t3\t60.5", "sub-1\tses-2\t5\t62"]
    found = joined(file, table("t.tsv", rows))
    assert np.diff(found["visit_years"])[0] == pytest.approx(1.5) and set(found["visit_years_from"]) == {
        "age"
    }


def test_a_column_of_months_can_be_named(studies: Studies, table: Table) -> None:
    file = studies("sub-1_ses-1", "sub-1_ses-2")
    rows = ["participant_id\tsession_id\tscore\tmonths", "sub-1\tses-1\t3\t0", "sub-1\tses-2\t5\t18"]
    found = joined(file, table("t.tsv", rows), time_column="months")
    assert np.diff(found["visit_years"])[0] == pytest.approx(1.5)
    assert set(found["visit_years_from"]) == {"column"}


def test_studies_from_dicom_take_the_label_nearest_to_their_study_date(
    studies: Studies, table: Table
) -> None:
    names, dates = Pseudonyms(bytes(range(32))), (date(2019, 1, 1), date(2020, 1, 2))
    subject = names.subject("P-1")
    ids = ["study\tpatient_id\tstudy_instance_uid\tfolder\tday\tkey"]
    for i, when in enumerate(dates):
        day = names.day(subject, when)
        ids.append(f"sub-{subject}_ses-{i}\tP-1\t1.2.{i}\tx\t{day}\t{names.key.hex()}")
    table("d.ids.tsv", ids)
    file = studies(f"sub-{subject}_ses-0", f"sub-{subject}_ses-1", name="d.h5")
    labels = table("t.csv", ["id,examdate,score", "P-1,2019-01-10,3", "P-1,2020-01-05,5", "P-1,2022-01-05,9"])
    found = joined(file, labels, date_column="examdate")
    assert found["target"].tolist() == [3, 5]
    assert set(found["visit_years_from"]) == {"date"}
    assert found["visit_years"].tolist() == [0, pytest.approx(366 / DAYS_PER_YEAR)]


def test_times_from_dates_start_at_the_first_visit_so_that_no_table_contains_a_date() -> None:
    times = [Time(date=737791), Time(date=737426), Time(date=None)]
    years, _ = visit_years(["a"] * 3, times, [nan] * 3, [nan] * 3)
    assert years[:2] == [pytest.approx(365 / DAYS_PER_YEAR), 0] and isnan(years[2])
