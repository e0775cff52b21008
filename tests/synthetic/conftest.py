"""One small cohort in both formats, made by the real command."""

from pathlib import Path

import pytest

from prima_features.cli.main import main


def _made(folder: Path, *options: str) -> Path:
    assert main(["synth", str(folder), "--subjects", "2", "--seed", "1", *options]) == 0
    return folder


@pytest.fixture(autouse=True)
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prima embed` reads scans in this process; starting others takes longer."""
    monkeypatch.setattr("prima_features.embedding.engine.options.usable_cores", lambda: 0)


@pytest.fixture(scope="session")
def bids_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies as BIDS."""
    return _made(tmp_path_factory.mktemp("synthetic") / "bids")


@pytest.fixture(scope="session")
def dicom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two as DICOM, with a preview."""
    return _made(tmp_path_factory.mktemp("synthetic") / "dicom", "--format", "dicom", "--preview")
