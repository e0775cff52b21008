"""Reports: from a table to the tokens that the text tower reads."""

import json
from pathlib import Path

import pandas as pd
import pytest

from prima_features.encoders.prima.text import END
from prima_features.errors import UsageError
from prima_features.pretraining.data.reports import (
    ReportVocabulary,
    fitting_text,
    read_table,
    train_vocabulary,
)
from prima_features.reports import Options, summarize
from prima_features.reports import Report as Dictated
from prima_features.reports.summaries import read_findings, split_findings

TEXTS = ["1. bright lesion on the left 2. no acute infarct", "1. wide ventricles 2. no acute infarct"] * 5


@pytest.mark.parametrize(
    "cell",
    [
        '["old infarct of 2.5 cm", "wide ventricles"]',
        "1. old infarct of 2.5 cm 2. wide ventricles",
        "1) old infarct of 2.5 cm\n2) wide ventricles",
        "old infarct of 2.5 cm\nwide ventricles\n",
    ],
)
def test_a_cell_is_a_list_in_any_usual_form(cell: str) -> None:
    assert split_findings(cell) == ("old infarct of 2.5 cm", "wide ventricles")


def test_one_text_is_one_finding_and_nothing_is_none() -> None:
    assert split_findings("[see prior] no change.") == ("[see prior] no change.",)
    assert split_findings("  ") == ()


def test_a_table_gives_findings_and_what_else_is_known(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    cell = json.dumps(["a", "b"]).replace('"', '""')
    path.write_text(
        f'Study ID,Report,abnormal,split\nx,"{cell}",1,train\ny,"1. c\n2. d",0,validation\nz,,,\n'
    )
    reports = read_findings(path)
    assert set(reports) == {"x", "y"}
    assert reports["x"].findings == ("a", "b") and reports["x"].abnormal and reports["x"].split == "train"
    assert reports["y"].findings == ("c", "d") and not reports["y"].abnormal


def test_what_prima_reports_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "summaries.tsv"
    path.write_text('study_id\tsummary\tmethod\nsub-01\t"1. a lesion\n2. no infarct"\trules\n')
    assert read_findings(path)["sub-01"].findings == ("a lesion", "no infarct")


def test_what_prima_reports_labels_tells_which_studies_are_abnormal(tmp_path: Path) -> None:
    texts = {
        "tumour": "Meningioma of 2 cm. Wide sulci. No edema.",
        "normal": "Normal brain.",
        "doubt": "Possible meningioma.",
    }
    summarize([Dictated(*item) for item in texts.items()], tmp_path / "r.tsv", Options(labels="rules"))
    reports = read_findings(tmp_path / "r.tsv")
    assert reports["tumour"].findings == ("Meningioma of 2 cm.", "Wide sulci.")
    assert {study: report.abnormal for study, report in reports.items()} == {
        "tumour": True,
        "normal": False,
        "doubt": False,
    }


def test_without_labels_no_study_is_known_to_be_abnormal(tmp_path: Path) -> None:
    summarize([Dictated("tumour", "Meningioma.")], tmp_path / "r.tsv")
    assert not read_findings(tmp_path / "r.tsv")["tumour"].abnormal


TABLE = {
    "Study ID": ["007", "x"],
    "findings": ["Größe 3 µm", "b"],
    "abnormal": [1, 0],
    "split": ["", "train"],
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_text_tables_are_read_whatever_their_separator_and_encoding(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    pd.DataFrame(TABLE).to_csv(tmp_path / "r.csv", sep=separator, encoding=encoding, index=False)
    _is_the_table(tmp_path / "r.csv")


@pytest.mark.parametrize("abnormal", [[1, 0], [1, None], [True, False]], ids=["numbers", "empty", "truth"])
def test_excel_is_read(tmp_path: Path, abnormal: list[object]) -> None:
    pd.DataFrame(TABLE | {"abnormal": abnormal}, dtype=object).to_excel(tmp_path / "r.xlsx", index=False)
    _is_the_table(tmp_path / "r.xlsx")


def _is_the_table(path: Path) -> None:
    reports = read_findings(path)
    assert reports["007"].findings == ("Größe 3 µm",)
    assert [report.abnormal for report in reports.values()] == [True, False]
    assert [report.split for report in reports.values()] == ["", "train"]
    assert read_table(path)["Study ID"].tolist() == ["007", "x"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id\tnote\nx\ty\n", "has no column for the findings"),
        ("study\treport\nx\ta\nx\tb\n", "row 3: the study already has a report"),
        ("study\treport\tabnormal\nx\ta\tmaybe\n", "row 2: abnormal must be 0 or 1"),
        ("study\treport\tsplit\nx\ta\ttest\n", "row 2: split must be train or validation"),
        ("study\treport\nx\ta\tb\n", "row 2 has more cells than the header"),
        ("study\treport\tReport\nx\ta\tb\n", "has more than one column report"),
        ("", "is empty: expected a table with a header"),
    ],
)
def test_a_wrong_table_is_told_with_its_row(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "r.tsv"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_findings(path)
    assert told in str(error.value)


def test_a_table_that_is_not_there_or_names_two_columns_alike_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv does not exist"):
        read_findings(tmp_path / "none.csv")
    (tmp_path / "r.csv").write_text("study,oedema,oedema\nx,1,0\n")
    with pytest.raises(UsageError, match="has more than one column oedema; rename or remove"):
        read_table(tmp_path / "r.csv")


def test_findings_are_dropped_from_the_end_until_they_fit() -> None:
    def count(text: str) -> int:
        return len(text.split())

    findings = ["a b c", "d e", "f g h i"]
    assert fitting_text(findings, 100, count) == "1. a b c\n2. d e\n3. f g h i"
    assert fitting_text(findings, 11, count) == "1. a b c\n2. d e"
    assert fitting_text(findings, 6, count) == "1. a b c"
    assert fitting_text(findings, 1, count) == "1. a b c"


def test_a_report_ends_in_the_end_mark_and_has_no_more_tokens_than_allowed() -> None:
    vocabulary = train_vocabulary(TEXTS, 300, max_tokens=12)
    ids = vocabulary.encode(["no acute infarct"])
    assert ids[-1] == vocabulary.tokenizer.token_to_id(END)
    assert vocabulary.tokenizer.decode(ids[:-1]) == "1. no acute infarct"
    long = vocabulary.encode(["word " * 200, "no acute infarct"])
    assert len(long) == 12 and long[-1] == vocabulary.end
    padded, lengths = vocabulary.batch([["no acute infarct"], ["lesion", "wide"]])
    assert padded.shape == (2, max(lengths))
    assert padded[0, : lengths[0]].tolist() == ids


def test_a_vocabulary_knows_every_text_and_stays_the_same_on_disk(tmp_path: Path) -> None:
    vocabulary = train_vocabulary(TEXTS, 300, max_tokens=200)
    assert vocabulary.size <= 300
    strange = "Größe 3 µm, 病変 ☢"
    ids = vocabulary.encode([strange])
    assert vocabulary.tokenizer.decode(ids[:-1]) == f"1. {strange}"
    vocabulary.save(tmp_path)
    assert ReportVocabulary.read(tmp_path, 200).encode([strange]) == ids


def test_the_vocabulary_is_also_a_transformers_tokenizer(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    vocabulary = train_vocabulary(TEXTS, 300, max_tokens=200)
    vocabulary.save(tmp_path)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert theirs(f"1. wide ventricles{END}")["input_ids"] == vocabulary.encode(["wide ventricles"])


def test_a_folder_without_a_vocabulary_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no tokenizer\.json"):
        ReportVocabulary.read(tmp_path, 10)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be read by the tokenizers library"):
        ReportVocabulary.read(tmp_path, 10)
