"""Checksums and loading of every part."""

import shutil
import subprocess
from pathlib import Path

import pytest

from prima_features.encoders.registry import verify
from prima_features.errors import UsageError
from prima_features.models import bundled
from prima_features.models.directory import check_files, read_checksums, write_checksums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled.path("prima-untrained"), tmp_path / "model"))


def test_every_part_of_a_model_is_loaded(golden_model: Path) -> None:
    pytest.importorskip("transformers")
    files, loaded = verify(golden_model)
    assert [file.name for file in files] == [
        "config.json",
        "model.safetensors",
        "text.safetensors",
        "heads.safetensors",
    ]
    assert all(file.ok and file.recorded for file in files)
    assert loaded == ["encoder", "text tower", "8 heads"]


def test_a_changed_file_is_named(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(UsageError, match=r"model\.safetensors in .* does not match SHA256SUMS"):
        verify(folder)
    write_checksums(folder)
    verify(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  heads.safetensors\n")
    with pytest.raises(UsageError, match=r"lacks heads\.safetensors"):
        verify(folder)


def test_without_checksums_the_parts_are_loaded_all_the_same(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    files, loaded = verify(folder)
    assert [file.recorded for file in files] == [None, None]
    assert loaded == ["encoder"]


def test_checksums_of_other_paths_are_not_looked_at(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../../elsewhere\n")
    with pytest.raises(UsageError, match="is not a list of checksums of a model's files"):
        check_files(folder)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_the_checksums(folder: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.count(": OK") == len(read_checksums(folder))
