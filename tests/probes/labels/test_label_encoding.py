from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels import LABEL_TASKS, Joined, LabelRequest, join

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]
Joiner = Callable[..., Joined]


@pytest.fixture
def joined(studies: Studies, table: Table) -> Joiner:
    """Joins studies 0, 1, ... to these values of a column x."""

    def of(*values: str, **options: object) -> Joined:
        labels = table("x.csv", ["id;x", *(f"s{i};{value}" for i, value in enumerate(values))])
        names = [f"sub-s{i}" for i in range(len(values))]
        return join(studies(*names), LabelRequest((labels,), target_column="x", **options))  # type: ignore[arg-type]

    return of


def test_words_that_are_clear_need_no_mapping(joined: Joiner) -> None:
    assert joined("ASD", "TD", "Control", task="autism").frame["target"].tolist() == [
        "autism",
        "control",
        "control",
    ]
    assert joined("CN", "EMCI", "Dementia", task="dementia", classes=("cn", "mci", "ad")).frame[
        "target"
    ].tolist() == ["cn", "mci", "ad"]
    assert joined("0", "1.0", task="stroke").frame["target"].tolist() == ["control", "stroke"]


def test_values_that_are_not_clear_are_refused_rather_than_guessed(joined: Joiner) -> None:
    with pytest.raises(UsageError, match="the class for autism is unclear for values of x such as 2"):
        joined("1", "2", task="autism")


def test_positive_values_make_the_tasks_classes(joined: Joiner) -> None:
    result = joined("1", "2", "", task="autism", positive=("1",))
    assert result.classes == ("control", "autism")
    assert result.frame["target"].tolist() == ["autism", "control"]


def test_positive_values_name_the_classes_of_a_custom_target(joined: Joiner) -> None:
    assert joined("yes", "no", positive=("YES",)).classes == ("no", "yes")
    assert joined("a", "b", "c", "d", positive=("b", "a")).classes == ("other", "a+b")


@pytest.mark.parametrize("positive", [("maybe",), ("yes", "no"), ("yes", "maybe")])
def test_positive_values_that_do_not_split_the_column_are_refused(
    joined: Joiner, positive: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="must name some, but not all"):
        joined("yes", "no", positive=positive)


def test_many_different_numbers_are_a_measurement_and_few_are_classes(joined: Joiner) -> None:
    many = joined(*(f"{i},5" for i in range(12)))
    assert many.classes == ()
    assert many.frame["target"].tolist()[:2] == [0.5, 1.5]
    few = joined("0", "1", "2", "1.0")
    assert few.classes == ("0", "1", "2")
    assert few.frame["target"].tolist() == ["0", "1", "2", "1"]
    assert any("read as classes" in warning for warning in few.warnings)
    assert joined("0", "1", "2", kind="number").frame["target"].tolist() == [0, 1, 2]


def test_a_cell_that_is_no_number_is_left_out_with_a_reason(joined: Joiner) -> None:
    result = joined("1", "high", "n/a", kind="number")
    assert result.unmatched_studies["reason"].tolist() == [
        "the label is not a number",
        "the label is missing",
    ]
    assert result.unmatched_studies["detail"].tolist() == ["the value is 'high'", ""]


def test_classes_asked_for_leave_the_others_out(joined: Joiner) -> None:
    result = joined("a", "b", "c", classes=("b", "a"))
    assert result.classes == ("b", "a")
    assert result.frame["target"].tolist() == ["a", "b"]
    assert result.unmatched_studies["reason"].tolist() == ["the label is in none of the classes"]


def test_a_class_that_the_task_does_not_have_is_refused(joined: Joiner) -> None:
    with pytest.raises(UsageError, match="dementia has no class 'ftd': expected some of ad, cn, mci"):
        joined("CN", "AD", task="dementia", classes=("cn", "ftd"))


def test_every_tasks_words_lead_to_its_classes() -> None:
    for task in LABEL_TASKS.values():
        assert {task.class_of(fine, task.classes) for fine in task.words.values()} >= set(task.classes)


def test_spellings_of_yes_and_no_that_are_mixed_are_one_value_each(joined: Joiner) -> None:
    result = joined("Yes", "TRUE", "1.0", "no", "0", "F")
    assert result.frame["target"].tolist() == ["Yes", "Yes", "Yes", "no", "no", "no"]
    assert any("x mixes spellings" in warning for warning in result.warnings)
    assert joined("Yes", "1", "n", "0", positive=("true",)).frame["target"].tolist() == [
        "Yes",
        "Yes",
        "n",
        "n",
    ]
    assert joined("M", "f", "Female").frame["target"].tolist() == ["M", "f", "f"]
    assert joined("yes", "no", "maybe").classes == ("maybe", "no", "yes"), "not all are words of one kind"


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["20", "30", "25.5", "999", "-9", "-99"], [20, 30, 25.5]),
        (["0", "30", "15", "99", "99.0"], [0, 30, 15]),
        (["-3", "4", "1", "-9"], [-3, 4, 1, -9]),
        (["80", "120", "99"], [80, 120, 99]),
        (["0", "1", "0.5", "-1"], [0, 1, 0.5, -1]),
        (["2", "4", "-1"], [2, 4]),
        (["99", "99"], [99, 99]),
    ],
)
def test_codes_far_outside_the_other_numbers_are_missing(
    joined: Joiner, values: list[str], kept: list[float]
) -> None:
    result = joined(*values, kind="number")
    assert result.frame["target"].tolist() == kept
    assert any("count as missing" in warning for warning in result.warnings) == (len(kept) < len(values))


def test_codes_among_classes_are_missing_and_doubtful_ones_are_named(joined: Joiner) -> None:
    assert joined("1", "2", "9", "2").classes == ("1", "2")
    low = joined("0", "3", "2", "-1", kind="number")
    assert any("1 cells of x contain -1, its only negative value" in warning for warning in low.warnings)
    high = joined("60", "99", "99", "20", kind="number")
    assert any("2 cells of x contain 99, its greatest value" in warning for warning in high.warnings)
    given = joined("60", "99", "99", "20", kind="number", missing_values=("99.0",))
    assert given.frame["target"].tolist() == [60, 20]


def test_a_comma_that_may_separate_thousands_makes_no_number(joined: Joiner) -> None:
    result = joined("1,303", "417", "2,001", kind="number")
    assert result.frame["target"].tolist() == [417]
    assert set(result.unmatched_studies["reason"]) == {"the label is not a number"}
    assert joined("1,303", "41,7", kind="number").frame["target"].tolist() == [1.303, 41.7]
    assert joined("1.303", "41,7", "3.5", kind="number").frame["target"].tolist() == [41.7, 3.5]
    assert joined("1.303", "41.7", kind="number").frame["target"].tolist() == [1.303, 41.7]
    assert joined("0,303", "0,417", kind="number").frame["target"].tolist() == [0.303, 0.417]


def test_a_few_texts_among_numbers_do_not_make_them_classes(joined: Joiner) -> None:
    result = joined(*map(str, range(20, 40)), "high", "89+")
    assert result.classes == ()
    assert result.unmatched_studies["detail"].tolist() == ["the value is 'high'"]
    assert any("written like 89+" in warning for warning in result.warnings)


def test_what_a_class_of_several_values_is_made_of_is_said(joined: Joiner) -> None:
    result = joined("AD", "CN", "FTD", "CN", task="dementia", positive=("AD",))
    assert "the class cn combines these values of x: CN (2), FTD (1)" in result.warnings


def test_what_0_and_1_mean_is_said_and_refused_if_the_columns_name_speaks_against_it(
    studies: Studies, table: Table
) -> None:
    def of(column: str) -> Joined:
        labels = table("a.csv", [f"id,{column}", "1,0", "2,1"])
        return join(
            studies("sub-1", "sub-2"), LabelRequest((labels,), task="glioma-idh", target_column=column)
        )

    told = of("IDH")
    assert told.frame["target"].tolist() == ["wildtype", "mutant"]
    assert "in IDH 0 is taken as wildtype and 1 as mutant" in told.warnings
    for column in ("IDH_wildtype", "IdhWt"):
        with pytest.raises(
            UsageError, match=f"{column} has the values 0 and 1, but its name suggests wildtype"
        ):
            of(column)


@pytest.mark.parametrize(
    ("column", "values"), [("is_control", "10"), ("patient", "01"), ("dx", "12"), ("hc", "yn")]
)
def test_a_column_of_controls_without_a_word_needs_its_values(
    studies: Studies, table: Table, column: str, values: str
) -> None:
    labels = table("a.csv", [f"id,age,{column}", f"1,30,{values[0]}", f"2,40,{values[1]}"])
    request = LabelRequest((labels,), task="brain-age", control_column=column)
    with pytest.raises(UsageError, match="clearly means a control"):
        join(studies("sub-1", "sub-2"), request)
    named = replace(request, control_values=(values[0],))
    assert join(studies("sub-1", "sub-2"), named).frame["control"].tolist() == [1, 0]


def test_values_that_are_asked_for_and_absent_are_refused(joined: Joiner) -> None:
    with pytest.raises(
        UsageError, match=r"--classes names autisme, but x has no such value: found autism, td"
    ):
        joined("autism", "td", classes=("td", "autisme"))
    with pytest.raises(UsageError, match=r"--control-values names HCC, but x has no such value"):
        joined("HC", "PT", control_column="x", control_values=("HC", "HCC"))


def test_a_class_that_no_study_has_is_not_one_of_the_probes(studies: Studies, table: Table) -> None:
    labels = table("x.csv", ["id;x", "s0;a", "s1;b", "other;c"])
    joined = join(studies("sub-s0", "sub-s1"), LabelRequest((labels,), target_column="x"))
    assert joined.classes == ("a", "b")
    assert any("no study has the label c" in warning for warning in joined.warnings)
