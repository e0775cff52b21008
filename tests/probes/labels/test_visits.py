from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels import Joined, LabelRequest, join
from prima_features.probes.labels.cells import MISSING, NO_CLASS, Label
from prima_features.probes.labels.matching import choose
from prima_features.probes.labels.rows import LabelRow, Person
from prima_features.probes.labels.scans import Scan
from prima_features.probes.labels.times import Time, date_formats, to_ordinal, visit_days

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]

_LABELS = {"a": Label("a"), "b": Label("b"), "c": Label(None, NO_CLASS, "c"), "-": Label(None, MISSING)}
_VISITS = ["id,when,x,age", "1,2010-01-01,a,60", "1,2011-01-01,b,61", "2,2010-06-01,a,50"]


def _join(found: Embeddings, labels: Path, dates: Path, **options: object) -> Joined:
    request = LabelRequest(
        (labels,),
        target_column="x",
        date_column="when",
        scan_dates=dates,
        **options,  # type: ignore[arg-type]
    )
    return join(found, request)


def test_the_visit_nearest_the_scan_counts_and_the_age_is_the_scans(studies: Studies, table: Table) -> None:
    dates = table("dates.tsv", ["study\tdate", "sub-1_ses-1\t2010-02-01", "sub-1_ses-2\t2010-12-01"])
    joined = _join(studies("sub-1_ses-1", "sub-1_ses-2"), table("a.csv", _VISITS), dates)
    assert joined.frame["target"].tolist() == ["a", "b"]
    np.testing.assert_allclose(joined.frame["age"], [60 + 31 / 365.25, 61 - 31 / 365.25])
    assert joined.unmatched_labels["id"].tolist() == ["2"]


def test_a_first_visits_label_is_never_taken_for_a_later_scan(studies: Studies, table: Table) -> None:
    dates = table("dates.tsv", ["participant_id\tsession_id\tacq_time", "sub-2\tses-2\t2013-06-01T12:30:00"])
    found = studies("sub-2_ses-2", "sub-2_ses-3", "sub-1")
    table("one.tsv", ["study\tdate", "sub-1\t2010-01-01"])
    dates.write_text(dates.read_text() + "\nsub-1\t\t2010-01-01")
    joined = _join(found, table("a.csv", _VISITS), dates)
    assert joined.frame["study"].tolist() == ["sub-1"]
    reasons = joined.unmatched_studies
    assert reasons["reason"].tolist() == [
        "no label is close enough to the scan in time",
        "labels belong to visits, but the scan's date is unknown",
    ]
    assert reasons["detail"][0] == "the nearest is 1096 days away, the most allowed is 180"
    assert any("--max-days" in warning for warning in joined.warnings)
    wider = _join(found, table("a.csv", _VISITS), dates, max_days=1096)
    assert wider.frame["study"].tolist() == ["sub-2_ses-2", "sub-1"]


def test_midway_between_two_visits_the_earlier_counts_and_it_is_said(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,when,x", "1,2010-01-01,a", "1,2010-01-21,b"])
    dates = table("dates.csv", ["study,date", "sub-1,2010-01-11"])
    joined = _join(studies("sub-1"), labels, dates)
    assert joined.frame["target"].tolist() == ["a"]
    assert any("midway between two visits" in warning for warning in joined.warnings)


def test_two_rows_of_one_day_must_agree(studies: Studies, table: Table) -> None:
    dates = table("dates.csv", ["study,date", "sub-1,2010-01-02"])
    agree = table("a.csv", ["id,when,x", "1,2010-01-01,a", "1,2010-01-01,a"])
    assert _join(studies("sub-1"), agree, dates).frame["target"].tolist() == ["a"]
    differ = table("a.csv", ["id,when,x", "1,2010-01-01,a", "1,2010-01-01,b"])
    with pytest.raises(UsageError, match="1 study matches several label rows that disagree"):
        _join(studies("sub-1"), differ, dates)


def test_a_visit_without_a_label_does_not_hide_its_neighbour(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,when,x", "1,2010-01-10,n/a", "1,2010-02-10,b"])
    joined = _join(studies("sub-1"), labels, table("dates.csv", ["study,date", "sub-1,2010-01-11"]))
    assert joined.frame["target"].tolist() == ["b"]
    assert joined.unmatched_labels["reason"].tolist() == ["the label is missing"]
    assert any("another visit than the nearest, which has none" in warning for warning in joined.warnings)


def test_the_visit_is_chosen_before_it_counts_whether_its_label_is_of_a_class(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,when,x", "1,2010-01-01,CN", "1,2010-05-01,MCI", "2,2010-01-01,CN"])
    dates = table("dates.csv", ["study,date", "sub-1,2010-04-26", "sub-2,2010-04-26"])
    joined = _join(studies("sub-1", "sub-2"), labels, dates, task="dementia")
    assert joined.frame["study"].tolist() == ["sub-2"]
    assert joined.unmatched_studies["reason"].tolist() == ["the label is in none of the classes"]
    assert joined.unmatched_studies["detail"].tolist() == ["the value is 'MCI', which is mci"]
    three = _join(studies("sub-1", "sub-2"), labels, dates, task="dementia", classes=("cn", "mci", "ad"))
    assert three.frame["target"].tolist() == ["mci", "cn"]


def test_a_scan_has_the_label_of_the_nearest_visit_that_has_one_or_none() -> None:
    """In 500 random histories, with ties and several rows per day; `c` is in no class."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        visits = [(int(rng.integers(40)), "abc-"[rng.integers(4)]) for _ in range(rng.integers(1, 7))]
        day = int(rng.integers(40))
        rows = [
            LabelRow(i, ("1",), "", Time(day=float(when)), _LABELS[label], Person())
            for i, (when, label) in enumerate(visits)
        ]
        chosen = choose(rows, Scan(0, "sub-1", "1", "", ("sub-1",), Time(day=float(day)), True), 15)
        known = [((abs(day - when), when > day), label) for when, label in visits if label != "-"]
        nearest = min((place for place, _ in known), default=(99, False))
        read = {label for place, label in known if place == nearest}
        expected = min(read) if nearest[0] <= 15 and len(read) == 1 and read != {"c"} else None
        assert (chosen.row.label.value if chosen.row else None) == expected, (visits, day)


def test_rows_of_a_table_with_dates_count_as_undated_without_one(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,when,x", "1,soon,a", "2,2010-01-01,b", "2,,a"])
    dates = table("dates.csv", ["study,date", "sub-1,2015-01-01", "sub-2,2010-01-02"])
    joined = _join(studies("sub-1", "sub-2"), labels, dates)
    assert joined.frame["target"].tolist() == ["b"]
    assert joined.unmatched_studies["reason"].tolist() == ["no label of the subject has a date"]
    assert any("1 cells of when are not dates (such as 'soon')" in warning for warning in joined.warnings)
    assert any("label rows without a date" in warning for warning in joined.warnings)
    with pytest.raises(UsageError, match=r"no date in when can be read .found, for example, 'soon'"):
        _join(studies("sub-1"), table("b.csv", ["id,when,x", "1,soon,a"]), dates)


def test_a_label_of_the_session_far_from_the_scan_is_reported(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,session,when,x", "1,1,2010-01-01,a"])
    dates = table("dates.csv", ["study,date", "sub-1_ses-1,2014-01-01"])
    joined = _join(studies("sub-1_ses-1"), labels, dates)
    assert joined.frame["target"].tolist() == ["a"]
    assert any("further away than --max-days" in warning for warning in joined.warnings)


def test_a_session_that_is_missing_in_the_table_names_none(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,session,x", "1,n/a,a"])
    assert join(studies("sub-1_ses-1"), LabelRequest((labels,), target_column="x")).frame[
        "target"
    ].tolist() == ["a"]


def test_days_since_entry_are_matched_to_the_day_in_the_session(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,day,x", "1,0,a", "1,400,b"])
    joined = join(studies("sub-1_ses-d0390"), LabelRequest((labels,), target_column="x", date_column="day"))
    assert joined.frame["target"].tolist() == ["b"]


def test_labels_of_sessions_count_for_their_own_only(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["participant_id,session_id,x", "sub-1,ses-01,a", "sub-1,ses-02,b"])
    found = studies("sub-1_ses-1", "sub-1_ses-2", "sub-1_ses-3", "sub-1")
    joined = join(found, LabelRequest((labels,), target_column="x"))
    assert joined.frame["target"].tolist() == ["a", "b"]
    assert joined.unmatched_studies["reason"].unique().tolist() == ["no label for the scan's session"]
    assert joined.unmatched_studies["detail"][0] == "the scan's is 3, labels have ses-01, ses-02"


def test_several_dates_for_one_study_are_refused(studies: Studies, table: Table) -> None:
    dates = table("dates.csv", ["subject,date", "1,2010-01-01", "1,2011-01-01"])
    with pytest.raises(UsageError, match="different dates for the same scan \\(row 2"):
        _join(studies("sub-1_ses-1"), table("a.csv", _VISITS), dates)


def test_a_table_of_scan_dates_must_have_dates(studies: Studies, table: Table) -> None:
    with pytest.raises(UsageError, match="contains no scan dates"):
        _join(studies("sub-1"), table("a.csv", _VISITS), table("dates.csv", ["subject,x", "1,2"]))


def test_dates_that_could_be_read_in_two_ways_are_refused_until_the_format_is_given(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,when,x", "1,03/04/2010,a"])
    dates = table("dates.csv", ["study,date", "sub-1,2010-04-03"])
    with pytest.raises(UsageError, match="--date-format"):
        _join(studies("sub-1"), labels, dates)
    joined = _join(studies("sub-1"), labels, dates, date_format="%d/%m/%Y", max_days=0)
    assert joined.frame["target"].tolist() == ["a"]
    scans = table("scans.csv", ["study,date", "sub-1,03/04/2010"])
    joined = _join(studies("sub-1"), labels, scans, date_format="%d/%m/%Y", max_days=0)
    assert joined.frame["target"].tolist() == ["a"], (
        "the format is that of the scans' dates too, if they are unclear"
    )


def test_a_cohort_whose_visit_columns_are_missing_says_so(studies: Studies, table: Table) -> None:
    labels = table("adni.csv", ["PTID,DX,AGE", "011_S_0002,CN,70", "011_S_0003,Dementia,70"])
    joined = join(
        studies("sub-ADNI011S0002", "sub-ADNI011S0003"),
        LabelRequest((labels,), task="dementia", cohort="adni"),
    )
    assert len(joined.frame) == 2
    assert any("used for all scans of its subject" in warning for warning in joined.warnings)
    assert joined.frame["age"].isna().all(), "an age at the first visit is not that of a scan of unknown date"


def test_dates_come_in_iso_and_either_slashed_order() -> None:
    first = to_ordinal("2006-11-02")
    assert first == to_ordinal("2006-11-02T10:00:00") == to_ordinal("20061102")
    assert first == to_ordinal("11/02/2006", date_formats(["11/02/2006", "05/13/2008"]))
    assert first == to_ordinal("02/11/2006", date_formats(["02/11/2006", "13/05/2008"]))
    assert first == to_ordinal("2.11.2006", date_formats([])) == to_ordinal("02-NOV-2006", date_formats([]))
    assert first == to_ordinal("20060211", date_formats([], "%Y%d%m")), "a format that is given comes first"
    assert to_ordinal("soon") is None


def test_visit_codes_are_months_since_entry() -> None:
    assert visit_days("bl") == visit_days("ses-M000") == visit_days("SC") == 0
    assert visit_days("m06") == visit_days("M006") == pytest.approx(182.6, abs=0.1)
    assert visit_days("uns1") is None
