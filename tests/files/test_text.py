"""Texts from outside: escaped in one way, bounded, and safe in cells and file names."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prima_features.files.text import (
    MODEL_CHARACTERS,
    STORED_CHARACTERS,
    bounded,
    file_stem,
    from_cell,
    model_text,
    printable,
    printable_json,
    shortened,
    to_cell,
)

TEXTS = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Müller 脑 a\\b", "Müller 脑 a\\b"),
        (os.fsdecode(b"M\xfcller"), "M\\xfcller"),
        ("T1\x1b[31m\0\n\t\r\x7f\x85", "T1\\x1b[31m\\x00\\n\\t\\r\\x7f\\x85"),
        ("a\u202eb\u2028\ud800", "a\\u202eb\\u2028\\ud800"),
    ],
)
def test_what_is_not_printable_is_written_as_in_a_python_string(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_characters_may_be_kept() -> None:
    assert printable("a\n\x1bb", keep="\n") == "a\n\\x1bb"


@given(TEXTS)
def test_every_text_becomes_printable_utf_8_and_stays_so(text: str) -> None:
    escaped = printable(text)
    assert escaped.isprintable() and printable(escaped) == escaped
    assert escaped.encode().decode() == escaped


@given(TEXTS, st.integers(30, 80))
def test_a_bounded_text_is_bounded_whatever_is_escaped(text: str, most: int) -> None:
    cut = bounded(text, most)
    assert len(cut) <= most and cut.isprintable() and bounded(cut, most) == cut


def test_a_cut_says_how_long_the_text_was() -> None:
    assert bounded("x" * 5000).endswith("x... (5000 characters)")
    assert len(bounded("x" * 5000)) == STORED_CHARACTERS


@given(TEXTS)
def test_a_cell_gives_its_text_back_and_starts_no_formula(text: str) -> None:
    cell = to_cell(text)
    assert from_cell(cell) == printable(text)
    if cell.startswith(("=", "+", "-", "@")):
        float(cell)  # a number


@pytest.mark.parametrize("text", ["=1+1", "+a", "-cmd|' /C calc'!A0", "@SUM(A1)", "-1+1", "'=x"])
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert to_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+1e3", "sub-01", "'quoted'", "", "n/a"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert to_cell(text) == text == from_cell(text)


@given(st.lists(TEXTS, min_size=2, max_size=6, unique=True))
def test_file_stems_differ_also_without_case(names: list[str]) -> None:
    stems = [file_stem(name) for name in names]
    assert len({stem.lower() for stem in stems}) == len(names)
    assert all(stem.isascii() and len(stem) <= 100 and "/" not in stem for stem in stems)


def test_plain_names_are_their_own_stems() -> None:
    assert file_stem("sub-01_ses-2") == "sub-01_ses-2"
    assert len(file_stem("sub-" + "x" * 240)) < 110


def test_the_model_reads_a_bounded_text() -> None:
    assert (
        model_text("\x1b" * 3_000_000).startswith("\\x1b") and len(model_text("a" * 3000)) == MODEL_CHARACTERS
    )


def test_json_is_utf_8_for_every_reader() -> None:
    document = {"a\ud800": ["\udcfc\0", 1, None, True, 2.5], "b": ("x",)}
    text = json.dumps(printable_json(document), ensure_ascii=False)
    assert json.loads(text.encode()) == {"a\\ud800": ["\\xfc\\x00", 1, None, True, 2.5], "b": ["x"]}


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    assert shortened("as it is", 8) == "as it is"
    cut = shortened("Error: " + "x" * 10**6 + " what to do", 100)
    assert cut.startswith("Error: xx") and cut.endswith("what to do") and len(cut) < 150
