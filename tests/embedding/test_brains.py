"""Brain masks and transforms in parts, embeddings files, merges and exports, and in the hash of a study's inputs."""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from prima_features.embedding.export import export
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.file.records import BRAIN, EmbeddedSeries, EmbeddedStudy, input_hash
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.merge import merge
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.encoders.base import BrainRecord
from prima_features.errors import UsageError
from prima_features.studies.study import NiftiImage, Series, Study

PROVENANCE = Provenance("tiny", "local", "ab12", {"matrix": 256}, uses_anatomy=True)
MATRIX = (*(0.9, 0.1, 0.0, -2.5), *(-0.1, 0.9, 0.0, 1.25), *(0.0, 0.0, 0.95, 3.0), *(0.0, 0.0, 0.0, 1.0))
KNOWN = BrainRecord("fMRIPrep", 1.5, "fMRIPrep", MATRIX, 0.90625, 0.9375)
MASK_ONLY = BrainRecord("SynthStrip", 1.25)
UNKNOWN = BrainRecord()


def study(number: int, *brains: BrainRecord | None) -> EmbeddedStudy:
    series = tuple(
        EmbeddedSeries(
            *("T1w", "axial", "", 3, (24, 256, 256), (5.0, 1.0, 1.0), np.ones(4, np.float32)), brain=brain
        )
        for brain in brains
    )
    vector = np.full(4, number, np.float32)
    return EmbeddedStudy(
        f"sub-{number}",
        f"{number}",
        "",
        "MRI",
        "",
        vector,
        np.ones(2, np.float32),
        series,
        input_hash=f"s:{number}",
    )


STUDIES = [study(1, KNOWN, MASK_ONLY), study(2, UNKNOWN)]


def assert_same(found: BrainRecord | None, expected: BrainRecord) -> None:
    assert found is not None
    assert (found.mask_from, found.to_mni_from, found.to_mni) == (
        *(expected.mask_from, expected.to_mni_from, expected.to_mni),
    )
    numbers = [(one.litres, one.scale, one.dice) for one in (found, expected)]
    np.testing.assert_array_equal(*numbers)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "out.h5"
    write_embeddings(path, STUDIES, PROVENANCE)
    return path


def test_the_file_has_a_column_for_each_fact(sound: Path) -> None:
    series = read_embeddings(sound).series
    assert series["mask_from"].tolist() == ["fMRIPrep", "SynthStrip", ""]
    assert series["mni_from"].tolist() == ["fMRIPrep", "", ""]
    np.testing.assert_array_equal(series["brain_litres"], [1.5, 1.25, np.nan])
    np.testing.assert_array_equal(series["mni_scale"], [0.90625, np.nan, np.nan])
    np.testing.assert_array_equal(series["mni_dice"], [0.9375, np.nan, np.nan])
    matrix = [series[f"to_mni_{row}{column}"][0] for row in "1234" for column in "1234"]
    assert tuple(matrix) == MATRIX
    assert series.filter(like="to_mni_").iloc[1:].isna().all(axis=None)
    with h5py.File(sound) as file:
        assert file["series/to_mni"].dtype == np.float64
        assert file["series/brain_litres"].dtype == np.float32


def test_files_of_other_encoders_have_none_of_them(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "out.h5", [study(1, None)], replace(PROVENANCE, uses_anatomy=False))
    assert not BRAIN.keys() & set(read_embeddings(tmp_path / "out.h5").series)
    with StoredStudies(tmp_path / "out.h5") as stored:
        assert not stored.provenance.uses_anatomy
        assert stored.get("sub-1").series[0].brain is None  # type: ignore[union-attr]


def test_a_study_of_a_file_is_written_again_as_it_was(sound: Path) -> None:
    with StoredStudies(sound) as stored:
        assert stored.provenance.uses_anatomy
        for expected in STUDIES:
            found = stored.get(expected.id)
            assert isinstance(found, EmbeddedStudy)
            for one, other in zip(found.series, expected.series, strict=True):
                assert_same(one.brain, other.brain or UNKNOWN)


def test_a_part_keeps_them(tmp_path: Path) -> None:
    parts = PartsFolder(tmp_path)
    for expected in STUDIES:
        parts.save(expected)
        found = parts.load(expected.id, expected.input_hash)
        assert isinstance(found, EmbeddedStudy)
        for one, other in zip(found.series, expected.series, strict=True):
            assert_same(one.brain, other.brain or UNKNOWN)


@pytest.mark.parametrize(
    "hostile",
    [
        replace(KNOWN, litres=-1.0),
        replace(KNOWN, dice=1.5),
        replace(KNOWN, scale=math.inf),
        replace(KNOWN, to_mni=MATRIX[:12]),
        replace(KNOWN, to_mni=(*MATRIX[:15], 2.0)),
        replace(KNOWN, mask_from="x" * 10_000),
        replace(KNOWN, mask_from=3),  # type: ignore[arg-type]
    ],
    ids=["litres", "dice", "scale", "twelve numbers", "no affine", "long text", "no text"],
)
def test_a_part_with_impossible_values_is_damaged(
    tmp_path: Path, hostile: BrainRecord, caplog: pytest.LogCaptureFixture
) -> None:
    parts = PartsFolder(tmp_path)
    parts.save(study(1, hostile))
    assert parts.load("sub-1", "s:1") is None
    assert "The part of sub-1 is damaged" in caplog.text


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("brain_litres", -1.0),
        ("brain_litres", np.inf),
        ("mni_scale", 1e9),
        ("mni_dice", 1.01),
        ("to_mni", np.inf),
        ("to_mni", np.full(16, 1.0)),
        ("to_mni", [np.nan, *MATRIX[1:]]),
    ],
)
def test_a_file_with_impossible_values_is_refused(
    sound: Path, tmp_path: Path, column: str, value: object
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "out.h5"))
    with h5py.File(path, "r+") as file:
        file["series"][column][0] = value
    with pytest.raises(UsageError, match=f"/series/{column} is not"):
        read_embeddings(path)


def test_a_file_with_some_of_the_columns_is_refused(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "out.h5"))
    with h5py.File(path, "r+") as file:
        del file["series/mni_dice"]
    with pytest.raises(UsageError, match="it has no /series/mni_dice"):
        read_embeddings(path)


def test_a_matrix_of_another_size_is_refused(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "out.h5"))
    with h5py.File(path, "r+") as file:
        del file["series/to_mni"]
        file["series/to_mni"] = np.zeros((3, 12))
    with pytest.raises(UsageError, match="to_mni does not have 16 numbers per row"):
        read_embeddings(path)


def test_merged_files_keep_them(sound: Path, tmp_path: Path) -> None:
    write_embeddings(tmp_path / "other.h5", [study(3, KNOWN)], PROVENANCE)
    merge(tmp_path / "all.h5", [sound, tmp_path / "other.h5"], report=False)
    series = read_embeddings(tmp_path / "all.h5").series
    assert series["mask_from"].tolist() == ["fMRIPrep", "SynthStrip", "", "fMRIPrep"]
    assert series["to_mni_14"].tolist()[::3] == [-2.5, -2.5]


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz"])
def test_exports_of_series_have_them(sound: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"series.{ending}"
    export(sound, path, "series")
    if ending == "npz":
        with np.load(path) as arrays:
            found = pd.DataFrame({name: arrays[name] for name in arrays if arrays[name].shape == (3,)})
    else:
        found = pd.read_csv(path, keep_default_na=True) if ending == "csv" else pd.read_parquet(path)
    np.testing.assert_array_equal(found["brain_litres"], [1.5, 1.25, np.nan])
    np.testing.assert_array_equal(found["to_mni_24"], [1.25, np.nan, np.nan])


@pytest.fixture
def derived(tmp_path: Path) -> Study:
    """A study of one scan with a mask and a transform."""
    for name in ("scan.nii.gz", "mask.nii.gz", "xfm.txt"):
        (tmp_path / name).write_bytes(b"123")
    scan = Series("T1w", NiftiImage(tmp_path / "scan.nii.gz"))
    scan = replace(scan, mask=tmp_path / "mask.nii.gz", to_mni=tmp_path / "xfm.txt", anatomy_from="manifest")
    return Study("sub-01", "01", "", "MRI BRAIN", (scan,))


def test_masks_and_transforms_are_inputs_only_of_encoders_that_use_them(derived: Study) -> None:
    (scan,) = derived.series
    bare = replace(derived, series=(replace(scan, mask=None, to_mni=None, anatomy_from=""),))
    assert input_hash(derived, "s") == input_hash(bare, "s") == input_hash(bare, "s", uses_anatomy=True)
    hashes = {input_hash(derived, "s", uses_anatomy=True), input_hash(derived, "s")}
    for one in ({"mask": None}, {"to_mni": None}, {"mask": scan.to_mni, "to_mni": scan.mask}):
        hashes.add(input_hash(replace(derived, series=(replace(scan, **one),)), "s", uses_anatomy=True))
    assert len(hashes) == 5


def test_a_changed_mask_makes_the_hash_another_one(derived: Study) -> None:
    before = [input_hash(derived, "s", uses) for uses in (True, False)]
    mask = derived.series[0].mask
    assert mask is not None
    os.utime(mask, ns=(1, 1))
    after = [input_hash(derived, "s", uses) for uses in (True, False)]
    assert after[0] != before[0] and after[1] == before[1]


@pytest.mark.parametrize("uses_anatomy", [True, False])
def test_a_part_notices_a_changed_mask_if_it_was_an_input(
    derived: Study, tmp_path: Path, uses_anatomy: bool
) -> None:
    parts = PartsFolder(tmp_path / "parts")
    parts.create()
    parts.save(replace(study(1, KNOWN), id=derived.id), derived, uses_anatomy)
    assert not parts.changed(derived.id)
    os.utime(tmp_path / "mask.nii.gz", ns=(1, 1))
    assert parts.changed(derived.id) == uses_anatomy
