"""From DICOM files to vectors and scores: the public pipeline's numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.engine.local import EngineOptions, embed_studies
from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.encoders.prima import PrimaModel, score_heads
from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes, cut
from prima_features.studies.dicom import find_dicom
from prima_features.studies.study import NiftiImage, Series, Study

TOLERANCE = 1e-4
SCANS = {"scan_canon": "04_canon_dti_b0", "scan_uih": "02_uih_study/t1_gre_fsp_3d_sag_j2k"}


@pytest.fixture(scope="session")
def model(published: Path) -> PrimaModel:
    return PrimaModel.from_pretrained(published)


def find_one(folder: Path, description: str) -> Study:
    (study,) = find_dicom(folder).studies
    return replace(study, description=description)


def embed_one(study: Study, model: PrimaModel, **options: object) -> EmbeddedStudy:
    (result,) = embed_studies([study], model, EngineOptions(**options))
    assert isinstance(result, EmbeddedStudy)
    return result


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def check(study: EmbeddedStudy, expected: np.lib.npyio.NpzFile, published: Path) -> None:
    assert_close(np.stack([series.embedding for series in study.series]), expected["series_embedding"])
    assert_close(study.embedding[None], expected["study_embedding"])
    assert_close(study.clip[None], expected["clip_embedding"])
    scores = score_heads(published, study.embedding[None])
    assert_close(scores.diagnosis[0], expected["diagnosis"])
    assert_close(scores.referral[0], expected["referral"])
    assert_close(scores.priority[0], expected["priority"])


@pytest.fixture(scope="session")
def golden_a(golden: Path) -> dict:
    return json.loads((golden / "study_a.json").read_text())


@pytest.fixture(scope="session")
def embedded_a(study_a: Path, golden_a: dict, model: PrimaModel) -> EmbeddedStudy:
    return embed_one(find_one(study_a, golden_a["description"]), model, keep_tokens=True)


def test_the_synthetic_study_gives_the_public_vectors_and_scores(
    golden: Path, golden_a: dict, embedded_a: EmbeddedStudy, published: Path
) -> None:
    expected = np.load(golden / "study_a.npz")
    assert [series.name for series in embedded_a.series] == [series["name"] for series in golden_a["series"]]
    check(embedded_a, expected, published)
    for i, series in enumerate(embedded_a.series):
        np.testing.assert_array_equal(series.tokens.coord, expected[f"coord_{i}"])
        # Tokens are kept in half precision.
        expected_tokens = expected[f"token_vector_{i}"][:, :256]
        np.testing.assert_allclose(series.tokens.embedding, expected_tokens, rtol=1e-3, atol=1e-3)


def test_the_description_comes_from_the_scan(study_a: Path, golden_a: dict) -> None:
    (study,) = find_dicom(study_a).studies
    assert study.description == golden_a["description"]


@pytest.fixture(scope="session")
def embedded_scans(scans: Path, model: PrimaModel) -> dict[str, EmbeddedStudy]:
    """Real scans read as DICOM, by their folders."""
    return {
        folder: embed_one(find_one(scans / "dicom" / folder, "MRI BRAIN"), model) for folder in SCANS.values()
    }


@pytest.mark.parametrize("name", SCANS)
def test_real_scans_give_the_public_vectors_and_scores(
    name: str, golden: Path, embedded_scans: dict[str, EmbeddedStudy], published: Path
) -> None:
    check(embedded_scans[SCANS[name]], np.load(golden / f"{name}.npz"), published)


def test_two_runs_are_equal_to_the_bit(
    study_a: Path, golden_a: dict, model: PrimaModel, embedded_a: EmbeddedStudy
) -> None:
    again = embed_one(find_one(study_a, golden_a["description"]), model)
    np.testing.assert_array_equal(again.embedding, embedded_a.embedding)
    np.testing.assert_array_equal(again.clip, embedded_a.clip)


@pytest.mark.parametrize("batch_size", [1000, 7])
def test_a_study_alone_and_among_others_is_the_same(
    study_a: Path, golden_a: dict, model: PrimaModel, embedded_a: EmbeddedStudy, batch_size: int
) -> None:
    whole = find_one(study_a, golden_a["description"])
    others = [
        replace(whole, id=f"sub-{i}", series=whole.series[i : i + 1], description="HEAD") for i in (1, 3)
    ]
    results = list(embed_studies([others[0], whole, others[1]], model, EngineOptions(batch_size=batch_size)))
    among = results[1]
    assert isinstance(among, EmbeddedStudy)
    largest = np.abs(embedded_a.embedding).max()
    assert np.abs(among.embedding - embedded_a.embedding).max() <= 1e-5 * largest
    for found, expected in zip(among.series, embedded_a.series, strict=True):
        assert np.abs(found.embedding - expected.embedding).max() <= 1e-5 * np.abs(expected.embedding).max()


def test_names_of_files_play_no_part(
    study_a: Path, golden_a: dict, model: PrimaModel, embedded_a: EmbeddedStudy, tmp_path: Path
) -> None:
    files = sorted(study_a.rglob("*.dcm"))
    names = np.random.default_rng(0).permutation(len(files))
    for file, name in zip(files, names, strict=True):
        shutil.copyfile(file, tmp_path / f"1.2.840.{name}")
    shuffled = embed_one(find_one(tmp_path, golden_a["description"]), model)
    np.testing.assert_array_equal(shuffled.embedding, embedded_a.embedding)


@pytest.mark.parametrize("folder", ["study_a", *SCANS.values()])
def test_a_scan_read_as_dicom_and_as_nifti_gives_the_same_tokens(
    folder: str, study_a: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source = study_a if folder == "study_a" else request.getfixturevalue("scans") / "dicom" / folder
    for i, series in enumerate(find_one(source, "MRI BRAIN").series):
        nifti = Series(series.name, convert(series.files, tmp_path / str(i)))
        one, other = (read_volume(each, Preprocessing()) for each in (series, nifti))
        assert one.plane == other.plane
        one, other = (in_order(cut(volume)) for volume in (one, other))
        assert len(one[0]) > 100
        np.testing.assert_array_equal(one[0], other[0])
        # Interpolation of intensities from 0 to 1 at coordinates that the NIfTI header rounds.
        np.testing.assert_allclose(one[1], other[1], rtol=0, atol=5e-3)


def in_order(tokens: Subvolumes) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and values of all tokens, in the order of their coordinates; darkness orders them otherwise."""
    order = np.lexsort(tokens.coord.T)
    return tokens.coord[order], tokens.values[tokens.row][order]


def convert(files: tuple[Path, ...], folder: Path) -> NiftiImage:
    """What dcm2niix makes of a series, with the orientation from its sidecar."""
    import subprocess

    from dcm2niix import bin as dcm2niix

    (folder / "in").mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / "in" / f"{number}.dcm").symlink_to(file)
    command = [dcm2niix, "-z", "n", "-f", "image", "-o", str(folder), str(folder / "in")]
    subprocess.run(command, capture_output=True, check=True)
    sidecar = json.loads((folder / "image.json").read_text())
    return NiftiImage(folder / "image.nii", orientation=tuple(sidecar["ImageOrientationPatientDICOM"]))
