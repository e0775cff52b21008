"""`prima weights`: what is printed, and which error a wrong use ends in."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from prima_features.cli.weights import app
from prima_features.errors import UsageError


def run(*arguments: object) -> str:
    """The output of a command that ends well."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_bundled_models_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    assert "prima-untrained" in run("list")


def test_a_converted_model_is_described_and_verified(
    full_file: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    said = run("convert", full_file, "--tokenizer", tokenizer_file, "--output", output)
    assert "Text tower: no" in said
    assert "Heads: 2 diagnoses, 1 referrals, 4 priority levels" in said
    verified = run("verify", output)
    assert verified.count("as recorded") == 3
    assert "Loaded: encoder, 4 heads" in verified


def test_without_a_tokenizer_nothing_is_converted(full_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["convert", str(full_file), "--output", str(tmp_path / "output")])
    assert result.exit_code == 2
    assert "--tokenizer" in result.output
    assert not (tmp_path / "output").exists()


def test_an_existing_output_needs_overwrite(full_file: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    arguments = ["convert", full_file, "--tokenizer", tokenizer_file, "--output", tmp_path / "output"]
    run(*arguments)
    with pytest.raises(UsageError, match="is not an empty folder"):
        run(*arguments)
    run(*arguments, "--overwrite")


@pytest.mark.parametrize("name", ["OWNER", "a/b/c", "-/-", "a b/c", ""])
def test_a_download_needs_a_hub_id(name: str) -> None:
    with pytest.raises(UsageError, match="is not a Hub id"):
        run("download", "--", name)
