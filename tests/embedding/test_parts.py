"""Parts: kept while their hash holds, and never trusted because they exist."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy, FailedStudy, input_hash
from prima_features.embedding.file.write import Provenance
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.resume.plan import OutputPlan, read_plan
from prima_features.encoders.base import Tokens
from prima_features.errors import UsageError
from prima_features.studies.study import DicomSlices, Failure, NiftiImage, Series, Study

STUDY = EmbeddedStudy(
    id="sub-01_ses-a",
    subject="01",
    session="a",
    description="MRI BRAIN",
    source="sub-01/ses-a",
    embedding=np.arange(6, dtype=np.float32),
    clip=np.ones(2, np.float32),
    series=(
        EmbeddedSeries("T1w", "axial", "x", 3, (24, 256, 256), (5.0, 1.0, 1.0), np.ones(4, np.float32)),
        EmbeddedSeries(
            "T2w",
            "coronal",
            "y",
            2,
            (256, 24, 256),
            (1.0, 5.0, 1.0),
            np.zeros(4, np.float32),
            Tokens(np.ones((2, 256), np.float16), np.zeros((2, 3), np.int16)),
        ),
    ),
    failures=(Failure("sub-01_ses-a", "dwi", "read", "empty", "again"),),
    input_hash="settings:files",
)


@pytest.fixture
def parts(tmp_path: Path) -> PartsFolder:
    made = PartsFolder.of(tmp_path / "out.h5")
    made.create()
    return made


def test_a_part_comes_back_as_it_was(parts: PartsFolder) -> None:
    parts.save(STUDY)
    loaded = parts.load(STUDY.id, STUDY.input_hash)
    assert isinstance(loaded, EmbeddedStudy)
    np.testing.assert_array_equal(loaded.embedding, STUDY.embedding)
    np.testing.assert_array_equal(loaded.series[1].tokens.embedding, STUDY.series[1].tokens.embedding)
    bare = {"embedding": None, "tokens": None}
    assert [replace(s, **bare) for s in loaded.series] == [replace(s, **bare) for s in STUDY.series]
    assert (loaded.failures, loaded.input_hash) == (STUDY.failures, STUDY.input_hash)
    header = parts.header(STUDY.id)
    assert (header.input_hash, header.n_series, header.failures) == (STUDY.input_hash, 2, STUDY.failures)
    assert not header.sound


def test_a_failed_study_is_remembered_with_its_reason(parts: PartsFolder) -> None:
    failed = FailedStudy("sub-02", (Failure("sub-02", "T1w", "read", "empty"),), "settings:files")
    parts.save(failed)
    assert parts.load("sub-02", "settings:files") == failed
    assert parts.header("sub-02").n_series == 0


def test_a_part_of_other_inputs_is_not_taken(parts: PartsFolder) -> None:
    assert parts.load(STUDY.id, STUDY.input_hash) is None
    assert parts.header(STUDY.id) is None
    parts.save(STUDY)
    assert parts.load(STUDY.id, "settings:other") is None


@pytest.mark.parametrize("damage", ["cut off", "emptied", "one bit", "zeros"])
def test_a_damaged_part_is_not_taken(
    parts: PartsFolder, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts.save(STUDY)
    (path,) = parts.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    damaged = {"cut off": content[:-10], "emptied": b"", "one bit": content, "zeros": bytes(len(content))}
    path.write_bytes(damaged[damage])
    assert parts.load(STUDY.id, STUDY.input_hash) is None
    assert f"The part of {STUDY.id} is damaged" in caplog.text


def test_the_hash_follows_everything_that_the_numbers_depend_on(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"123")
    study = Study("sub-01", "01", "", "MRI BRAIN", (Series("T1w", NiftiImage(scan)),))
    first = input_hash(study, "a")
    assert input_hash(study, "a") == first
    assert input_hash(study, "b") != first
    assert input_hash(replace(study, description="HEAD"), "a") != first
    renamed = replace(study, series=(replace(study.series[0], name="T2w"),))
    assert input_hash(renamed, "a") != first
    os.utime(scan, ns=(1, 1))
    changed = input_hash(study, "a")
    assert changed != first
    scan.unlink()
    assert input_hash(study, "a") not in (first, changed)


def test_the_hash_is_the_same_where_the_scans_are_mounted_elsewhere(tmp_path: Path) -> None:
    hashes = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "scan.nii.gz").write_bytes(b"123")
        os.utime(folder / "scan.nii.gz", ns=(1, 1))
        image = NiftiImage(folder / "scan.nii.gz")
        hashes.add(input_hash(Study("sub-01", "01", "", "MRI BRAIN", (Series("T1w", image),)), "a"))
    assert len(hashes) == 1


def test_a_part_under_the_name_of_another_study_is_not_taken(parts: PartsFolder) -> None:
    parts.save(STUDY)
    (path,) = parts.folder.glob("*.safetensors")
    path.rename(path.with_name("sub-other.safetensors"))
    assert parts.header("sub-other") is None and parts.load("sub-other", STUDY.input_hash) is None


def test_ids_that_differ_in_case_only_or_are_long_have_parts_of_their_own(parts: PartsFolder) -> None:
    ids = ("sub-a1", "sub-A1", "sub-" + "x" * 240, "sub-" + "x" * 239 + "y")
    for one in ids:
        parts.save(replace(STUDY, id=one))
    names = [path.name.lower() for path in parts.folder.glob("*.safetensors")]
    assert len(set(names)) == 4
    assert [parts.load(one, STUDY.input_hash).id for one in ids] == list(ids)


def test_a_part_knows_when_its_scan_has_changed(parts: PartsFolder, tmp_path: Path) -> None:
    scan = tmp_path / "scans" / "t1.nii"
    scan.parent.mkdir()
    scan.write_bytes(b"1234")
    study = Study(STUDY.id, "1", "", "", (Series("t1", NiftiImage(scan)),))
    parts.save(STUDY, study)
    assert not parts.changed(STUDY.id)
    scan.write_bytes(b"12345")
    assert parts.changed(STUDY.id)
    parts.save(STUDY, study)
    scan.unlink()
    assert parts.changed(STUDY.id)
    scan.parent.rmdir()  # a disk that is not mounted here tells nothing
    assert not parts.changed(STUDY.id)


def test_a_folder_of_parts_is_checked_and_emptied_of_its_own_only(parts: PartsFolder) -> None:
    parts.save(STUDY)
    parts.check_folder()
    (parts.folder / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match=r"contains mine\.txt"):
        parts.check_folder()
    parts.remove()
    assert [path.name for path in parts.folder.iterdir()] == ["mine.txt"]


def test_the_hash_is_that_of_earlier_releases_so_that_their_parts_stay_valid() -> None:
    images = (
        NiftiImage(Path("/absent/a.nii.gz")),
        DicomSlices(((Path("/absent/1"), Path("/absent/2")),)),
    )
    study = Study("sub-1", "1", "", "MRI", tuple(Series("T1", image) for image in images))
    assert input_hash(study, "s") == "s:42e9ce4ab06b3fb39effef235fb0db01"


def test_a_plan_of_more_than_a_million_studies_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provenance = Provenance("tiny", "1", "ab12", {})
    plan = OutputPlan(provenance, "s", "float32", tuple(map(str, range(1_100_000))), ())
    plan.write(tmp_path)
    assert read_plan(tmp_path) == plan
    monkeypatch.setattr("prima_features.embedding.resume.plan._MOST_VALUES", 1_000_000)
    with pytest.raises(UsageError, match=r"1,100,000 studies, .* too many for one run"):
        plan.write(tmp_path)
