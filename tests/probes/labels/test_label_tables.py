from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels.tables import WARNINGS, read_table


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


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n", "\r\r\n", "mixed"])
def test_lines_may_end_in_any_way_also_inside_quotes(tmp_path: Path, ends: str) -> None:
    lines = ["id,note,age", '1,"two\rlines",30', "2,,40", '3,"a, b",50']
    text = "".join(
        line + (("\r", "\n", "\r\n")[i % 3] if ends == "mixed" else ends) for i, line in enumerate(lines)
    )
    table = read_table(_write(tmp_path / "t.csv", text))
    assert table.to_dict("list") == {
        "id": ["1", "2", "3"],
        "note": ["two lines", "", "a, b"],
        "age": ["30", "40", "50"],
    }


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_recognised_with_and_without_mark(tmp_path: Path, encoding: str) -> None:
    table = read_table(_write(tmp_path / "t.tsv", "id\tsite\na\tZürich\n".encode(encoding)))
    assert table.to_dict("list") == {"id": ["a"], "site": ["Zürich"]}


def test_text_that_is_not_utf8_is_read_with_a_warning(tmp_path: Path) -> None:
    assert read_table(_write(tmp_path / "t.csv", "id,x\na,b\n")).attrs[WARNINGS] == ()
    told = read_table(_write(tmp_path / "t.csv", "id,x\na,é\n".encode("cp1252"))).attrs[WARNINGS]
    assert "t.csv is not UTF-8 and was read as Windows text" in told[0]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt"])
def test_the_separator_is_the_one_that_all_rows_agree_on(tmp_path: Path, name: str) -> None:
    tabs = _write(tmp_path / name, "id\tage, years, months\tnote\n1\t30\tone; two\n2\t40\tthree, four\n")
    assert read_table(tabs).columns.tolist() == ["id", "age, years, months", "note"]
    bars = _write(tmp_path / name, "id|age|note\n1|30,5|a,b;c\n")
    assert read_table(bars)["age"].tolist() == ["30,5"]
    excel = _write(tmp_path / name, "sep=;\r\nid;age\r\n1;26,9\r\n")
    assert read_table(excel)["age"].tolist() == ["26,9"]


def test_a_quote_that_swallows_rows_is_refused(tmp_path: Path) -> None:
    rows = ['1,"he said,30', "2,x,40", '3,and so",50', "4,y,60"]
    with pytest.raises(UsageError, match="whole rows inside a quoted cell that ends in line 4"):
        read_table(_write(tmp_path / "t.csv", "\n".join(["id,note,age", *rows])))
    with pytest.raises(UsageError, match="cannot be read as a table"):
        read_table(_write(tmp_path / "t.csv", "\n".join(["id,note,age", *rows[:2]])))


def test_rows_with_too_few_cells_are_counted(tmp_path: Path) -> None:
    told = read_table(_write(tmp_path / "t.csv", "a,b\n1\n2,3\n")).attrs[WARNINGS]
    assert told == ("1 row of t.csv has fewer cells than the header; the missing cells are taken as empty",)


def test_invisible_characters_and_unicode_forms_make_no_other_cell_or_header(tmp_path: Path) -> None:
    table = read_table(
        _write(tmp_path / "t.csv", "\ufeff\ufeffid,age\u00a0 (years)\n\u200bMu\u0308\u2013\u00a01,30\n")
    )
    assert table.to_dict("list") == {"id": ["Mü- 1"], "age (years)": ["30"]}


def test_a_row_with_more_cells_than_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"row 2 has more cells than the header \(3 and 2\)"):
        read_table(_write(tmp_path / "t.csv", "a,b\n1,2,3\n"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="several columns named 'age'"):
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


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id;x\n")
    with pytest.raises(UsageError, match="has a header but no rows"):
        read_table(tmp_path / "x.csv")
