import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels.tables import WARNINGS, read_table
from prima_features.reports import read_reports

Workbook = Callable[[Sequence[Sequence[str | float]]], bytes]


@pytest.fixture
def new_workbook(tmp_path: Path) -> Path:
    path = tmp_path / "labels.xlsx"
    table = {"ID ": [7, None, 8], "age": [26.9, None, 30.0], "when": [datetime(2006, 1, 2), None, None]}
    pd.DataFrame(table).to_excel(path, index=False)
    return path


def test_a_workbook_is_read_as_text_whatever_its_name(new_workbook: Path) -> None:
    table = read_table(new_workbook.rename(new_workbook.with_suffix(".csv")))
    assert table["ID"].tolist() == ["7", "8"]
    assert table["age"].tolist() == ["26.9", "30"]
    assert table["when"].tolist() == ["2006-01-02", ""]


def test_a_workbook_of_the_old_format_is_read_the_same(tmp_path: Path, old_workbook: Workbook) -> None:
    path = tmp_path / "IXI.xls"
    path.write_bytes(old_workbook([["IXI_ID", "AGE "], [2.0, 35.8], [12.0, "n/a"]]))
    assert read_table(path).to_dict("list") == {"IXI_ID": ["2", "12"], "AGE": ["35.8", "n/a"]}


@pytest.mark.parametrize("name", ["openpyxl", "xlrd"])
def test_without_its_reader_a_workbook_names_the_extra(
    tmp_path: Path, name: str, old_workbook: Workbook, new_workbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_workbook
    if name == "xlrd":
        path = tmp_path / "labels.xls"
        path.write_bytes(old_workbook([["a"]]))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"needs {name}: pip install \"prima-features\[tables\]\""):
        read_table(path)


@pytest.mark.parametrize("keep", [8, 300, 1500, 3000])
@pytest.mark.parametrize("old", [True, False])
def test_a_workbook_that_is_cut_off_is_refused(
    tmp_path: Path, keep: int, old: bool, old_workbook: Workbook, new_workbook: Path
) -> None:
    content = old_workbook([["a"]] * 200) if old else new_workbook.read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(content[:keep])
    with pytest.raises(UsageError, match="damaged Excel file"):
        read_table(path)


def test_an_empty_workbook_is_refused(tmp_path: Path, old_workbook: Workbook) -> None:
    path = tmp_path / "empty.xls"
    path.write_bytes(old_workbook([]))
    with pytest.raises(UsageError, match=r"first sheet of .* is empty"):
        read_table(path)


def test_the_first_sheet_is_read_with_a_warning_and_another_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"id": [1], "age": [30]}).to_excel(book, sheet_name="baseline", index=False)
        pd.DataFrame({"id": [1], "age": [33]}).to_excel(book, sheet_name="year 3", index=False)
    table = read_table(path)
    assert table["age"].tolist() == ["30"]
    assert table.attrs[WARNINGS] == (
        "labels.xlsx has several sheets: baseline was read, not year 3 (select another with labels.xlsx#year 3)",
    )
    other = read_table(tmp_path / "labels.xlsx#year 3")
    assert (other["age"].tolist(), other.attrs[WARNINGS]) == (["33"], ())
    with pytest.raises(UsageError, match="has no sheet 'year 4': it has baseline, year 3"):
        read_table(tmp_path / "labels.xlsx#year 4")


def test_rows_beyond_the_stated_size_are_read(new_workbook: Path) -> None:
    path = new_workbook.with_name("stated.xlsx")
    with zipfile.ZipFile(new_workbook) as whole, zipfile.ZipFile(path, "w") as made:
        for name in whole.namelist():
            made.writestr(name, re.sub(rb'ref="A1:C4"', b'ref="A1"', whole.read(name)))
    assert path.read_bytes() != new_workbook.read_bytes()
    assert read_table(path).equals(read_table(new_workbook))


HEADER = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
SHEETS = {
    "a row beyond two billion empty ones": f'{HEADER}<row r="2000000000"><c><v>1</v></c></row></sheetData></worksheet>',
    "a cell at the end of the sheet": (
        f'{HEADER}<row r="1048577"><c r="XFD1048577"><v>1</v></c></row></sheetData></worksheet>'
    ),
    "an entity": (
        f'<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]>{HEADER}<row r="1"><c t="str"><v>&a;</v></c></row>'
    ),
    "an element without end": HEADER + "<a>" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("case", SHEETS)
def test_a_hostile_sheet_is_refused_for_labels_and_reports(case: str, new_workbook: Path) -> None:
    path = new_workbook.with_name("hostile.xlsx")
    with zipfile.ZipFile(new_workbook) as whole, zipfile.ZipFile(path, "w") as made:
        for name in whole.namelist():
            made.writestr(name, SHEETS[case] if name.endswith("sheet1.xml") else whole.read(name))
    for read in (read_table, read_reports):
        with pytest.raises(UsageError, match="damaged Excel file"):
            read(path)
