"""Where the tests' inputs are: golden files beside the checkout, small synthetic ones in tests/data."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # `make test` sets these for the workers; the commands that tests start use memory as they do for users.
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        os.environ.pop(name, None)

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Masks and registrations of tests are not kept in the user's cache, nor taken from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
def golden_clinical() -> Path:
    """Scores, explanations and search results that the public Prima code gives."""
    return _shared("golden_clinical")


@pytest.fixture(scope="session")
def golden_encoders() -> Path:
    """Vectors, volumes and checkpoint layouts of other encoders, from their public code."""
    return _shared("golden_encoders")


@pytest.fixture(scope="session")
def scans() -> Path:
    """Real public scans."""
    return _shared("scans")


@pytest.fixture(scope="session")
def published(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model directory converted from the golden checkpoint, which has the published one's layout."""
    from prima_features.encoders.prima.convert.run import convert

    output = tmp_path_factory.mktemp("published") / "model"
    convert(golden / "published_layout_full.pt", golden / "published_layout_vqvae.pth", output)
    return output


@pytest.fixture(scope="session")
def study_a() -> Path:
    """A synthetic DICOM study of five series."""
    return REPOSITORY / "tests" / "data" / "study_a"
