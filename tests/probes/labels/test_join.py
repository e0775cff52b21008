import csv
import io
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, describe, join
from prima_features.probes.labels.results import COLUMNS

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]


def test_a_plain_table_joins_by_subject_with_absent_columns_empty(studies: Studies, table: Table) -> None:
    labels = table("labels.csv", ["subject,score", "01,1.5", "02,2.5", "03,3.5"])
    joined = join(
        studies("sub-01_ses-a", "sub-02"), LabelRequest((labels,), target_column="score", kind="number")
    )
    assert tuple(joined.frame.columns) == COLUMNS
    assert joined.frame["target"].tolist() == [1.5, 2.5]
    assert joined.frame["study"].tolist() == ["sub-01_ses-a", "sub-02"]
    assert joined.frame["session"].tolist() == ["a", ""]
    assert joined.frame["group"].tolist() == ["01", "02"]
    for column in ("site", "sex", "scanner", "field_strength", "split"):
        assert joined.frame[column].tolist() == ["", ""]
    for column in ("age", "icv", "control"):
        assert joined.frame[column].isna().all()
    assert joined.unmatched_labels["id"].tolist() == ["03"]
    assert joined.unmatched_labels["reason"].tolist() == ["no study has the label's id"]


def test_leading_zeros_are_forgiven_unless_they_tell_subjects_apart(studies: Studies, table: Table) -> None:
    found = studies("sub-001", "sub-010")
    request = LabelRequest((table("a.csv", ["id,x", "1,a", "10,b"]),), target_column="x")
    assert join(found, request).frame["target"].tolist() == ["a", "b"]
    torn = LabelRequest((table("b.csv", ["id,x", "1,a", "01,b", "010,c"]),), target_column="x")
    assert join(found, torn).frame["study"].tolist() == ["sub-010"]


def test_a_path_that_happens_to_hold_an_id_is_not_matched_without_a_cohort(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,x", "1,a", "s2,b"])
    joined = join(
        studies("sub-s1<s1/1/t1.nii.gz", "sub-s2<s2/1/t1.nii.gz"), LabelRequest((labels,), target_column="x")
    )
    assert joined.frame["study"].tolist() == ["sub-s2"]


def test_rows_that_agree_count_once_and_what_they_disagree_about_is_left_empty(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,dx,age,sex,site", "1,AD,70,F,a", "1,AD,72,F,", "1,AD,70,,a", "2,CN,60,M,a"])
    joined = join(studies("sub-1", "sub-2"), LabelRequest((labels,), task="dementia", target_column="dx"))
    assert joined.frame["target"].tolist() == ["ad", "cn"]
    np.testing.assert_array_equal(joined.frame["age"], [np.nan, 60])
    assert joined.frame["sex"].tolist() == ["F", "M"]
    assert joined.frame["site"].tolist() == ["a", "a"]


def test_rows_that_disagree_are_refused_by_name(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,dx", "1,AD", "1,CN", "2,CN"])
    with pytest.raises(
        UsageError, match=r"study sub-1_ses-a has the label rows 1 with ad and cn.*--session-column"
    ):
        join(
            studies("sub-1_ses-a", "sub-1_ses-b"),
            LabelRequest((labels,), task="dementia", target_column="dx"),
        )


def test_an_empty_join_shows_both_sides_and_the_column_that_would_match(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,scan,x", "P1,sub-01,a", "P2,sub-02,b", "P3,sub-03,a"])
    with pytest.raises(UsageError) as error:
        join(studies("sub-01", "sub-02"), LabelRequest((labels,), target_column="x"))
    message = str(error.value)
    assert "studies are named sub-01, sub-02; labels P1, P2, P3" in message
    assert message.endswith("the column scan contains the ids of 2 of them: try --id-column scan")
    assert (
        len(
            join(
                studies("sub-01", "sub-02"), LabelRequest((labels,), id_column="scan", target_column="x")
            ).frame
        )
        == 2
    )


def test_an_empty_join_of_dicom_studies_points_to_the_file_of_ids(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,x", "P1,a"])
    with pytest.raises(UsageError, match=r"\.ids\.tsv"):
        join(studies("sub-8f2c01_ses-77ab"), LabelRequest((labels,), target_column="x"))


def test_dicom_studies_are_joined_by_patient_id_which_stays_out_of_the_result(
    studies: Studies, table: Table
) -> None:
    table(
        "dicom.ids.tsv",
        [
            "study\tpatient_id\tstudy_instance_uid\tfolder\tkey",
            "sub-8f2c01_ses-77ab\tDOE-17\t1.2.3\tscans/a\t00",
            "sub-8f2c01_ses-99cd\tDOE-17\t1.2.4\tscans/b\t00",
        ],
    )
    found = studies("sub-8f2c01_ses-77ab", "sub-8f2c01_ses-99cd", name="dicom.h5")
    labels = table("a.csv", ["id,x,age", "DOE-17,a,44", "DOE-18,b,50"])
    joined = join(found, LabelRequest((labels,), target_column="x"))
    assert joined.frame["target"].tolist() == ["a", "a"]
    assert joined.frame["group"].tolist() == ["8f2c01", "8f2c01"]
    assert "DOE" not in joined.frame.to_csv()


@pytest.mark.parametrize("column", ["StudyInstanceUID", "study_instance_uid", "study_id"])
def test_dicom_studies_are_joined_by_their_uid(studies: Studies, table: Table, column: str) -> None:
    uids = [f"1.2.826.0.1.3680043.10.1561.{n}" for n in (11, 12, 13)]
    known = [
        f"sub-8f2c01_ses-77ab\tDOE-17\t{uids[0]}\tscans/a\t00",
        f"sub-8f2c01_ses-99cd\tDOE-17\t{uids[1]}\tscans/b\t00",
        f"sub-9a\tDOE-18\t{uids[2]}\tscans/c\t00",
    ]
    table("dicom.ids.tsv", ["study\tpatient_id\tstudy_instance_uid\tfolder\tkey", *known])
    found = studies("sub-8f2c01_ses-77ab", "sub-8f2c01_ses-99cd", "sub-9a", name="dicom.h5")
    cells = [f"{uid},{x}" for uid, x in zip(uids, "aba", strict=True)]
    labels = table("a.csv", [f"{column},x", *cells])
    joined = join(found, LabelRequest((labels,), target_column="x"))
    assert joined.frame["target"].tolist() == ["a", "b", "a"]
    assert joined.frame["group"].tolist() == ["8f2c01", "8f2c01", "9a"]
    assert "1561" not in joined.frame.to_csv()


def test_a_short_uid_is_no_id(studies: Studies, table: Table) -> None:
    table("d.ids.tsv", ["study\tpatient_id\tstudy_instance_uid\tfolder\tkey", "sub-8f\tP-1\t1.2\ta\t00"])
    labels = table("a.csv", ["id,x", "12,a", "P-1,b"])
    joined = join(studies("sub-8f", name="d.h5"), LabelRequest((labels,), target_column="x"))
    assert joined.frame["target"].tolist() == ["b"]


def test_a_group_column_keeps_families_and_repeated_scans_on_one_side(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,x,fam", "1,a,F1", "2,b,F1", "3,a,", "4,b,n/a"])
    found = studies("sub-1_ses-1", "sub-1_ses-2", "sub-2", "sub-3", "sub-4")
    joined = join(found, LabelRequest((labels,), target_column="x", group_column="fam"))
    assert joined.frame["group"].tolist() == ["1", "1", "1", "3", "4"]


def test_labels_that_name_studies_group_by_subject(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,x", "sub-1_ses-1,a", "sub-1_ses-2,b", "sub-2_ses-1,a"])
    joined = join(
        studies("sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1"), LabelRequest((labels,), target_column="x")
    )
    assert joined.frame["target"].tolist() == ["a", "b", "a"]
    assert joined.frame["group"].tolist() == ["1", "1", "2"]


def test_groups_that_share_a_member_are_one(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,x,fam", "sub-1_ses-1,a,F1", "sub-1_ses-2,b,F2", "sub-2,a,F2", "sub-3,b,F3"])
    found = studies("sub-2", "sub-1_ses-1", "sub-1_ses-2", "sub-3")
    joined = join(found, LabelRequest((labels,), target_column="x", group_column="fam"))
    assert joined.frame["group"].tolist() == ["2", "2", "2", "3"]


def test_the_columns_that_a_user_names_take_the_presets_place(studies: Studies, table: Table) -> None:
    labels = table(
        "abide.csv",
        [
            "SUB_ID,anon,DX_GROUP,diag,AGE_AT_SCAN,years,SEX,SITE_ID,scanner_site",
            "50002,0050003,1,2,10,20,1,A,B",
        ],
    )
    request = LabelRequest(
        (labels,),
        task="autism",
        cohort="abide1",
        id_column="anon",
        target_column="diag",
        positive=("2",),
        age_column="years",
        site_column="scanner_site",
    )
    extra = table("abide.csv", [labels.read_text(), "50004,0050004,1,1,10,30,2,A,B"])
    joined = join(
        studies("sub-0050003", "sub-0050004"), LabelRequest(**(vars(request) | {"labels": (extra,)}))
    )
    assert joined.frame["target"].tolist() == ["autism", "control"]
    assert joined.frame["age"].tolist() == [20, 30]
    assert joined.frame["site"].tolist() == ["B", "B"]
    assert joined.frame["sex"].tolist() == ["M", "F"], "what was not named is the preset's"


def test_a_named_column_that_is_not_there_is_refused_with_near_names(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,diagnosis", "1,AD"])
    with pytest.raises(
        UsageError, match=r"no column 'diagnose' \(--target-column\): expected one such as diagnosis"
    ):
        join(studies("sub-1"), LabelRequest((labels,), target_column="diagnose"))


def test_a_table_without_ids_is_refused(studies: Studies, table: Table) -> None:
    with pytest.raises(UsageError, match="has no column of ids"):
        join(studies("sub-1"), LabelRequest((table("a.csv", ["x,y", "1,2"]),), target_column="y"))


def test_controls_can_be_told_by_a_column(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,age,group", "1,30,patient", "2,40,control", "3,50,n/a"])
    found = studies("sub-1", "sub-2", "sub-3")
    joined = join(found, LabelRequest((labels,), task="brain-age", control_column="group"))
    np.testing.assert_array_equal(joined.frame["control"], [0, 1, np.nan])
    coded = LabelRequest((labels,), task="brain-age", control_column="group", control_values=("patient",))
    np.testing.assert_array_equal(join(found, coded).frame["control"], [1, 0, np.nan])


def test_brain_age_needs_a_column_of_ages(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,years", "1,30"])
    with pytest.raises(UsageError, match="no column age"):
        join(studies("sub-1"), LabelRequest((labels,), task="brain-age"))
    joined = join(studies("sub-1"), LabelRequest((labels,), task="brain-age", target_column="years"))
    assert joined.frame[["target", "age"]].iloc[0].tolist() == [30, 30]


def test_a_request_without_a_label_says_what_to_name(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,age", "1,30"])
    with pytest.raises(UsageError, match="the label column of autism is unknown"):
        join(studies("sub-1"), LabelRequest((labels,), task="autism"))
    with pytest.raises(UsageError, match="unknown task 'autsim'"):
        join(studies("sub-1"), LabelRequest((labels,), task="autsim"))


def test_an_embeddings_file_without_studies_is_refused(studies: Studies, table: Table) -> None:
    with pytest.raises(UsageError, match="contains no studies"):
        join(studies(), LabelRequest((table("a.csv", ["id,x", "1,a"]),), target_column="x"))


@pytest.mark.parametrize(
    ("names", "rows", "matched"),
    [
        (["sub-001", "sub-01"], ["1,a"], []),
        (["sub-001", "sub-01"], ["01,a"], ["sub-01"]),
        (["sub-111"], ["1-11,a", "11-1,b"], []),
        (["sub-111"], ["1-11,a", "11-1,a"], ["sub-111"]),
        (["sub-A1"], ["A1,a", "A-1,b"], []),
        (["sub-50"], ["50.0,a"], ["sub-50"]),
        (["sub-0050"], ["50.00,a"], ["sub-0050"]),
    ],
)
def test_an_id_that_fits_several_subjects_gives_no_label(
    studies: Studies, table: Table, names: list[str], rows: list[str], matched: list[str]
) -> None:
    labels = table("a.csv", ["id,x", "other,a", *rows])
    joined = join(studies("sub-other", *names), LabelRequest((labels,), target_column="x"))
    assert joined.frame["study"].tolist() == ["sub-other", *matched]
    is_said = any("fits several subjects" in warning for warning in joined.warnings)
    assert is_said == (len(matched) < len(names))


def test_a_patient_id_that_is_spelled_out_decides_between_ids_that_are_nearly_the_same(
    studies: Studies, table: Table
) -> None:
    table("d.ids.tsv", ["study\tpatient_id\tstudy_instance_uid\tfolder\tkey", "sub-8f\t1-11\t1.2\ta\t00"])
    labels = table("a.csv", ["id,x", "1-11,a", "11-1,b"])
    joined = join(studies("sub-8f", name="d.h5"), LabelRequest((labels,), target_column="x"))
    assert joined.frame["target"].tolist() == ["a"]


def test_without_a_cohort_all_studies_are_matched_by_one_column(studies: Studies, table: Table) -> None:
    found, target = studies("sub-1", "sub-2", "sub-3"), {"target_column": "x"}
    both = table("a.csv", ["subject,id,x", "1,2,a", "9,1,b", "8,3,c"])
    with pytest.raises(UsageError, match="subject and id both contain ids of the studies"):
        join(found, LabelRequest((both,), **target))
    named = join(found, LabelRequest((both,), **target, id_column="id"))
    assert named.frame["target"].tolist() == ["b", "a", "c"]
    later = join(found, LabelRequest((table("b.csv", ["subject,id,x", "P,3,a", "Q,1,b"]),), **target))
    assert later.frame["target"].tolist() == ["b", "a"]
    assert any("ids are taken from the column id" in warning for warning in later.warnings)
    with pytest.raises(UsageError, match="the column id only numbers the rows, and subject contains no id"):
        join(found, LabelRequest((table("c.csv", ["subject,id,x", "P,1,a", "Q,2,b", "R,3,c"]),), **target))


@pytest.mark.parametrize("column", ["Subject ID", "patient", "PTID", "src_subject_id"])
def test_ids_of_scans_are_grouped_by_the_person_that_another_column_names(
    studies: Studies, table: Table, column: str
) -> None:
    rows = [f"P{i},OAS2_{i:04d}_MR{k},{'ab'[i % 2]}" for i in range(4) for k in (1, 2)]
    labels = table("a.csv", [f"{column},MRI ID,x", *rows])
    found = studies(*(f"sub-OAS2{i:04d}MR{k}" for i in range(4) for k in (1, 2)))
    joined = join(found, LabelRequest((labels,), target_column="x", id_column="MRI ID"))
    assert joined.frame["target"].tolist() == ["a", "a", "b", "b"] * 2
    assert joined.frame["subject"].tolist() == joined.frame["group"].tolist()
    assert joined.frame["subject"].nunique() == 4
    assert any(
        f"the column {column} identifies the subject: 8 scans of 4 subjects" in text
        for text in joined.warnings
    )


def test_ids_that_differ_in_the_visits_number_only_are_of_one_person(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["scan,x", *(f"P{i}_V{k},{'ab'[i % 2]}" for i in range(4) for k in (1, 2))])
    found = studies(*(f"sub-P{i}V{k}" for i in range(4) for k in (1, 2)))
    joined = join(found, LabelRequest((labels,), target_column="x", id_column="scan"))
    assert joined.frame["subject"].nunique() == joined.frame["group"].nunique() == 4


def test_a_flag_or_a_site_is_no_column_of_persons(studies: Studies, table: Table) -> None:
    labels = table(
        "a.csv", ["scan,patient,x", *(f"NYU1_{i},{'yn'[i % 2]}{i % 2},{'ab'[i % 2]}" for i in range(48))]
    )
    found = studies(*(f"sub-NYU1{i}" for i in range(48)))
    joined = join(found, LabelRequest((labels,), target_column="x", id_column="scan"))
    assert joined.frame["group"].nunique() == 48


def test_rows_and_studies_without_a_match_are_counted_without_their_ids(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,x,age", "DOE-1,a,30", "2,b,40", ",a,50", "DOE-4,b,60"])
    found = studies("sub-2", "sub-3")
    expected = {
        "2 rows of the labels match no study (rows 1, 4 below the header): no study has the label's id",
        "1 row of the labels matches no study (row 3 below the header): the row has no id",
    }
    joined = join(found, LabelRequest((labels,), target_column="x"))
    assert expected | {"1 of 2 studies is left out: no label has the study's id"} <= set(joined.warnings)
    assert expected | {"1 of 2 studies has no row in the tables: no label has the study's id"} <= set(
        describe(found, LabelRequest((labels,)))[1]
    )


def test_rows_that_agree_on_the_label_and_not_on_the_age_say_so(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,x,age,sex", "1,a,30,F", "1,a,31,F", "2,b,40,M"])
    joined = join(studies("sub-1", "sub-2"), LabelRequest((labels,), target_column="x"))
    assert "1 study has label rows that disagree about age, which is left empty there" in joined.warnings


def test_tables_that_disagree_about_a_common_column_say_whose_values_count(
    studies: Studies, table: Table
) -> None:
    first = table("a.csv", ["id,x,age", "0051,a,30", "0052,b,n/a"])
    second = table("b.csv", ["id,age,site", "51,31,A", "52,40,B"])
    joined = join(studies("sub-0051", "sub-0052"), LabelRequest((first, second), target_column="x"))
    assert joined.frame["site"].tolist() == ["A", "B"], "leading zeros that one table lost are no other ids"
    assert (
        "b.csv and the first table disagree about age in 1 row: the values of the first table are used"
        in (joined.warnings)
    )


@pytest.mark.parametrize(
    ("column", "cells", "ages"),
    [
        ("age", ["030Y", "018M", "365 days"], [30, 1.5, 365 / 365.25]),
        ("age_months", ["120", "240", "30 y"], [10, 20, 30]),
        ("AgeInDays", ["3652.5", "7305", "n/a"], [10, 20, None]),
        ("age", ["30", "-5", "999"], [30, None, None]),
        ("age", ["30", "0", "45"], [30, None, 45]),
        ("age", ["0", "0.5", "2"], [0, 0.5, 2]),
    ],
)
def test_ages_are_years_whatever_their_unit_and_impossible_ones_are_missing(
    studies: Studies, table: Table, column: str, cells: list[str], ages: list[float | None]
) -> None:
    labels = table("a.csv", [f"id,{column},x", *(f"{i},{cell},a" for i, cell in enumerate(cells))])
    request = LabelRequest((labels,), target_column="x", age_column=column)
    found = join(studies("sub-0", "sub-1", "sub-2"), request).frame["age"]
    np.testing.assert_allclose(found, [np.nan if age is None else age for age in ages])


def test_ages_that_are_no_years_are_refused(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,age", "1,360", "2,480"])
    with pytest.raises(UsageError, match="age has ages such as 360, which cannot be years"):
        join(studies("sub-1"), LabelRequest((labels,), task="brain-age"))


@pytest.mark.parametrize("name", ["participant id", "Participant_ID", "PARTICIPANT-ID", "ParticipantID"])
def test_names_of_columns_are_found_whatever_their_spaces_and_case(
    studies: Studies, table: Table, name: str
) -> None:
    labels = table("a.csv", [f"{name},My  Label", "sub-1,a"])
    assert len(join(studies("sub-1"), LabelRequest((labels,), target_column="my_label")).frame) == 1


def test_a_patient_id_that_two_patients_share_gives_no_label(studies: Studies, table: Table) -> None:
    rows = ("sub-8f\tANON\t1.2\ta\t00", "sub-9e\tANON\t1.3\tb\t00", "sub-7d\tP7\t1.4\tc\t00")
    table("d.ids.tsv", ["study\tpatient_id\tstudy_instance_uid\tfolder\tkey", *rows])
    labels = table("a.csv", ["id,x", "ANON,a", "P7,b"])
    joined = join(
        studies("sub-8f", "sub-9e", "sub-7d", name="d.h5"), LabelRequest((labels,), target_column="x")
    )
    assert joined.frame["study"].tolist() == ["sub-7d"]
    assert any("2 studies are left out because their id fits several subjects" in w for w in joined.warnings)


def test_a_table_of_identities_that_is_none_is_named(studies: Studies, table: Table) -> None:
    table("d.ids.tsv", ["a\tb", "1\t2"])
    with pytest.raises(UsageError, match=r"d\.ids\.tsv has no column folder"):
        join(
            studies("sub-1", name="d.h5"), LabelRequest((table("a.csv", ["id,x", "1,a"]),), target_column="x")
        )


@pytest.mark.parametrize(
    ("cohort", "header", "rows", "study"),
    [
        (
            "soop",
            "participant_id,acuteischaemicstroke",
            ["sub-9,1", "sub-2019,1"],
            "sub-7<2019/sub-7/anat/x.nii.gz",
        ),
        ("abide1", "SUB_ID,DX_GROUP", ["50009,1", "50002,1"], "sub-a50002bcdef0"),
        (
            "upenn-gbm",
            "ID,IDH1",
            ["UPENN-GBM-00009_11,Mutated", "UPENN-GBM-00001_11,Mutated"],
            "UPENN-GBM-00001_21",
        ),
    ],
)
def test_an_id_that_a_cohorts_table_lacks_is_not_looked_for_elsewhere(
    studies: Studies, table: Table, cohort: str, header: str, rows: list[str], study: str
) -> None:
    task = {"soop": "stroke", "abide1": "autism", "upenn-gbm": "glioma-idh"}[cohort]
    known = {"soop": "sub-9", "abide1": "sub-0050009", "upenn-gbm": "UPENN-GBM-00009_11"}[cohort]
    labels = table("a.csv", [header, *rows])
    joined = join(studies(known, study), LabelRequest((labels,), task=task, cohort=cohort))
    assert joined.frame["study"].tolist() == [known]
    assert joined.unmatched_studies["reason"].tolist() == ["no label has the study's id"]


def test_a_table_gives_the_same_labels_however_it_was_written(studies: Studies, tmp_path: Path) -> None:
    """60 tables of random encoding, separator, line end, quoting, order, spelling of ids and codes of age."""
    rng = np.random.default_rng(0)
    names = [f"{i:04d}é" if i % 3 else f"{i:04d}" for i in range(7, 15)]
    true = {f"sub-{name}": 20.5 + 3 * i for i, name in enumerate(names)}
    found = studies(*true)

    def pick(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    for _ in range(60):
        separator, end = pick(",", ";", "\t", "|"), pick("\n", "\r", "\r\n")
        encoding = pick("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")
        spelled = pick(
            str,
            str.upper,
            lambda s: s.removeprefix("sub-"),
            lambda s: f" {s}\u00a0",
            lambda s: s[4:].lstrip("0"),
        )
        form = "NFC" if encoding == "cp1252" else pick("NFC", "NFD")
        note = pick("", f"a{separator}b", 'said "no"', f"two{end}lines", "\u00a0")
        written_age = pick(str, lambda a: f"{a}".replace(".", ",")) if separator != "," else str
        rows = [
            [unicodedata.normalize(form, spelled(name)), written_age(age), note] for name, age in true.items()
        ]
        rng.shuffle(rows)
        text = io.StringIO(newline="")
        quoting = pick(csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(
            [
                [pick("participant_id", "Participant ID", " SUBJECT "), pick("age", "Age ", "AGE"), "note"],
                *rows,
            ]
        )
        path = tmp_path / f"t{pick('.csv', '.tsv', '.txt')}"
        path.write_bytes(text.getvalue().encode(encoding))
        joined = join(found, LabelRequest((path,), task="brain-age"))
        assert dict(zip(joined.frame["study"], joined.frame["target"], strict=True)) == true, text.getvalue()


def test_two_columns_of_ids_that_contradict_each_other_are_reported(studies: Studies, table: Table) -> None:
    found, request = studies("sub-1", "sub-2", "sub-4"), {"target_column": "x"}
    labels = table("a.csv", ["participant_id,subject,x", "1,2,a", "2,4,b", "4,1,c"])
    joined = join(found, LabelRequest((labels,), **request))
    assert joined.frame["target"].tolist() == ["a", "b", "c"]
    assert any("in different rows: participant_id is used" in warning for warning in joined.warnings)
    numbered = table("b.csv", ["participant_id,id,x", "2,1,a", "1,2,b", "4,3,c"])
    assert not any(
        "different rows" in text for text in join(found, LabelRequest((numbered,), **request)).warnings
    )


def test_ids_with_a_prefix_are_refused_with_an_example(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,x", "ABIDE_0051,a"])
    with pytest.raises(
        UsageError, match="ABIDE_0051 contains 0051: write the ids of the table like those of the studies"
    ):
        join(studies("sub-0051"), LabelRequest((labels,), target_column="x"))


@pytest.mark.parametrize(
    "rows",
    [["DOE-17,a", "DOE-17,b"], ["DOE-99,a"], ["DOE-17,a", "DOE-99,b"], ["DOE-17,a", "DOE17,b", "P-2,a"]],
)
def test_no_patient_id_of_a_label_table_is_in_what_a_join_says(
    studies: Studies, table: Table, rows: list[str]
) -> None:
    known = ["sub-8f\tDOE-17\t1.2\tscans/a\t00", "sub-9f\tP-2\t1.3\tscans/b\t00"]
    table("d.ids.tsv", ["study\tpatient_id\tstudy_instance_uid\tfolder\tkey", *known])
    found = studies("sub-8f", "sub-9f", name="d.h5")
    try:
        joined = join(found, LabelRequest((table("a.csv", ["id,x", *rows]),), target_column="x"))
        said = f"{joined.warnings} {joined.unmatched_studies.to_csv()} {joined.unmatched_labels.to_csv()}"
    except UsageError as error:
        said = str(error)
    assert not re.search(r"DOE|P-2|scans/", said, re.IGNORECASE)


@pytest.mark.parametrize(
    ("target", "left"), [("Sex", {"site", "age"}), ("site", {"sex", "age"}), ("age", {"sex", "site"})]
)
def test_a_covariate_that_is_the_target_is_in_no_baseline(
    studies: Studies, table: Table, target: str, left: set[str]
) -> None:
    labels = table(
        "a.csv", ["id,Sex,gender,site,age", "1,F,F,a,30", "2,M,M,b,40", "3,F,F,b,50", "4,M,M,a,60"]
    )
    found = studies("sub-1", "sub-2", "sub-3", "sub-4")
    frame = join(found, LabelRequest((labels,), target_column=target)).frame
    known = {
        name
        for name, empty in (("sex", ""), ("site", ""), ("age", None))
        if (frame[name].notna() if empty is None else frame[name] != empty).any()
    }
    assert known == left
    every = join(found, LabelRequest((labels,), task="brain-age")).frame
    assert (every["sex"] != "").all() and (every["site"] != "").all() and every["age"].notna().all()


def test_without_any_label_the_reason_of_studies_with_rows_comes_first(
    studies: Studies, table: Table
) -> None:
    labels = table("a.csv", ["id,x", "1,2020-01-01", "2,2021-01-01"])
    found = studies(*(f"sub-{i}" for i in range(1, 9)))
    with pytest.raises(UsageError) as error:
        join(found, LabelRequest((labels,), target_column="x", kind="number"))
    said = str(error.value)
    assert "for 2 of 8, " in said and "2020-01-01" in said
    assert "for 6, no label has the study's id" in said and "write the ids" not in said
