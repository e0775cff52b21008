"""A small BIDS dataset for the commands, and how files that should be alike are compared."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings


@pytest.fixture(autouse=True)
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands called in this process read scans in it, without --workers. Those started as processes of their own read
    in further ones, each of which takes a second to start."""
    monkeypatch.setattr("prima_features.embedding.engine.options.usable_cores", lambda: 0)


def dataset(root: Path) -> Path:
    """Two subjects, the second seen twice, with a T1w and a FLAIR each."""
    for seed, visit in enumerate(("sub-01", "sub-02/ses-a", "sub-02/ses-b")):
        anat = root / visit / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "FLAIR"):
            values = np.random.default_rng(seed).integers(0, 900, (32, 32, 8)).astype(np.int16)
            image = nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0]))
            nib.save(image, anat / f"{visit.replace('/', '_')}_{suffix}.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    return root


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """A dataset of the test's own."""
    return dataset(tmp_path / "bids")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run makes of the dataset."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["embed", str(dataset(folder / "bids")), str(folder / "whole.h5"), "--workers", "0"]) == 0
    return folder / "whole.h5"


@pytest.fixture
def assert_same() -> Callable[[Path, Path], None]:
    """Checks that two files hold the same studies in the same order, with the same vectors to rounding."""

    def check(one: Path, other: Path) -> None:
        a, b = read_embeddings(one), read_embeddings(other)
        assert a.studies.equals(b.studies)
        assert a.series.equals(b.series)
        assert a.failures.equals(b.failures)
        for name in ("study/embedding", "study/clip", "series/embedding"):
            largest = np.abs(b.array(name)).max()
            np.testing.assert_allclose(a.array(name), b.array(name), rtol=0, atol=1e-5 * largest)

    return check
