"""The converted directory appears complete or not at all."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open
from torch import nn

from prima_features.encoders.prima.convert.run import convert
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import sha256
from prima_features.models.directory import read_checksums

Make = Callable[..., nn.Module]


def test_the_sources_and_the_files_carry_checksums(
    full_file: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    convert(full_file, tokenizer_file, output)
    with safe_open(output / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata[f"sha256 of {full_file.name}"] == sha256(full_file)
    assert sha256(tokenizer_file) in (output / "README.md").read_text()
    recorded = read_checksums(output)
    assert recorded == {
        name: sha256(output / name) for name in ("config.json", "model.safetensors", "heads.safetensors")
    }


def test_what_is_there_is_kept_unless_it_is_to_be_replaced(
    full_file: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (output / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not an empty folder"):
        convert(full_file, tokenizer_file, output)
    assert (output / "mine.txt").read_text() == "kept"
    convert(full_file, tokenizer_file, output, overwrite=True)
    assert not (output / "mine.txt").exists()
    assert (output / "config.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.pt", "output", "tokenizer.pth"]


def test_an_empty_folder_is_filled_and_a_file_is_not_replaced(
    full_file: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    convert(full_file, tokenizer_file, tmp_path / "empty")
    assert (tmp_path / "empty" / "model.safetensors").exists()
    with pytest.raises(UsageError, match="is a file"):
        convert(full_file, tokenizer_file, full_file, overwrite=True)
    with pytest.raises(UsageError, match="is not a folder"):
        convert(full_file, tokenizer_file, tmp_path / "no" / "folder")


def test_a_full_disk_leaves_nothing_behind(
    full_file: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *args: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="The disk is full"):
        convert(full_file, tokenizer_file, tmp_path / "output")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.pt", "tokenizer.pth"]


def test_a_disk_that_is_too_small_is_noticed_before_writing(
    full_file: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="write to another disk"):
        convert(full_file, tokenizer_file, tmp_path / "output")
