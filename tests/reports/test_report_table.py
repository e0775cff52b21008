"""Tables of reports."""

from pathlib import Path

import pandas as pd
import pytest

from prima_features.errors import UsageError
from prima_features.reports import Report, read_reports

TEXT = 'FINDINGS:\nA "popcorn" lesion,\t5 mm; no more.\n\nIMPRESSION: Cavernoma é.'
WANTED = [Report("007", TEXT), Report("x", "")]


def frame(**names: str) -> pd.DataFrame:
    columns = {
        names.get("study", "study_id"): ["007", "x"],
        "age": ["4", "5"],
        names.get("report", "report"): [TEXT, ""],
    }
    return pd.DataFrame(columns)


@pytest.mark.parametrize(("suffix", "separator"), [("tsv", "\t"), ("csv", ","), ("csv", ";"), ("txt", "\t")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_tables_are_read_whatever_their_separator_and_encoding(
    tmp_path: Path, suffix: str, separator: str, encoding: str
) -> None:
    path = tmp_path / f"t.{suffix}"
    frame().to_csv(path, sep=separator, index=False, encoding=encoding)
    assert read_reports(path) == WANTED


def test_excel_is_read(tmp_path: Path) -> None:
    frame().to_excel(tmp_path / "t.xlsx", index=False)
    assert read_reports(tmp_path / "t.xlsx") == WANTED


@pytest.mark.parametrize(
    ("study", "report"), [("Study ID", "Report Text"), ("EXAM-ID", "narrative"), ("id", "Report")]
)
def test_usual_names_of_columns_are_guessed(tmp_path: Path, study: str, report: str) -> None:
    frame(study=study, report=report).to_csv(tmp_path / "t.csv", index=False)
    assert read_reports(tmp_path / "t.csv") == WANTED


def test_a_named_column_wins_over_a_guess(tmp_path: Path) -> None:
    frame().assign(other=["a", "b"], letter=["p", "q"]).to_csv(tmp_path / "t.csv", index=False)
    assert read_reports(tmp_path / "t.csv", "Other", "letter") == [Report("a", "p"), Report("b", "q")]


WRONG = {
    "no id": ("name,report\na,b\n", "--id-column"),
    "an accession number is not guessed": ("accession,report\na,b\n", "--id-column"),
    "no report": ("study_id,words\na,b\n", "--report-column"),
    "empty": ("", "is empty"),
    "only a header": ("study_id,report\n", "no rows"),
    "empty id": ("study_id,report\n ,b\n", "row 2: the column study_id is empty"),
    "id twice": ("study_id,report\na,b\na,c\n", "row 3: a is already in the table"),
    "column twice": ("study_id,report,report\na,b,c\n", "more than one column report"),
    "unquoted comma": ("study_id,report\na,b, c\n", "row 2 has more cells"),
    "open quote": ('study_id,report\na,"b\n', "check its quotes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_table_is_said_with_its_place(case: str, tmp_path: Path) -> None:
    content, sentence = WRONG[case]
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=sentence):
        read_reports(path)


def test_a_damaged_workbook_or_a_missing_file_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(UsageError, match="damaged Excel file"):
        read_reports(tmp_path / "t.xlsx")
    with pytest.raises(UsageError, match="does not exist"):
        read_reports(tmp_path / "none.tsv")
