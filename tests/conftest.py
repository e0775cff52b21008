"""Where the tests' inputs are: golden files beside the checkout, small synthetic ones in tests/data."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the folder shared/{name} beside the checkout")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Inputs with the outputs that the public Prima code gives for them."""
    return _shared("golden")


@pytest.fixture(scope="session")
def scans() -> Path:
    """Real public scans."""
    return _shared("scans")
