"""Options that take several values."""

import pytest
import typer

from prima_features.cli.main import app, main
from prima_features.cli.options import split_values, spread
from prima_features.errors import UsageError


@pytest.fixture(scope="module")
def command() -> object:
    return typer.main.get_command(app).commands["embed"]


@pytest.mark.parametrize(
    "given",
    [
        "src out.h5 --participant-label 01 02",
        "src out.h5 --participant-label 01,02",
        "src out.h5 --participant-label 01 --participant-label 02",
        "src --participant-label 01 02 --dtype float16 out.h5",
        "--participant-label 01 02 --dtype float16 src out.h5",
        "--participant-label 01 02 src out.h5",
        "--participant-label 01,02 src out.h5",
    ],
)
def test_spaces_commas_and_repeats_are_alike(command: object, given: str) -> None:
    arguments = spread(given.split(), command)
    values = [arguments[i + 1] for i, text in enumerate(arguments) if text == "--participant-label"]
    assert split_values(values) == ("01", "02")
    rest = [text for text in arguments if text in ("src", "out.h5")]
    assert rest == ["src", "out.h5"]


def test_other_options_keep_their_one_value(command: object) -> None:
    given = ["src", "--model", "m", "--suffix", "T1w", "FLAIR", "--dry-run", "out.h5", "--device", "cpu"]
    assert spread(given, command) == [
        *(
            "src",
            "--model",
            "m",
            "--suffix",
            "T1w",
            "--suffix",
            "FLAIR",
            "--dry-run",
            "out.h5",
            "--device",
            "cpu",
        )
    ]


def test_an_option_without_a_value_is_left_for_the_parser_to_refuse(command: object) -> None:
    assert spread(["src", "out.h5", "--suffix"], command) == ["src", "out.h5", "--suffix"]


@pytest.mark.parametrize("values", [[""], [","], ["01,"], ["01", ""], [" "], ["01,,02"]])
def test_an_empty_value_is_an_error_and_not_everybody(values: list[str]) -> None:
    with pytest.raises(UsageError, match="--participant-label has an empty value"):
        split_values(values, "--participant-label")


def test_no_values_and_spaces_around_them_are_fine() -> None:
    assert split_values(None) == ()
    assert split_values(["01, 02 "]) == ("01", "02")


def test_an_option_whose_value_is_missing_does_not_take_the_next_option_for_it(command: object) -> None:
    with pytest.raises(UsageError, match="--participant-label has no value"):
        spread(["src", "out.h5", "--participant-label", "--suffix", "T1w"], command)


@pytest.mark.parametrize(
    "option", ["--participant-label", "--session-label", "--suffix", "--datatype", "--modality"]
)
def test_the_command_refuses_empty_selections(
    option: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    from prima_features.cli.main import main

    assert main(["inspect", ".", option, ""]) == 2
    assert "empty" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("embed",), ("merge",), ("search",), ("probe", "fit"), ("doctor",)])
def test_help_fits_in_80_columns(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown, "a name of an option is cut"
    assert "<bool>" not in shown, "a flag looks as if it took a value"
    assert "<list[" not in shown, "a type as Python writes it"
