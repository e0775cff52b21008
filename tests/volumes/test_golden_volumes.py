"""Volumes and tokens equal the public pipeline's, to the bit."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.subvolumes import cut
from prima_features.studies.study import DicomSlices, Series
from prima_features.volumes import Volume

DATA = Path(__file__).parent.parent / "data"
STUDY_A = json.loads((DATA / "study_a.json").read_text())["series"]
SCANS = {"scan_canon": "04_canon_dti_b0", "scan_uih": "02_uih_study/t1_gre_fsp_3d_sag_j2k"}


def read_folder(folder: Path) -> Volume:
    """The golden folders' file names are in slice order."""
    return read_volume(Series("any", DicomSlices((tuple(sorted(folder.iterdir())),))))


def check(volume: Volume, expected: dict, coord: np.ndarray) -> None:
    assert list(volume.values.shape) == expected["volume_shape"]
    assert str(volume.values.dtype) == expected["volume_dtype"]
    assert hashlib.sha256(volume.values.astype("<f4").tobytes()).hexdigest() == expected["volume_sha256"]
    subvolumes = cut(volume)
    assert subvolumes.n_all == expected["n_tokens_all"]
    assert subvolumes.threshold == expected["threshold"]
    np.testing.assert_array_equal(subvolumes.coord, coord)


@pytest.mark.parametrize("i", range(len(STUDY_A)), ids=[series["folder"] for series in STUDY_A])
def test_the_synthetic_study_gives_the_public_volumes_and_tokens(i: int, golden: Path) -> None:
    coord = np.load(golden / "study_a.npz")[f"coord_{i}"]
    check(read_folder(DATA / "study_a" / STUDY_A[i]["folder"]), STUDY_A[i], coord)


@pytest.mark.parametrize("name", SCANS)
def test_real_scans_give_the_public_volumes_and_tokens(name: str, golden: Path, scans: Path) -> None:
    expected = json.loads((golden / f"{name}.json").read_text())["series"][0]
    coord = np.load(golden / f"{name}.npz")["coord_0"]
    check(read_folder(scans / "dicom" / SCANS[name]), expected, coord)
