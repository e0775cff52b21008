import pytest

from prima_features.probes.labels.values import code, is_missing, is_top_coded, number, sex


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("26", 26),
        ("26.9", 26.9),
        ("26,9", 26.9),
        ("89+", 89),
        (">89", 89),
        (" 0.5 ", 0.5),
        ("-3", -3),
        ("1e2", 100),
    ],
)
def test_numbers_are_read_with_decimal_commas_and_top_codes(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "22-25", "old", "1,2,3", "+", "89++"])
def test_what_is_no_number_gives_none(text: str) -> None:
    assert number(text) is None


def test_only_a_plus_or_greater_sign_is_a_top_code() -> None:
    assert is_top_coded("89+")
    assert is_top_coded("> 89")
    assert not is_top_coded("89")
    assert not is_top_coded("+89")


@pytest.mark.parametrize(
    "text", ["", "n/a", "N/A", "-9999", "-9999.0", "`", "Unknown", "Not Available", "NaN"]
)
def test_the_usual_sentinels_are_missing(text: str) -> None:
    assert is_missing(text)


def test_codes_keep_long_numbers_apart() -> None:
    assert code("10000001") != code("10000002")
    assert code("1\u00a0") == code("\uff11") == "1"
    assert number("\u22123,5") == -3.5
    assert number("1e999") is None


def test_zero_is_missing_only_where_the_table_says_so() -> None:
    assert not is_missing("0")
    assert is_missing("0.0", extra=("0",))


def test_codes_ignore_case_padding_and_number_format() -> None:
    assert code("1.0") == code("01") == code("1") == "1"
    assert code("0,5") == code("0.50") == "0.5"
    assert code(" HGG ") == "hgg"
    assert code("89+") == "89+"


def test_sex_needs_a_code_only_where_words_do_not_say_it() -> None:
    assert sex("Female", {}) == "F"
    assert sex("m", {}) == "M"
    assert sex("1", {}) == ""
    assert sex("1.0", {"1": "M", "2": "F"}) == "M"


@pytest.mark.parametrize("text", [".5", "0.5", "0,50", "5e-1", "+.5"])
def test_half_is_half_however_it_is_written(text: str) -> None:
    assert code(text) == "0.5"
    assert number(text) == 0.5
