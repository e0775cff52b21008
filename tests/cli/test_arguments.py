"""Options that take several values."""

import pytest
import typer

from prima_features.cli.arguments import split_values, spread
from prima_features.cli.main import app


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
