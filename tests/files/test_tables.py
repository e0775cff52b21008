"""One reader for every table of a user: the same rows, whatever program wrote it."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.files.tables import EmptyTableError, find_column, read_table
from prima_features.pretraining.data.reports import read_table as pretraining_labels
from prima_features.probes.labels.tables import read_table as label_table
from prima_features.reports import read_reports
from prima_features.reports.summaries import read_findings
from prima_features.studies.manifest import read_rows as manifest

HEADER = ["path", "subject", "study", "report"]
ROWS = [["a/Zürich, 1.nii", "01", "sub-01", "No lesion; 5 mm"], ["b.nii", "02", "sub-02", "Café, note"]]

READERS: dict[str, Callable[[Path], object]] = {
    "files": lambda path: read_table(path).rows,
    "labels": lambda path: label_table(path).to_numpy().tolist(),
    "manifest": lambda path: [(row.number, row.written, row.subject) for row in manifest(path)],
    "reports": lambda path: [(one.study, one.text) for one in read_reports(path)],
    "pretraining": lambda path: [(name, one.findings) for name, one in read_findings(path).items()],
    "pretraining labels": lambda path: pretraining_labels(path).to_numpy().tolist(),
}
EXPECTED: dict[str, object] = {
    "files": ROWS,
    "labels": ROWS,
    "manifest": [(2, "a/Zürich, 1.nii", "01"), (4, "b.nii", "02")],
    "reports": [("sub-01", "No lesion; 5 mm"), ("sub-02", "Café, note")],
    "pretraining": [("sub-01", ("No lesion; 5 mm",)), ("sub-02", ("Café, note",))],
    "pretraining labels": ROWS,
}


def text(separator: str, end: str) -> str:
    """The table, with a blank line before its last row."""
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, lineterminator=end)
    writer.writerows([HEADER, ROWS[0]])
    written.write(end)
    writer.writerow(ROWS[1])
    return written.getvalue()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)
def test_every_reader_takes_every_encoding_separator_and_line_end(
    reader: str, encoding: str, tmp_path: Path
) -> None:
    for name in ("t.tsv", "t.csv", "t.txt"):
        for separator in "\t,;|":
            for end in ("\n", "\r\n", "\r"):
                (tmp_path / name).write_bytes(text(separator, end).encode(encoding))
                found = READERS[reader](tmp_path / name)
                assert found == EXPECTED[reader], (name, separator, end)


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_excel_and_a_sheet_by_its_name(reader: str, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    second = book.create_sheet("second")
    for row in (HEADER, ROWS[0], [], ROWS[1]):
        second.append(row)
    book.active.append(["other"])
    book.active.append(["x"])
    book.save(tmp_path / "t.xlsx")
    assert READERS[reader](tmp_path / "t.xlsx#second") == EXPECTED[reader]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,subject,study,report\na,b,c,d,e\n", "row 2 has more cells than the header \\(5 and 4\\)"),
        (b'path,subject,study,report\na,b,c,"d\n', "cannot be read as a table"),
        (b"\x1f\x8b\x08", "is compressed"),
        (b"path,subject\n\x81,\x8d\n", "neither UTF-8 nor cp1252"),
        (None, "does not exist"),
    ],
)
def test_every_reader_refuses_what_is_no_table(
    reader: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        READERS[reader](tmp_path / "t.csv")


def test_rows_are_as_wide_as_the_header_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n\n1\n,,\n2, 3,4,,\n")
    table = read_table(tmp_path / "t.csv")
    assert (table.header, table.rows) == (["a", "b", "c"], [["1", "", ""], ["2", " 3", "4"]])
    assert table.numbers == [3, 5]


def test_several_lines_with_separators_in_a_cell_need_to_be_expected(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b,c\n1,"one\ntwo, three, four",2\n')
    with pytest.raises(UsageError, match="whole rows inside a quoted cell"):
        read_table(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", free_text=True).rows == [["1", "one\ntwo, three, four", "2"]]


def test_an_empty_table_has_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n \n")
    with pytest.raises(EmptyTableError, match="is empty"):
        read_table(tmp_path / "t.csv")


def test_the_first_name_that_a_header_has_is_found_however_it_is_spelled() -> None:
    header = ["Study ID", "x", "is-abnormal "]
    assert find_column(Path("t"), header, ("abnormal", "is_abnormal", "study_id")) == 2
    assert find_column(Path("t"), header, ("split",)) is None
