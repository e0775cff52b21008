"""What is computed once is kept by its hashes: a damaged entry is made again, one of something else is no match."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor

from prima_features.embedding.engine.local import EngineOptions, embed_studies
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut
from prima_features.errors import NothingUsableError, SourceError, UsageError
from prima_features.pretraining.batches.studies import series_vectors, usual_tokens
from prima_features.pretraining.data.cache import Cache, Cohort
from prima_features.pretraining.data.fill import Filler, fill_cohort
from prima_features.pretraining.data.records import RawSeries, SeriesTokens
from prima_features.pretraining.data.sources import open_source
from prima_features.pretraining.data.tokenize import cut_widely, latents
from prima_features.pretraining.settings import Scans
from prima_features.studies import find
from prima_features.volumes import Volume


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


class Maker:
    """Computes something of a series, and counts how often."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, series: RawSeries) -> Mapping[str, Tensor]:
        volume = series.volume(Preprocessing())
        self.made.append(series.name)
        return {"mean": torch.tensor([float(volume.values.mean())])}


@pytest.fixture
def scans(bids: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of two subjects that a test may change."""
    for subject in ("sub-00", "sub-01"):
        shutil.copytree(bids / subject, tmp_path / "bids" / subject)
    shutil.copy(bids / "dataset_description.json", tmp_path / "bids")
    yield tmp_path / "bids"


def fill(scans: Path, tmp_path: Path, accelerator: Accelerator, settings: str = "a") -> tuple[Cohort, Maker]:
    make = Maker()
    source, left_out = open_source(Scans(source=scans), 0, tmp_path)
    cache = Cache(tmp_path / "cache", {"settings": settings})
    cohort = fill_cohort(Filler(source, cache, make), accelerator, left_out)
    return cohort, make


def test_each_series_is_computed_once(scans: Path, tmp_path: Path, accelerator: Accelerator) -> None:
    first, make = fill(scans, tmp_path, accelerator)
    assert sorted(make.made) == ["FLAIR", "FLAIR", "T1w", "T1w"]
    second, again = fill(scans, tmp_path, accelerator)
    assert again.made == []
    assert first.digest == second.digest
    one = first.studies[0].series[0]
    assert torch.equal(first.tensors(one)["mean"], second.tensors(one)["mean"])


def test_a_changed_scan_is_computed_again(scans: Path, tmp_path: Path, accelerator: Accelerator) -> None:
    before, _ = fill(scans, tmp_path, accelerator)
    source = scans / "sub-00" / "anat" / "sub-00_T1w.nii.gz"
    source.write_bytes((scans / "sub-01" / "anat" / "sub-01_T1w.nii.gz").read_bytes())
    after, make = fill(scans, tmp_path, accelerator)
    assert make.made == ["T1w"]
    assert after.digest != before.digest
    source.write_bytes((scans / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz").read_bytes())
    assert fill(scans, tmp_path, accelerator)[1].made == ["T1w"]


def test_scans_may_be_moved(scans: Path, tmp_path: Path, accelerator: Accelerator) -> None:
    before, _ = fill(scans, tmp_path, accelerator)
    moved = scans.rename(tmp_path / "moved")
    after, make = fill(moved, tmp_path, accelerator)
    assert make.made == [] and after.digest == before.digest
    (tmp_path / "link").symlink_to(moved)
    assert fill(tmp_path / "link", tmp_path, accelerator)[1].made == []


def test_scans_of_one_size_and_time_are_told_apart(
    scans: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    plain = tmp_path / "plain"
    for number, folder in enumerate(("one", "two")):
        image = nib.load(scans / f"sub-0{number}" / "anat" / f"sub-0{number}_T1w.nii.gz")
        path = plain / folder / "sub-00" / "anat" / "sub-00_T1w.nii"
        path.parent.mkdir(parents=True)
        nib.save(image, path)
        os.utime(path, (0, 0))
        shutil.copy(scans / "dataset_description.json", plain / folder)
    fill(plain / "one", tmp_path, accelerator)
    assert fill(plain / "two", tmp_path, accelerator)[1].made == ["T1w"]


def test_a_disk_that_goes_away_ends_the_run_and_not_the_studies(
    scans: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    source, left_out = open_source(Scans(source=scans), 0, tmp_path)
    away = tmp_path / "away"

    class Unplugged(Maker):
        def __call__(self, series: RawSeries) -> Mapping[str, Tensor]:
            found = super().__call__(series)
            if scans.exists():
                scans.rename(away)
            return found

    filler = Filler(source, Cache(tmp_path / "cache", {"settings": "a"}), Unplugged())
    with pytest.raises(
        SourceError, match="finished work is kept: run the same command again when the disk is available"
    ):
        fill_cohort(filler, accelerator, left_out)
    away.rename(scans)
    cohort, make = fill(scans, tmp_path, accelerator)
    assert len(make.made) == 3 and len(cohort.studies) == 2 and not cohort.failures


def test_other_settings_compute_all_again(scans: Path, tmp_path: Path, accelerator: Accelerator) -> None:
    fill(scans, tmp_path, accelerator)
    assert len(fill(scans, tmp_path, accelerator, "b")[1].made) == 4


def test_data_sets_whose_ids_are_alike_share_a_cache(
    scans: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    other = tmp_path / "other"
    shutil.copytree(scans, other)
    shutil.rmtree(other / "sub-00")
    (other / "sub-01").rename(other / "sub-00")
    for path in (other / "sub-00").rglob("sub-01*"):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-00")))
    one, _ = fill(scans, tmp_path, accelerator)
    two, make = fill(other, tmp_path, accelerator)
    assert sorted(make.made) == ["FLAIR", "T1w"]
    assert one.studies[0].id == two.studies[0].id
    mine, others = (cohort.tensors(cohort.studies[0].series[0])["mean"] for cohort in (one, two))
    assert not torch.equal(mine, others)
    assert fill(scans, tmp_path, accelerator)[1].made == []


def flip_a_number(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_content(path: Path) -> None:
    """Whole, with numbers of another shape and no hashes."""
    tensors = load_file(path)
    save_file({name: tensor.repeat(2) for name, tensor in tensors.items()}, path)


@pytest.mark.parametrize("damage", [flip_a_number, cut_off, empty, other_content])
def test_a_damaged_entry_is_computed_again(
    damage, scans: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    cohort, _ = fill(scans, tmp_path, accelerator)
    series = cohort.studies[1].series[0]
    whole = cohort.tensors(series)["mean"]
    damage(series.entry.path)
    with pytest.raises(UsageError, match="run the same command again"):
        cohort.tensors(series)
    repaired, make = fill(scans, tmp_path, accelerator)
    assert make.made == [series.name]
    assert torch.equal(repaired.tensors(series)["mean"], whole)


def test_a_bad_series_is_recorded_and_the_rest_goes_on(
    scans: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    (scans / "sub-00" / "anat" / "sub-00_T1w.nii.gz").write_bytes(b"no image")
    cohort, _ = fill(scans, tmp_path, accelerator)
    assert [[s.name for s in study.series] for study in cohort.studies] == [["FLAIR"], ["FLAIR", "T1w"]]
    assert [(f.study, f.series) for f in cohort.failures] == [("sub-00", "T1w")]
    for path in scans.rglob("*.nii.gz"):
        path.write_bytes(b"no image")
    with pytest.raises(NothingUsableError, match="no study has a usable series"):
        fill(scans, tmp_path, accelerator)


def volumes() -> list[Volume]:
    """With little foreground, with much, and with holes."""
    rng = np.random.default_rng(0)
    made = []
    for amount in (0.03, 0.3, 0.9):
        values = rng.random((32, 256, 256)) * 40
        blobs = rng.random((8, 16, 16)) < amount
        values += 300 * np.kron(blobs, np.ones((4, 16, 16)))
        values[8:12, 64:96, 64:96] = 0
        made.append(Volume(values.astype(np.float32), (4.0, 1.0, 1.0), 0))
    return made


@pytest.mark.parametrize("number", range(3))
def test_a_moved_threshold_needs_no_other_tokens(number: int) -> None:
    volume, preprocessing = volumes()[number], Preprocessing()
    usual = cut(volume, preprocessing)
    widest, counts = cut_widely(volume, preprocessing, reach=2)
    assert counts[2] == len(usual)
    for move, count in zip(range(-2, 3), counts, strict=True):
        threshold = max(usual.threshold + move, 0)
        moved = cut(volume, replace(preprocessing, start_percent=threshold, min_kept=-1))
        np.testing.assert_array_equal(widest.coord[len(widest) - count :], moved.coord)
        np.testing.assert_array_equal(
            widest.values[widest.row[len(widest) - count :]], moved.values[moved.row]
        )


def test_cached_latents_are_what_embedding_encodes(bids: Path) -> None:
    model = PrimaModel.from_pretrained("prima-untrained")
    study = replace(find(bids).studies[0], description="MRI BRAIN")
    (embedded,) = embed_studies([study], model, EngineOptions())
    vectors = []
    for series in study.series:
        widest, counts = cut_widely(read_volume(series), model.preprocessing, 2)
        tokens = SeriesTokens(
            series.name,
            widest.slice_axis,
            latents(model, widest, torch.float32),
            torch.from_numpy(widest.row),
            torch.from_numpy(widest.coord),
            counts,
            torch.arange(len(widest.row)),
        )
        vectors.append(series_vectors(usual_tokens(tokens), model.config))
    from prima_features.encoders.ragged import Ragged

    with torch.no_grad():
        series, output = model(Ragged.from_list(vectors), [s.name for s in study.series], [2], ["MRI BRAIN"])
    largest = np.abs(embedded.embedding).max()
    assert np.abs(output.embedding[0].numpy() - embedded.embedding).max() < 1e-5 * largest
