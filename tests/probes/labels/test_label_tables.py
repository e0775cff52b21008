from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels.tables import read_table


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_told_by_the_header_whatever_the_extension(tmp_path: Path, separator: str) -> None:
    path = _write(tmp_path / "t.csv", f"id{separator}age\na{separator}26.9\n")
    assert read_table(path).to_dict("list") == {"id": ["a"], "age": ["26.9"]}


def test_a_decimal_comma_in_a_semicolon_table_stays_one_cell(tmp_path: Path) -> None:
    assert read_table(_write(tmp_path / "t.csv", "id;age\na;26,9\n"))["age"].tolist() == ["26,9"]


def test_spaces_around_headers_and_cells_are_stripped(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path / "t.csv", "SUB_ID,AGE_AT_SCAN \n 29006 , 48\n"))
    assert table.to_dict("list") == {"SUB_ID": ["29006"], "AGE_AT_SCAN": ["48"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_text_is_read_in_the_encodings_that_spreadsheets_write(tmp_path: Path, encoding: str) -> None:
    path = _write(tmp_path / "t.csv", "id,site\na,Zürich\n".encode(encoding))
    assert read_table(path).to_dict("list") == {"id": ["a"], "site": ["Zürich"]}


def test_leading_zeros_and_na_words_survive(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path / "t.tsv", "id\tx\n0007\tNA\n"))
    assert table.iloc[0].tolist() == ["0007", "NA"]


def test_blank_lines_and_cells_left_off_at_a_rows_end_do_no_harm(tmp_path: Path) -> None:
    assert read_table(_write(tmp_path / "t.csv", "a,b\n\n1\n2,3,\n"))["b"].tolist() == ["", "3"]


def test_a_row_with_more_cells_than_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 3 cells in the row that starts with '1' and 2 columns"):
        read_table(_write(tmp_path / "t.csv", "a,b\n1,2,3\n"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more than one column 'age'"):
        read_table(_write(tmp_path / "t.csv", "id,age,age \na,1,2\n"))


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_table_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UsageError, match="is empty"):
        read_table(_write(tmp_path / "t.csv", content))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.csv does not exist"):
        read_table(tmp_path / "nowhere.csv")


def test_text_in_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither UTF-8 nor cp1252"):
        read_table(_write(tmp_path / "t.csv", b"a,b\n\x81,\x8d\n"))
