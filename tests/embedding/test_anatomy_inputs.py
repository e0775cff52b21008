"""Masks are inputs: new or changed ones make the studies of encoders that use them stale, and of no others."""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.resume.options import RunOptions, parse_shard
from prima_features.embedding.run import EmbedSummary, embed, embed_several
from prima_features.encoders.base import (
    BrainRecord,
    EncodedStudy,
    Encoder,
    EncoderInfo,
    Inference,
    Prepared,
    Preparer,
    Progress,
    Widths,
)
from prima_features.studies import FindOptions
from prima_features.studies.study import Series, Study
from prima_features.volumes import ReadOptions

IDENTITY = tuple(np.eye(4).ravel().tolist())


@dataclass(frozen=True)
class FakePreparer:
    """Reads nothing, and records the mask that the finder named."""

    uses_anatomy: bool

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        brain = None
        if self.uses_anatomy and series.mask is not None:
            voxels = np.asanyarray(nib.load(series.mask).dataobj)
            brain = BrainRecord(
                series.anatomy_from, float(voxels.sum()) / 1e3, series.anatomy_from, IDENTITY, 1.0
            )
        elif self.uses_anatomy:
            brain = BrainRecord()
        value = 0.0 if brain is None or not brain.mask_from else brain.litres
        return Prepared(np.array([value, 1.0]), 1, 1, "axial", (8, 8, 8), (1.0, 1.0, 1.0), brain=brain)


class FakeEncoder(Encoder, Inference):
    """Its vectors are the volume of the mask, and 1."""

    def __init__(self, uses_anatomy: bool):
        self._info = EncoderInfo(
            "fake", f"fake-{uses_anatomy}", "1", "ab" * 32, Widths(None, 2), uses_anatomy=uses_anatomy
        )

    @property
    def info(self) -> EncoderInfo:
        return self._info

    def preparer(self) -> Preparer:
        return FakePreparer(self._info.uses_anatomy)

    def on(self, device: torch.device, dtype: torch.dtype, batch_size: int) -> Inference:
        return self

    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        return [
            EncodedStudy(np.array([prepared.arrays for _, prepared in series], np.float32))
            for _, series in studies
        ]


def put_volume(path: Path, n_ones: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(512, np.uint8)
    values[:n_ones] = 1
    nib.save(nib.Nifti1Image(values.reshape(8, 8, 8), np.eye(4)), path)


def mask_of(root: Path, subject: str) -> Path:
    return root / f"derivatives/fmriprep/sub-{subject}/anat/sub-{subject}_desc-brain_mask.nii.gz"


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    root = tmp_path / "bids"
    for subject in ("01", "02", "03"):
        put_volume(root / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", 100)
    (root / "dataset_description.json").write_text("{}")
    return root


def run(bids: Path, output: Path, uses_anatomy: bool, **options: object) -> EmbedSummary:
    engine_options = EngineOptions(workers=0, pictures=False)
    return embed(bids, output, FakeEncoder(uses_anatomy), engine_options=engine_options, **options)


@pytest.mark.parametrize(("uses_anatomy", "n_kept"), [(True, 2), (False, 3)])
def test_new_derivatives_embed_again_only_what_uses_them(
    bids: Path, tmp_path: Path, uses_anatomy: bool, n_kept: int
) -> None:
    output = tmp_path / "out.h5"
    assert run(bids, output, uses_anatomy).n_kept == 0
    put_volume(mask_of(bids, "02"), 300)
    assert run(bids, output, uses_anatomy).n_kept == n_kept
    assert run(bids, output, uses_anatomy).n_kept == 3
    assert read_embeddings(output).study_embedding[1, 0] == pytest.approx(0.3 if uses_anatomy else 0.0)


@pytest.mark.parametrize(("uses_anatomy", "n_kept"), [(True, 2), (False, 3)])
def test_a_changed_mask_embeds_again_only_what_uses_it(
    bids: Path, tmp_path: Path, uses_anatomy: bool, n_kept: int
) -> None:
    for subject in ("01", "02", "03"):
        put_volume(mask_of(bids, subject), 200)
    output = tmp_path / "out.h5"
    run(bids, output, uses_anatomy)
    put_volume(mask_of(bids, "03"), 400)
    os.utime(mask_of(bids, "03"), ns=(1, 1))
    assert run(bids, output, uses_anatomy).n_kept == n_kept
    expected = [0.2, 0.2, 0.4] if uses_anatomy else [0.0] * 3
    np.testing.assert_allclose(read_embeddings(output).study_embedding[:, 0], expected)


def test_other_derivatives_with_the_same_mask_change_nothing(bids: Path, tmp_path: Path) -> None:
    put_volume(mask_of(bids, "01"), 200)
    output = tmp_path / "out.h5"
    run(bids, output, True)
    shutil.move(bids / "derivatives", tmp_path / "elsewhere")
    found = FindOptions(derivatives=(tmp_path / "elsewhere",))
    assert run(bids, output, True, find_options=found).n_kept == 3


def test_models_of_one_run_differ_in_what_makes_them_stale(bids: Path, tmp_path: Path) -> None:
    models = {tmp_path / "a.h5": FakeEncoder(True), tmp_path / "b.h5": FakeEncoder(False)}
    options = EngineOptions(workers=0, pictures=False)
    embed_several(bids, models, engine_options=options)
    put_volume(mask_of(bids, "01"), 100)
    assert [one.n_kept for one in embed_several(bids, models, engine_options=options)] == [2, 3]
    assert read_embeddings(tmp_path / "a.h5").series["mask_from"].tolist() == ["fMRIPrep", "", ""]
    assert "mask_from" not in read_embeddings(tmp_path / "b.h5").series


def test_kept_studies_keep_the_record_of_their_brain(bids: Path, tmp_path: Path) -> None:
    put_volume(mask_of(bids, "01"), 200)
    run(bids, tmp_path / "out.h5", True)
    before = read_embeddings(tmp_path / "out.h5").series
    put_volume(mask_of(bids, "02"), 200)
    run(bids, tmp_path / "out.h5", True)
    after = read_embeddings(tmp_path / "out.h5").series
    assert after.iloc[[0, 2]].equals(before.iloc[[0, 2]]) and after["mask_from"][1] == "fMRIPrep"


def test_shards_are_merged_with_the_record_of_the_brains(bids: Path, tmp_path: Path) -> None:
    from prima_features.embedding.merge import merge

    put_volume(mask_of(bids, "01"), 200)
    for shard in ("1/2", "2/2"):
        run(bids, tmp_path / "out.h5", True, run_options=RunOptions(parse_shard(shard)))
    merge(tmp_path / "out.h5", report=False)
    series = read_embeddings(tmp_path / "out.h5").series
    assert series["mask_from"].tolist() == ["fMRIPrep", "", ""]
    np.testing.assert_array_equal(series["to_mni_44"], [1.0, np.nan, np.nan])


@pytest.mark.parametrize("uses_anatomy", [True, False])
def test_unclear_masks_are_a_warning_only_to_encoders_that_use_them(
    bids: Path, tmp_path: Path, uses_anatomy: bool, caplog: pytest.LogCaptureFixture
) -> None:
    put_volume(bids / "sub-01/anat/sub-01_acq-2_T1w.nii.gz", 90)
    put_volume(mask_of(bids, "01"), 100)
    with caplog.at_level(logging.WARNING):
        run(bids, tmp_path / "out.h5", uses_anatomy)
    assert ("in the derivatives is not used" in caplog.text) == uses_anatomy
    assert ("in the derivatives is not used" in (tmp_path / "out.run.json").read_text()) == uses_anatomy
