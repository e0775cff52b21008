"""Parts: kept while their hash holds, and never trusted because they exist."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.parts import Parts, input_hash
from prima_features.embedding.records import EmbeddedSeries, EmbeddedStudy, Failure, TokenLevel
from prima_features.studies.study import NiftiImage, Series, Study

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
            TokenLevel(np.ones((2, 256), np.float16), np.zeros((2, 3), np.int16)),
        ),
    ),
    failures=(Failure("sub-01_ses-a", "dwi", "read", "empty", "again"),),
)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path / "out.h5")
    made.create()
    return made


def test_a_part_comes_back_as_it_was(parts: Parts) -> None:
    parts.save(STUDY, "digest")
    loaded = parts.load(STUDY.id, "digest")
    assert loaded is not None
    np.testing.assert_array_equal(loaded.embedding, STUDY.embedding)
    np.testing.assert_array_equal(loaded.series[1].tokens.embedding, STUDY.series[1].tokens.embedding)
    bare = {"embedding": None, "tokens": None}
    assert [replace(s, **bare) for s in loaded.series] == [replace(s, **bare) for s in STUDY.series]
    assert loaded.failures == STUDY.failures


def test_a_part_of_other_inputs_or_a_damaged_one_is_not_taken(parts: Parts) -> None:
    assert parts.load(STUDY.id, "digest") is None
    parts.save(STUDY, "digest")
    assert parts.load(STUDY.id, "other") is None
    (path,) = parts.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    assert parts.load(STUDY.id, "digest") is None


def test_the_hash_follows_everything_that_the_numbers_depend_on(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"123")
    study = Study("sub-01", "01", "", "MRI BRAIN", (Series("T1w", NiftiImage(scan)),))
    first = input_hash(study, {"model": "a"})
    assert input_hash(study, {"model": "a"}) == first
    assert input_hash(study, {"model": "b"}) != first
    assert input_hash(replace(study, description="HEAD"), {"model": "a"}) != first
    renamed = replace(study, series=(replace(study.series[0], name="T2w"),))
    assert input_hash(renamed, {"model": "a"}) != first
    os.utime(scan, ns=(1, 1))
    assert input_hash(study, {"model": "a"}) != first
