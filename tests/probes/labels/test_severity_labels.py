"""Ordered classes and counts are read from tables; values without an order, and counts that are none, are refused."""

from __future__ import annotations

import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, join, task_of

NAMES = [f"sub-{i:02d}" for i in range(1, 9)]


def request(path, **more):
    return LabelRequest((path,), target_column="S", **more)


def test_integer_codes_are_classes_in_their_order(studies, table):
    path = table("t.csv", ["id,S", "01,10", "02,2", "03,0", "04,2"])
    joined = join(studies(*NAMES[:4]), request(path, kind="ordinal"))
    assert joined.classes == ("0", "2", "10")
    assert joined.frame["target"].tolist() == ["10", "2", "0", "2"]
    task = task_of(joined)
    assert (task.kind, task.classes) == ("ordinal", ("0", "2", "10"))


def test_words_need_their_order(studies, table):
    path = table("t.csv", ["id,S", "01,severe", "02,mild", "03,none", "04,mild"])
    file = studies(*NAMES[:4])
    with pytest.raises(UsageError, match=r"order of the values of S is unknown .* with --classes"):
        join(file, request(path, kind="ordinal"))
    joined = join(file, request(path, kind="ordinal", classes=("none", "mild", "severe")))
    assert task_of(joined).classes == ("none", "mild", "severe")


def test_many_numbers_are_no_ordered_classes(studies, table):
    path = table("t.csv", ["id,S", *(f"{i:02d},{i}" for i in range(1, 13))])
    with pytest.raises(UsageError, match="12 different numbers, too many for ordered classes"):
        join(studies(*NAMES), request(path, kind="ordinal"))


@pytest.mark.parametrize("value", ["-3", "2.5"])
def test_counts_that_are_negative_or_not_whole_are_refused(studies, table, value):
    path = table("t.csv", ["id,S", "01,4", "02,0", "03,1", f"04,{value}"])
    with pytest.raises(UsageError, match=f"whole numbers from 0, but S has {value}: use --kind number"):
        join(studies(*NAMES[:4]), request(path, kind="count"))


def test_counts_are_numbers(studies, table):
    path = table("t.csv", ["id,S", "01,4", "02,0", "03,n/a", "04,11"])
    joined = join(studies(*NAMES[:4]), request(path, kind="count"))
    assert joined.frame["target"].tolist() == [4, 0, 11]
    assert task_of(joined).kind == "count"


def test_soop_has_the_rankin_scale_and_the_nihss(studies, table):
    path = table(
        "participants.tsv",
        [
            "participant_id\tsex\tage\tacuteischaemicstroke\tnihss\tgs_rankin_6isdeath",
            *(f"sub-{i}\tM\t60\t1\t{3 * i}\t{i - 1}" for i in range(1, 8)),
            "sub-8\tF\tn/a\t1\tn/a\tn/a",
        ],
    )
    file = studies(*(f"sub-{i}" for i in range(1, 9)))
    joined = join(file, LabelRequest((path,), task="mrs", cohort="soop"))
    assert joined.frame["target"].tolist() == list("0123456")
    assert (task_of(joined).kind, task_of(joined).classes) == ("ordinal", tuple("0123456"))
    joined = join(file, LabelRequest((path,), task="nihss", cohort="soop"))
    assert joined.frame["target"].tolist() == [3, 6, 9, 12, 15, 18, 21]
    assert task_of(joined).kind == "count"


def test_cdr_joins_its_highest_grades_unless_they_are_asked_for(studies, table):
    path = table(
        "oasis_cross-sectional.csv",
        [
            "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV",
            *(
                f"OAS1_000{i}_MR1,F,R,74,2,3,29,{cdr},1344"
                for i, cdr in enumerate(("0", "0.5", "1", "2", ""), start=1)
            ),
        ],
    )
    file = studies(*(f"sub-OAS1000{i}_ses-MR1" for i in range(1, 6)))
    joined = join(file, LabelRequest((path,), task="cdr", cohort="oasis1"))
    assert joined.frame["target"].tolist() == ["0", "0.5", "1-3", "1-3"]
    asked = LabelRequest((path,), task="cdr", cohort="oasis1", classes=("0", "0.5", "1", "2"))
    assert task_of(join(file, asked)).classes == ("0", "0.5", "1", "2")


def test_the_classes_of_other_tasks_can_be_put_in_order(studies, table):
    path = table("t.csv", ["id,S", "01,cn", "02,mci", "03,ad", "04,cn"])
    joined = join(
        studies(*NAMES[:4]),
        request(path, task="dementia", classes=("cn", "mci", "ad"), kind="ordinal"),
    )
    assert task_of(joined).kind == "ordinal"
