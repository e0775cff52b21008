"""`prima weights`: what is printed, and which error a wrong use ends in."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from drive import Drive, serving
from safetensors.torch import load_file
from typer.testing import CliRunner

from prima_features.cli.main import main
from prima_features.cli.weights import app
from prima_features.encoders.prima import published
from prima_features.errors import UsageError
from prima_features.files.disk import sha256


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


def test_without_a_tokenizer_nothing_is_converted(
    full_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "convert", str(full_file), "--output", str(tmp_path / "output")]) == 2
    assert "--tokenizer" in capsys.readouterr().err
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


@pytest.fixture
def drive(full_file: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    """A server with the published files, smaller than those."""
    with serving() as state:
        files = {published.FULL: full_file, published.TOKENIZER: tokenizer_file}
        state.files = {one.drive_id: path.read_bytes() for one, path in files.items()}
        monkeypatch.setattr("prima_features.hub.web.DRIVE", state.url)
        yield state


def test_the_published_checkpoint_is_downloaded_converted_and_verified(
    drive: Drive, full_file: Path, tokenizer_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "download", "prima", "--output", str(tmp_path / "model"), "--yes"]) == 0
    said = capsys.readouterr()
    assert said.out.index("Licence:") < said.out.index("SHA-256")
    assert sha256(full_file) in said.out
    assert "most likely have" in said.err  # four levels of priority
    assert [path.name for path in tmp_path.glob("model*")] == ["model"]
    run("convert", full_file, "--tokenizer", tokenizer_file, "--output", tmp_path / "other")
    for name in ("model.safetensors", "heads.safetensors"):
        ours, theirs = (load_file(tmp_path / folder / name) for folder in ("model", "other"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_published_files_are_kept_if_asked_for_or_if_they_cannot_be_converted(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["weights", "download", "prima", "--output", str(tmp_path / "model"), "--yes"]
    assert main([*arguments, "--keep-files"]) == 0
    assert {path.name for path in (tmp_path / "model.download").iterdir()} == {
        one.name for one in published.FILES
    }
    (tmp_path / "model.download" / published.FULL.name).unlink()
    drive.files[published.FULL.drive_id] = b"PK no archive"
    assert main([*arguments, "--overwrite"]) == 2
    assert "delete them to download again" in capsys.readouterr().err
    assert (tmp_path / "model" / "model.safetensors").is_file()  # the earlier one


def test_the_published_checkpoint_is_not_downloaded_unasked(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["weights", "download", "prima", "--output", str(tmp_path / "model")]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert main(["weights", "download", "prima", "--yes"]) == 2
    assert "give --output" in capsys.readouterr().err
    assert not drive.asked
