"""The public BIDS examples: layouts of real datasets, with empty images."""

from pathlib import Path

import pytest

from prima_features.studies import Found, find


@pytest.fixture
def examples(scans: Path) -> Path:
    return scans / "bids"


def suffixes(found: Found) -> list[str]:
    sources = (series.source for study in found.studies for series in study.series)
    return sorted({source.rsplit("_", 1)[1].split(".")[0] for source in sources})


@pytest.mark.parametrize(
    ("name", "n_studies", "n_series", "n_left_out", "expected"),
    [
        ("ds005", 16, 32, 48, ["T1w", "inplaneT2"]),
        ("ds006", 28, 56, 164, ["T1w", "inplaneT2"]),
        ("ds007", 20, 40, 118, ["T1w", "inplaneT2"]),
        ("synthetic", 10, 10, 36, ["T1w"]),
        ("genetics_ukbb", 14, 42, 28, ["FLAIR", "T1w", "dwi"]),
        ("asl001", 1, 1, 1, ["T1w"]),
        ("pheno004", 2, 2, 0, ["T1w"]),
        ("qmri_mp2rage", 1, 1, 7, ["UNIT1"]),
        ("dwi_deriv", 1, 6, 1, ["ADC", "FA", "S0map", "dwi", "expADC", "trace"]),
        ("ds000001-fmriprep", 4, 4, 124, ["T1w"]),
        ("micr_SPIM", 0, 0, 1, []),
    ],
)
def test_a_dataset_gives_its_anatomy_and_a_reason_for_the_rest(
    examples: Path, name: str, n_studies: int, n_series: int, n_left_out: int, expected: list[str]
) -> None:
    found = find(examples / name)
    assert found.format == "bids"
    assert len(found.studies) == n_studies
    assert sum(len(study.series) for study in found.studies) == n_series
    assert len(found.left_out) == n_left_out
    assert suffixes(found) == expected
    assert all(item.error and not item.defect for item in found.left_out)
    assert len({study.id for study in found.studies}) == n_studies


@pytest.mark.parametrize(
    "name", ["ds005", "ds006", "ds007", "genetics_ukbb", "dwi_deriv", "ds000001-fmriprep"]
)
def test_every_image_of_a_dataset_is_embedded_or_left_out(examples: Path, name: str) -> None:
    root = examples / name
    images = {path.relative_to(root).as_posix() for path in root.glob("sub-*/**/*.nii*")}
    found = find(root)
    embedded = {series.source for study in found.studies for series in study.series}
    assert embedded | {item.series for item in found.left_out} == images
    assert not embedded & {item.series for item in found.left_out}


def test_diffusion_uses_the_table_of_its_dataset(examples: Path) -> None:
    found = find(examples / "dwi_deriv")
    volumes = {series.source: series.image for study in found.studies for series in study.series}
    assert volumes["sub-01/dwi/sub-01_dwi.nii"].volumes == (0, 1, 10, 19, 28, 37)  # type: ignore[union-attr]


def test_derivatives_embed_the_image_in_its_own_space_once(examples: Path) -> None:
    found = find(examples / "ds000001-fmriprep")
    assert {series.source for study in found.studies for series in study.series} == {
        f"sub-{i}/anat/sub-{i}_desc-preproc_T1w.nii.gz" for i in (10, 11, 13, 16)
    }
