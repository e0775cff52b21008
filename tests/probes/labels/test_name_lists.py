"""One column whose cells list names becomes one label per name, in every way in which such lists are written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, join
from prima_features.probes.labels.cells import LabelColumn
from prima_features.probes.labels.name_lists import by_names

STUDIES = [f"sub-{i:02d}" for i in range(1, 41)]
WRITERS = {
    "semicolons": "; ".join,
    "bars": "|".join,
    "JSON": json.dumps,
    "Python": repr,
    "trailing separator": lambda names: "".join(f"{name};" for name in names) or "none",
    "upper case": lambda names: " ; ".join(names).upper() or "none",
}


def column(*cells):
    return LabelColumn.read("dx", cells, ())


@given(
    st.lists(st.lists(st.sampled_from(["stroke", "glioma", "pineal cyst", "a, b"]), unique=True), min_size=1)
)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_each_way_of_writing_a_list_gives_the_labels_that_were_listed(write, lists):
    lists = [["stroke", "glioma", "pineal cyst", "a, b"], *lists]
    names, rows, notes = by_names(column(*(write(one) if one else "[]" for one in lists)))
    assert [name.lower() for name in names] == ["a, b", "glioma", "pineal cyst", "stroke"]
    assert notes == ()
    for own, row in zip(lists, rows, strict=True):
        assert {name.lower() for name, value in zip(names, row, strict=True) if value} == set(own)


def test_a_blank_cell_is_unknown_and_an_empty_list_is_none_of_the_labels():
    names, rows, notes = by_names(column("a;b", "", "n/a", ";", "[]", "None", "b"))
    assert names == ("a", "b")
    assert rows == [(1, 1), (None, None), (None, None), (None, None), (0, 0), (0, 0), (0, 1)]
    assert len(notes) == 1
    assert notes[0].startswith("3 blank cells of dx count as unknown")
    assert "write [] where none is present" in notes[0]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("1", "0", "1"), "no cell of dx lists several names: separate names with ; or |"),
        (("a, b", "a", "b"), "a comma does not separate"),
        (("a;b", "[1, 2]"), r"'\[1, 2\]', which is not a list of names"),
        (("a;b", "[a, b]"), "not a list of names"),
        (("a;b", '["a", "b"'), "not a list of names"),
        (("a;b", "[" * 100_000), "not a list of names"),
        (("a;b", "['a'" + " " * 50_000 + "x"), "not a list of names"),
    ],
)
def test_cells_that_list_no_names_are_refused_with_what_to_write(cells, reason):
    with pytest.raises(UsageError, match=reason):
        by_names(column(*cells))


def lines():
    yield "id,dx"
    for i in range(1, 41):
        own = ["Stroke"] * (i % 2 == 0) + ["glioma"] * (i % 3 == 0) + ["cyst"] * (i == 5)
        yield f"{i:02d},{'; '.join(own) or ('' if i == 1 else '[]')}"


def asked(path, **more):
    return LabelRequest((path,), task="findings", label_columns=("dx",), **more)


def test_a_column_of_lists_is_joined_as_a_column_for_each_name_would_be(studies, table):
    path = table("t.csv", list(lines()))
    joined = join(studies(*STUDIES), asked(path))
    assert joined.labels == ("glioma", "Stroke")
    assert joined.frame["target"].tolist()[:5] == ["0,1", "1,0", "0,1", "0,0", "1,1"]
    assert joined.unmatched_studies["study"].tolist() == ["sub-01"]
    assert any("1 blank cell of dx counts as unknown" in one for one in joined.warnings)
    assert any("1 label is left out" in one and "cyst" in one for one in joined.warnings)


def test_names_can_be_chosen_and_those_of_a_probe_are_kept_in_its_order(studies, table):
    path = table("t.csv", list(lines()))
    file = studies(*STUDIES)
    joined = join(file, asked(path, classes=("stroke", "glioma")))
    assert joined.labels == ("stroke", "glioma")
    assert any("1 name in dx is not among the labels: cyst" in one for one in joined.warnings)
    with pytest.raises(
        UsageError, match="--classes names abscess, but no cell of dx lists this: found cyst, glioma"
    ):
        join(file, asked(path, classes=("stroke", "abscess")))
    as_trained = join(file, asked(path, classes=("glioma", "abscess"), all_labels=True))
    assert as_trained.labels == ("glioma", "abscess")
    assert {text[-1] for text in as_trained.frame["target"]} == {"0"}
    assert any("no cell of dx has abscess: taken as absent" in one for one in as_trained.warnings)


def test_a_column_of_free_text_names_few_of_its_rare_labels(studies, table):
    rows = [f"{i:02d},{'a;' * (i % 2)}{'b;' * (i % 3 == 0)}word {i}" for i in range(1, 41)]
    joined = join(studies(*STUDIES), asked(table("t.csv", ["id,dx", *rows])))
    assert joined.labels == ("a", "b")
    note = next(one for one in joined.warnings if "40 labels are left out" in one)
    assert note.endswith("and 30 more")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"positive": ("glioma",)}, "--positive is for label columns of yes and no"),
        (
            {"label_columns": ("dx", "id"), "classes": ("glioma",)},
            "--classes chooses names of one label column",
        ),
    ],
)
def test_options_of_the_other_kind_of_columns_are_refused(studies, table, more, reason):
    path = table("t.csv", list(lines()))
    with pytest.raises(UsageError, match=reason):
        join(
            studies(*STUDIES), LabelRequest((path,), **{"task": "findings", "label_columns": ("dx",)} | more)
        )
