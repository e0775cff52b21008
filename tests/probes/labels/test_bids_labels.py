from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, join

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]


@pytest.fixture
def dataset(table: Table) -> Path:
    """Two subjects, one of two sessions."""
    folder = table(
        "ds/participants.tsv",
        ["participant_id\tage\tsex\tgroup", "sub-01\t34\tF\tpatient", "sub-02\t89+\tM\tcontrol"],
    ).parent
    table(
        "ds/sub-01/sub-01_sessions.tsv",
        ["session_id\tacq_time\tpain", "ses-1\t2010-01-05T10:00:00\t3", "ses-2\t2012-01-05T10:00:00\t7"],
    )
    table("ds/sub-02/sub-02_sessions.tsv", ["session_id\tacq_time\tpain", "ses-1\t2011-01-05T10:00:00\tn/a"])
    table("ds/phenotype/iq.tsv", ["participant_id\tfiq", "sub-01\t101", "sub-02\t95"])
    table(
        "ds/phenotype/visits.tsv",
        ["participant_id\texam_date\tmood", "sub-01\t2012-01-20\tlow", "sub-01\t2010-01-01\thigh"],
    )
    return folder


def test_participants_tsv_is_enough_where_it_has_the_column(studies: Studies, dataset: Path) -> None:
    joined = join(
        studies("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-9"),
        LabelRequest((dataset,), target_column="group"),
    )
    assert joined.frame["target"].tolist() == ["patient", "patient", "control"]
    assert joined.frame["age"].tolist() == [34, 34, 89]
    assert joined.frame["group"].tolist() == ["01", "01", "02"]
    assert any(
        "2 scans of 1 subject are of several sessions and share a label row" in w for w in joined.warnings
    )


def test_a_column_of_the_sessions_is_matched_by_session(studies: Studies, dataset: Path) -> None:
    found = studies("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
    joined = join(found, LabelRequest((dataset,), target_column="pain", kind="number"))
    assert joined.frame["target"].tolist() == [3, 7]
    assert joined.frame["sex"].tolist() == ["F", "F"]
    assert joined.unmatched_studies["reason"].tolist() == ["the label is missing"]


def test_a_column_of_a_phenotype_table_is_found(studies: Studies, dataset: Path) -> None:
    joined = join(studies("sub-01", "sub-02"), LabelRequest((dataset,), target_column="fiq", kind="number"))
    assert joined.frame["target"].tolist() == [101, 95]
    assert joined.frame["sex"].tolist() == ["F", "M"]


def test_a_phenotype_with_dates_is_matched_to_the_sessions_acquisition_times(
    studies: Studies, dataset: Path
) -> None:
    request = LabelRequest((dataset,), target_column="mood", date_column="exam_date")
    joined = join(studies("sub-01_ses-1", "sub-01_ses-2"), request)
    assert joined.frame["target"].tolist() == ["high", "low"]
    assert joined.frame["sex"].tolist() == ["F", "F"]


def test_a_folder_without_tables_is_refused(studies: Studies, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    with pytest.raises(UsageError, match="contains no label table"):
        join(studies("sub-01"), LabelRequest((tmp_path / "void",), target_column="x"))


def test_tables_that_share_no_id_are_refused(studies: Studies, table: Table) -> None:
    tables = (table("a.csv", ["id,x", "1,a"]), table("b.csv", ["id,age", "P1,30"]))
    with pytest.raises(UsageError, match=r"b\.csv and the first label table have no id in common"):
        join(studies("sub-1"), LabelRequest(tables, target_column="x"))


def test_a_subject_whom_the_table_of_sessions_lacks_keeps_the_label_of_the_first(
    studies: Studies, table: Table
) -> None:
    tables = (table("a.csv", ["id,x", "1,a", "2,b"]), table("b.csv", ["id,session,y", "1,s1,8", "1,s2,9"]))
    joined = join(studies("sub-1_ses-s2", "sub-2_ses-s1"), LabelRequest(tables, target_column="x"))
    assert joined.frame["target"].tolist() == ["a", "b"]
    by_session = join(studies("sub-1_ses-s2"), LabelRequest(tables, target_column="y", kind="number"))
    assert by_session.frame["target"].tolist() == [9]


def test_two_tables_of_several_visits_need_a_visit_in_common(studies: Studies, table: Table) -> None:
    tables = (table("a.csv", ["id,x", "1,a", "1,b"]), table("b.csv", ["id,y", "1,a", "1,b"]))
    with pytest.raises(UsageError, match="no column of visits"):
        join(studies("sub-1"), LabelRequest(tables, target_column="x"))


@pytest.mark.parametrize("name", ["synthetic", "ds006", "genetics_ukbb"])
def test_public_bids_examples_give_their_ages(studies: Studies, scans: Path, name: str) -> None:
    folder = scans / "bids" / name
    subjects = sorted(path.name for path in folder.glob("sub-*"))
    joined = join(studies(*subjects), LabelRequest((folder,), task="brain-age"))
    assert joined.frame["study"].tolist() == subjects
    assert joined.frame["age"].between(15, 90).all()
    assert set(joined.frame["sex"]) == {"F", "M"}


def test_a_sessions_own_value_replaces_the_subjects(studies: Studies, table: Table) -> None:
    folder = table(
        "ds/participants.tsv", ["participant_id\tage\tsex", "sub-01\t70\tF", "sub-02\t60\tM", "sub-03\t50\tF"]
    ).parent
    table("ds/sub-01/sub-01_sessions.tsv", ["session_id\tage", "ses-1\t70", "ses-2\t74"])
    table("ds/sub-02/sub-02_sessions.tsv", ["session_id\tage", "ses-2\t63"])
    joined = join(
        studies("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-2", "sub-03"),
        LabelRequest((folder,), task="brain-age"),
    )
    assert joined.frame["target"].tolist() == [70, 74, 63, 50]
    assert joined.frame["sex"].tolist() == ["F", "F", "M", "F"]
    assert any("the values of sessions.tsv are used" in warning for warning in joined.warnings)


def test_codes_mean_what_the_description_of_the_table_says(studies: Studies, table: Table) -> None:
    folder = table("ds/participants.tsv", ["participant_id\tdx\thc", "sub-01\t0\t0", "sub-02\t1\t1"]).parent
    table(
        "ds/participants.json",
        [
            '{"dx": {"Levels": {"0": "ASD", "1": {"Description": "control"}}},',
            '"hc": {"Levels": {"0": "patient", "1": "HC"}}}',
        ],
    )
    found = studies("sub-01", "sub-02")
    joined = join(found, LabelRequest((folder,), task="autism", target_column="dx", control_column="hc"))
    assert joined.frame["target"].tolist() == ["autism", "control"]
    assert joined.frame["control"].tolist() == [0, 1]
    assert any(
        "dx is read according to its description: 0 is ASD, 1 is control" in w for w in joined.warnings
    )


def test_codes_with_a_description_that_no_class_has_are_refused(studies: Studies, table: Table) -> None:
    path = table("t.tsv", ["participant_id\tdx", "sub-01\t0", "sub-02\t1"])
    table("t.json", ['{"dx": {"Levels": {"0": "case group", "1": "comparison group"}}}'])
    with pytest.raises(UsageError, match=r"unclear for values of dx such as 0 \(case group\)"):
        join(studies("sub-01", "sub-02"), LabelRequest((path,), task="autism", target_column="dx"))


def test_a_description_that_cannot_be_read_is_said(studies: Studies, table: Table) -> None:
    path = table("t.tsv", ["participant_id\tdx", "sub-01\t0", "sub-02\t1"])
    table("t.json", ['{"dx": '])
    joined = join(studies("sub-01", "sub-02"), LabelRequest((path,), task="autism", target_column="dx"))
    assert any("t.json next to the labels could not be read" in warning for warning in joined.warnings)


def test_ages_at_visits_are_read_from_sessions_for_targets_of_the_subject(
    tmp_path: Path, studies: Studies
) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\tdead\nsub-1\tyes\nsub-2\tno\n")
    rows = ["participant_id\tsession_id\tage", "sub-1\tses-1\t60", "sub-1\tses-2\t62", "sub-2\tses-1\t50"]
    (tmp_path / "sessions.tsv").write_text("\n".join(rows) + "\n")
    found = studies("sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1")
    frame = join(found, LabelRequest((tmp_path,), target_column="dead")).frame
    assert frame["target"].tolist() == ["yes", "yes", "no"]
    assert frame["age"].tolist() == [60, 62, 50]
