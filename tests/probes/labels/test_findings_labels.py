"""Several label columns: yes and no in any spelling, blanks stay unknown, rare labels are left out by name."""

from __future__ import annotations

import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, join, summarize, task_of

NAMES = [f"sub-{i:02d}" for i in range(1, 31)]


def request(path, *columns, **more):
    return LabelRequest((path,), task="findings", label_columns=columns, **more)


def lines(n=30, extra=lambda i: ""):
    """Columns A (of the even rows), B (of a third, unknown in the first two) and C (of one)."""
    yield "id,site,A,B,C"
    for i in range(1, n + 1):
        b = "" if i <= 2 else "yes" if i % 3 == 0 or i == 7 else "no"
        yield f"{i:02d},{'X' if i % 2 else 'Y'},{int(i % 2 == 0)},{b},{int(i == 5)}{extra(i)}"


def test_columns_of_yes_and_no_become_labels_and_blanks_stay_unknown(studies, table):
    joined = join(studies(*NAMES), request(table("t.csv", list(lines())), "A", "b"))
    assert joined.labels == ("A", "b")
    assert joined.frame["target"].tolist()[:6] == ["0,?", "1,?", "0,1", "1,0", "0,0", "1,1"]
    task = task_of(joined)
    assert (task.name, task.kind, task.labels) == ("findings", "labels", ("A", "b"))
    found = summarize(joined)
    assert found.classes == {"A": 15, "b": 11}
    assert found.by_site.to_dict()["A"] == {"X": 0, "Y": 15}


def test_a_rare_label_is_left_out_by_name_and_studies_that_lose_their_last_label_are_listed(studies, table):
    path = table("t.csv", [*lines(29), "30,X,,,1"])
    joined = join(studies(*NAMES), request(path, "A", "B", "C"))
    assert joined.labels == ("A", "B")
    assert any(
        "1 label is left out, because fewer than 10 subjects have, or lack, C (2 and 28)" in w
        for w in joined.warnings
    )
    assert len(joined.frame) == 29
    assert joined.unmatched_studies["study"].tolist() == ["sub-30"]
    kept = join(studies(*NAMES), request(path, "A", "B", "C", all_labels=True))
    assert kept.labels == ("A", "B", "C")
    with pytest.raises(UsageError, match=r"needs two labels .*or lack, C \(2 and 28\)"):
        join(studies(*NAMES), request(path, "A", "C"))


def test_a_study_without_any_known_label_is_unmatched(studies, table):
    path = table("t.csv", [*lines(29), "30,X,n/a,,0"])
    joined = join(studies(*NAMES), request(path, "A", "B"))
    assert joined.unmatched_studies[["study", "reason"]].to_numpy().tolist() == [
        ["sub-30", "the label is missing"]
    ]


def test_values_that_do_not_say_whether_a_label_is_present_are_refused_or_named(studies, table):
    path = table("t.csv", [*lines(29), "30,X,-1,no,0"])
    file = studies(*NAMES)
    with pytest.raises(UsageError, match="unclear whether -1 in A means that the label is present"):
        join(file, request(path, "A", "B"))
    unknown = join(file, request(path, "A", "B", missing_values=("-1",)))
    assert unknown.frame["target"].iloc[-1] == "?,0"
    present = join(file, request(path, "A", "B", positive=("1", "-1", "yes")))
    assert present.frame["target"].iloc[-1] == "1,0"
    with pytest.raises(UsageError, match="--positive names maybe, but no label column has this value"):
        join(file, request(path, "A", "B", positive=("maybe",)))


@pytest.mark.parametrize(
    ("columns", "more", "reason"),
    [
        (("A",), {}, "no cell of A lists several names"),
        (("A", "A"), {}, "two or more different columns"),
        (("A", "nothing"), {}, r"no column 'nothing' \(--label-columns\)"),
        (("A", "B"), {"target_column": "A"}, "not from --target-column"),
        (("A", "B"), {"task": "custom", "target_column": "A"}, "is for the task findings"),
    ],
)
def test_columns_that_do_not_fit_are_refused(studies, table, columns, more, reason):
    asked = LabelRequest(
        (table("t.csv", list(lines())),), **{"task": "findings", "label_columns": columns} | more
    )
    with pytest.raises(UsageError, match=reason):
        join(studies(*NAMES), asked)
