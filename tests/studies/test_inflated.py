"""Files that may be compressed: read whatever they are called, and damage raises what readers expect."""

import gzip
from pathlib import Path

import pytest

from prima_features.studies.content import _same_content, inflated, inflation_errors
from prima_features.studies.voxels import open_nifti

CONTENT = bytes(range(256)) * 64
PACKED = gzip.compress(CONTENT, mtime=0)
DAMAGE = {
    "ends early": PACKED[: len(PACKED) // 2],
    "no deflate stream": PACKED[:10] + b"\xff" * 40,
    "another checksum": PACKED[:-8] + bytes(8),
    "another method": PACKED[:2] + b"\x09" + PACKED[3:],
    "an endless name": PACKED[:3] + b"\x08" + PACKED[4:10] + b"a" * 200_000,
}


@pytest.mark.parametrize("content", [CONTENT, PACKED], ids=["plain", "gzip"])
def test_content_is_the_same_compressed_or_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with inflated(tmp_path / "file") as file:
        assert file.read() == CONTENT


@pytest.mark.parametrize("name", DAMAGE)
def test_every_damage_is_one_of_the_errors_that_readers_expect(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(DAMAGE[name])
    with pytest.raises(inflation_errors()), inflated(path) as file:
        file.read()
    with pytest.raises(ValueError, match=r"compressed data is damaged|not NIfTI"):
        open_nifti(path)
    (tmp_path / "copy").write_bytes(DAMAGE[name])
    assert not _same_content(path, tmp_path / "copy")
