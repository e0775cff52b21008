"""The baselines `intensity` and `acquisition`: what their vectors depend on, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features import embed, read_embeddings
from prima_features.embedding.engine.local import EngineOptions, embed_studies
from prima_features.encoders.baselines.prepare import (
    ACQUISITION,
    INTENSITY,
    AcquisitionPreparer,
    IntensityPreparer,
    sequence_of,
    vendor_of,
)
from prima_features.encoders.baselines.weights import WIDTHS, build
from prima_features.encoders.registry import load_encoder
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models import bundled
from prima_features.studies import find
from prima_features.studies.study import NiftiImage, Series, SidecarScale, Study
from prima_features.volumes import ReadOptions


def head(seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """A ball of dark, middling and bright tissue in noise."""
    rng = np.random.RandomState(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    values = np.where(radius < 0.3, 40, np.where(radius < 0.8, 300, np.where(radius < 0.9, 700, 0)))
    values = values + rng.uniform(0, 10, values.shape)
    return (scale * values).astype(np.float32)


def series(
    values: np.ndarray, folder: Path, sizes: tuple[float, ...] = (4.0, 4.0, 5.0), name: str = "T1w"
) -> Series:
    path = folder / f"{len(list(folder.iterdir()))}.nii"
    nib.save(nib.Nifti1Image(values, np.diag([*sizes, 1.0])), path)
    return Series(name, NiftiImage(path))


def intensities(one: Series) -> dict[str, float]:
    values = IntensityPreparer()(one, ReadOptions(), False).arrays[0]
    return dict(zip(INTENSITY, values.tolist(), strict=True))


def facts(one: Series) -> dict[str, float]:
    values = AcquisitionPreparer()(one, ReadOptions(), False).arrays[0]
    return dict(zip(ACQUISITION, values.tolist(), strict=True))


def test_volumes_of_tissue_are_in_litres(tmp_path: Path) -> None:
    found = intensities(series(head(), tmp_path))
    litre = 4 * 4 * 5 / 1e6
    assert found["bright_litres"] == pytest.approx(litre * (head() > 500).sum(), rel=1e-3)
    assert found["foreground_litres"] == pytest.approx(litre * (head() > 150).sum(), rel=1e-3)
    assert sum(value for name, value in found.items() if name.startswith("histogram")) == pytest.approx(1)


def test_intensity_does_not_depend_on_scale_or_orientation_of_the_voxels(tmp_path: Path) -> None:
    first = np.array(list(intensities(series(head(), tmp_path)).values()))
    scaled = np.array(list(intensities(series(head(scale=7.5), tmp_path)).values()))
    turned = np.array(list(intensities(series(head()[::-1].transpose(1, 0, 2), tmp_path)).values()))
    np.testing.assert_allclose(scaled, first, atol=1e-4)
    np.testing.assert_allclose(turned, first, atol=1e-6)


def test_acquisition_depends_on_no_voxel(tmp_path: Path) -> None:
    assert facts(series(head(), tmp_path)) == facts(series(np.sqrt(head(1)), tmp_path))


def test_acquisition_names_matrix_spacing_and_plane(tmp_path: Path) -> None:
    found = facts(series(head()[:, :, ::2], tmp_path, (2.0, 1.0, 8.0)))
    assert found["log2_samples_z"] == pytest.approx(np.log2(20))
    assert (found["log2_mm_z"], found["log2_mm_y"], found["log2_mm_x"]) == (3, 0, 1)
    assert (found["axial"], found["coronal"], found["sagittal"]) == (1, 0, 0)
    assert found["sequence_t1"] == 1
    assert sum(value for name, value in found.items() if name.startswith("vendor")) == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("T1w", "t1"),
        ("AX_T1_POST", "t1c"),
        ("ce-T1w", "t1c"),
        ("t1_mprage_sag+C", "t1c"),
        ("T2w", "t2"),
        ("AX T2 FLAIR", "flair"),
        ("FLAIR", "flair"),
        ("DWI_b1000", "dwi"),
        ("ADC", "dwi"),
        ("SWI", "swi"),
        ("AX_T2_STAR_GRE", "swi"),
        ("task-rest_bold", "bold"),
        ("PDw", "pd"),
        ("UNK-1.2.3", "other"),
        ("MPRAGE", "t1"),
    ],
)
def test_the_kind_of_sequence_follows_from_the_name(name: str, kind: str) -> None:
    assert sequence_of(name) == kind


@pytest.mark.parametrize(
    ("stated", "vendor"),
    [
        ("SIEMENS", "siemens"),
        ("Siemens Healthineers", "siemens"),
        ("GE MEDICAL SYSTEMS", "ge"),
        ("Philips Medical Systems", "philips"),
        ("TOSHIBA_MEC", "canon"),
        ("Hitachi", "other"),
        ("", ""),
    ],
)
def test_the_vendor_is_read_from_the_sidecar(stated: str, vendor: str) -> None:
    image = replace(NiftiImage(Path("x.nii")), scale=SidecarScale(manufacturer=stated))
    assert vendor_of(Series("T1w", image)) == vendor


def test_the_vendor_is_read_from_dicom(study_a: Path) -> None:
    import pydicom

    (study,) = find(study_a).studies
    for one in study.series:
        stated = str(pydicom.dcmread(one.files[0], stop_before_pixels=True).get("Manufacturer", ""))
        assert bool(vendor_of(one)) == bool(stated)


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_a_bundled_baseline_embeds(name: str, study_a: Path, tmp_path: Path) -> None:
    encoder = load_encoder(name)
    embed(study_a, tmp_path / "out.h5", encoder)
    file = read_embeddings(tmp_path / "out.h5")
    assert file.study_embedding.shape == (1, WIDTHS[name])
    assert name in encoder.info.caveat


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_a_bundled_baseline_is_what_is_built(name: str, tmp_path: Path) -> None:
    build(name, tmp_path / name)
    for file in ("config.json", "model.safetensors", "README.md", "SHA256SUMS"):
        assert sha256(tmp_path / name / file) == sha256(bundled.path(name) / file), file


def test_a_bundled_model_is_not_converted(tmp_path: Path) -> None:
    from prima_features.encoders.convert import convert

    with pytest.raises(UsageError, match="use it with --model intensity"):
        convert(tmp_path / "x", "intensity", tmp_path / "y")


@pytest.mark.parametrize("name", ["intensity", "acquisition"])
def test_results_come_while_other_series_are_read(name: str, tmp_path: Path) -> None:
    """So a run that is killed loses few of them."""
    read, one = [], series(head(), tmp_path)

    def studies() -> Iterator[Study]:
        for number in range(20):
            read.append(number)
            yield Study(f"sub-{number}", str(number), "", "MRI", (one,) * 4)

    results = embed_studies(studies(), load_encoder(name), EngineOptions(batch_size=4, workers=0))
    next(iter(results))
    assert len(read) <= 4
