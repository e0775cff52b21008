"""The HTML report of a large cohort has a bounded number of rows, and says so."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.embedding.report import arrangement, tables, write_report
from prima_features.embedding.resume.parts import PartsFolder

SHOWN = ["sub-0000", "sub-0001", "sub-0005", "sub-0007", "sub-0008", "sub-0011", "sub-0055"]


def block(text: str, name: str) -> dict:
    after = text.partition(f'<script type="application/json" id="{name}">')[2]
    return json.loads(after.partition("</script>")[0])


def column(data: dict, table: str, name: str) -> list:
    found = next(one for one in data["tables"][table] if one["name"] == name)
    return [found["texts"][code] for code in found["codes"]]


def test_outliers_near_duplicates_and_incomplete_studies_are_shown_first(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make()
    monkeypatch.setattr(tables, "MOST_STUDIES", len(SHOWN))
    text = write_report(output, [PartsFolder.of(output).folder]).read_text()
    data = block(text, "data")
    assert column(data, "studies", "id") == SHOWN
    assert list(dict.fromkeys(column(data, "series", "study"))) == SHOWN
    assert set(block(text, "pictures")) == set(SHOWN)
    assert len(data["points"]) == len(SHOWN) and not data["complete"]
    plain = re.sub(r"\s+", " ", text)
    assert "7 of 58 studies, since more would make the page slow" in plain
    assert "7 of 58 studies are drawn" in plain


def test_the_rows_shown_are_those_of_the_whole_table(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make(with_parts=False)
    whole = block(write_report(output).read_text(), "data")
    assert whole["complete"] and len(whole["points"]) == 58
    rows = [column(whole, "studies", "id").index(one) for one in SHOWN]
    monkeypatch.setattr(tables, "MOST_STUDIES", len(SHOWN))
    monkeypatch.setattr(tables, "MOST_SERIES", 4)
    data = block(write_report(output).read_text(), "data")
    assert data["points"] == [whole["points"][row] for row in rows]
    for name in ("nearest", "flags", "description"):
        expected = column(whole, "studies", name)
        assert column(data, "studies", name) == [expected[row] for row in rows]
    for one, other in zip(data["tables"]["studies"], whole["tables"]["studies"], strict=True):
        if one["kind"] == "number":
            assert one["values"] == [other["values"][row] for row in rows]
    assert column(data, "series", "name") == column(whole, "series", "name")[:4]


def test_a_page_says_that_not_all_pairs_were_compared(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make(with_parts=False)
    assert "drawn at random" not in write_report(output).read_text()
    monkeypatch.setattr(arrangement, "MOST_COMPARED", 50)
    monkeypatch.setattr("prima_features.embedding.report.page.MOST_COMPARED", 50)
    assert "Each study was compared with 50 studies drawn at random" in write_report(output).read_text()
