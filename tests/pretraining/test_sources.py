"""Where studies come from, on disk or made."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from accelerate import Accelerator

from prima_features.preprocessing import Preprocessing
from prima_features.pretraining.cache import Cache
from prima_features.pretraining.fill import Filler, fill_cohort
from prima_features.pretraining.records import RawStudy
from prima_features.pretraining.reports import Report
from prima_features.pretraining.settings import ReportedScans, Scans
from prima_features.pretraining.sources import open_source
from prima_features.pretraining.sources.rendered import RenderedSeries
from prima_features.reports import findings
from prima_features.studies.study import NiftiImage, Series
from prima_features.synthetic.output.run import CohortOptions, make_cohort
from prima_features.volumes import read_volume

AXIAL = np.array([[-1.5, 0, 0], [0, -1.5, 0.0], [0, 0, 5.0]])
SAGITTAL = np.array([[0, 0, -1.0], [-1.0, 0, 0], [0, -1.0, 0]])


def voxels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, (40, 32, 12)).astype(np.int16)


@pytest.mark.parametrize(("directions", "axis"), [(AXIAL, 0), (SAGITTAL, 2)])
def test_a_made_series_is_what_its_file_would_be(directions: np.ndarray, axis: int, tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] = directions
    made = RenderedSeries("T1", "1", lambda: (voxels(3), affine)).volume(Preprocessing())
    assert made.slice_axis == axis
    nib.save(nib.Nifti1Image(voxels(3), affine), tmp_path / "t1.nii.gz")
    cosines = (np.diag([-1, -1, 1]) @ affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)).T.ravel()
    image = NiftiImage(tmp_path / "t1.nii.gz", orientation=tuple(cosines))
    read = read_volume(Series("T1", image))
    np.testing.assert_array_equal(made.values, read.values)
    assert made.spacing == read.spacing and made.slice_axis == read.slice_axis


def test_any_sequence_of_studies_fills_a_cohort(tmp_path: Path) -> None:
    import torch

    class Endless:
        """Studies that are made one at a time, when they are asked for."""

        def __len__(self) -> int:
            return 3

        def __getitem__(self, number: int) -> RawStudy:
            affine = np.diag([1.0, 1, 4, 1])
            series = RenderedSeries("T1", f"seed {number}", lambda: (voxels(number), affine))
            return RawStudy(f"made-{number}", str(number), "MRI BRAIN", (series,), ("a finding",))

    def make(series: RenderedSeries) -> dict[str, torch.Tensor]:
        return {"mean": torch.tensor(float(series.volume(Preprocessing()).values.mean()))}

    cohort = fill_cohort(Filler(Endless(), Cache(tmp_path, {}), make), Accelerator(cpu=True))
    assert [study.id for study in cohort.studies] == ["made-0", "made-1", "made-2"]
    means = [float(cohort.tensors(study.series[0])["mean"]) for study in cohort.studies]
    assert len(set(means)) == 3


def test_only_studies_with_a_report_are_taken(bids: Path, tmp_path: Path) -> None:
    reports = {"sub-02": Report(("a",), abnormal=True), "sub-99": Report(("b",))}
    studies, left_out = open_source(Scans(source=bids), 0, tmp_path, reports)
    assert [(study.id, study.findings, study.abnormal) for study in studies] == [("sub-02", ("a",), True)]
    assert [item.error for item in left_out] == ["it has no report"] * 7
    assert not any(item.defect for item in left_out)


def test_a_description_takes_the_place_of_the_scans(bids: Path, tmp_path: Path) -> None:
    studies, _ = open_source(Scans(source=bids, description="MRI HEAD"), 0, tmp_path)
    assert {study.description for study in studies} == {"MRI HEAD"}
    assert [series.name for series in studies[0].series] == ["FLAIR", "T1w"]


def test_synthetic_studies_are_made_when_they_are_asked_for_and_the_same_each_time(tmp_path: Path) -> None:
    studies, left_out = open_source(Scans(synthetic=2), 7, tmp_path)
    again, _ = open_source(Scans(synthetic=2), 7, tmp_path)
    assert len(studies) == 2 and not left_out
    assert [study.id for study in studies] == ["sub-0001", "sub-0002"]
    one, other = studies[1], again[1]
    assert [series.name for series in one.series] == [series.name for series in other.series]
    prints = [series.fingerprint for study in studies for series in study.series]
    assert prints == [series.fingerprint for study in again for series in study.series]
    assert len(set(prints)) == len(prints) >= 10
    first = min(range(len(one.series)), key=lambda i: one.series[i].name)
    volume = one.series[first].volume(Preprocessing())
    np.testing.assert_array_equal(volume.values, other.series[first].volume(Preprocessing()).values)
    assert (volume.values > 50).mean() > 0.1
    with pytest.raises(IndexError):
        studies[2]


def test_synthetic_studies_bring_the_findings_of_the_reports_that_prima_synth_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ReportedScans(synthetic=2, synthetic_seed=3, synthetic_settings="varied")
    (study, other), _ = open_source(data, 7, tmp_path)
    assert study.find is not None and other.find is not None
    told = study.find()
    made = make_cohort(tmp_path / "cohort", CohortOptions(1, seed=3, settings="varied"))
    assert list(told[0]) == findings(made[0].report["report"])
    assert other.find() != told

    def refuse(subject: object) -> None:
        raise AssertionError("the findings are kept, and no brain is needed for them")

    monkeypatch.setattr("prima_features.pretraining.sources.synthetic.build_anatomy", refuse)
    again, _ = open_source(data, 7, tmp_path)
    assert again[0].find is not None and again[0].find() == told
