"""Where studies come from, on disk or made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from accelerate import Accelerator
from small_training import clip_settings

from prima_features.cli.main import main
from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.errors import SeriesError, UsageError
from prima_features.pretraining.data.cache import Cache
from prima_features.pretraining.data.fill import Filler, fill_cohort
from prima_features.pretraining.data.records import RawStudy
from prima_features.pretraining.data.sources import open_source
from prima_features.pretraining.data.synthetic import RenderedSeries
from prima_features.pretraining.settings import ReportedScans, Scans
from prima_features.reports import findings
from prima_features.reports.summaries import StudyReport
from prima_features.studies.study import NiftiImage, Series
from prima_features.synthetic.output.run import CohortOptions, make_cohort

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
    reports = {"sub-02": StudyReport(("a",), abnormal=True), "sub-99": StudyReport(("b",))}
    studies, left_out = open_source(Scans(source=bids), 0, tmp_path, reports)
    assert [(study.id, study.findings, study.abnormal) for study in studies] == [("sub-02", ("a",), True)]
    assert [item.error for item in left_out] == ["it has no report"] * 7
    assert not any(item.defect for item in left_out)


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_a_table_of_other_studies_is_told_with_an_id_of_each(
    options: list[str],
    bids: Path,
    write: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tmp_path / "others.tsv"
    table.write_text("study\tfindings\ncase-7\t1. a\n")
    settings = str(write(clip_settings(bids, table, Path("prima-untrained"))))
    assert main(["pretrain", "clip", settings, *options]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error")]
    assert f"none of the studies taken from {bids} has a report in data.reports" in error
    assert "their ids look like sub-00, and those of the table like case-7; give the table the ids" in error
    table.write_text("study\tfindings\nsub-00\t\n")
    assert main(["pretrain", "clip", settings, *options]) == 2
    assert "data.reports holds no report: fill its column of findings" in capsys.readouterr().err


def test_of_a_table_of_other_dicom_studies_no_id_is_told(study_a: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        open_source(Scans(source=study_a), 0, tmp_path, {"Doe-4711": StudyReport(("a",))}, keep=False)
    assert "of the table like xxx-0000 (0 for digits, x for letters)" in str(error.value)
    assert "give the table StudyInstanceUIDs" in str(error.value)
    assert "4711" not in str(error.value)


@pytest.fixture(scope="module")
def visits_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects who come twice, with two datatypes; and `scans.txt`, a manifest of the first one's first visit."""
    root = tmp_path_factory.mktemp("two")
    for subject in ("sub-01", "sub-02"):
        for session in ("ses-a", "ses-b"):
            for datatype, suffix in (("anat", "T1w"), ("swi", "swi")):
                folder = root / subject / session / datatype
                folder.mkdir(parents=True)
                image = nib.Nifti1Image(voxels(1), np.diag([5.0, 5, 12, 1]))
                nib.save(image, folder / f"{subject}_{session}_{suffix}.nii.gz")
    (root / "scans.txt").write_text(
        "path,subject,series\nsub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz,X1,t1 sag\n"
    )
    return root


@pytest.mark.parametrize(
    ("source", "choice", "expected"),
    [
        ("", {"sessions": ("b",)}, {"sub-01_ses-b": ["T1w", "swi"], "sub-02_ses-b": ["T1w", "swi"]}),
        ("", {"sessions": ("ses-a",), "participants": ("02",)}, {"sub-02_ses-a": ["T1w", "swi"]}),
        (
            "",
            {"datatypes": ("swi",), "participants": ("01",)},
            {"sub-01_ses-a": ["swi"], "sub-01_ses-b": ["swi"]},
        ),
        ("scans.txt", {"format": "manifest"}, {"sub-X1": ["t1 sag"]}),
    ],
)
def test_what_is_chosen_of_a_source_is_taken(
    source: str, choice: dict[str, Any], expected: dict[str, list[str]], visits_of_two: Path, tmp_path: Path
) -> None:
    studies, _ = open_source(Scans(source=visits_of_two / source, **choice), 0, tmp_path)
    assert {study.id: sorted(series.name for series in study.series) for study in studies} == expected


def test_series_of_too_few_slices_are_refused(visits_of_two: Path, tmp_path: Path) -> None:
    for fewest in (12, 13):
        studies, _ = open_source(Scans(source=visits_of_two, min_slices=fewest), 0, tmp_path)
        series = studies[0].series[0]
        if fewest == 12:
            assert series.volume(Preprocessing()).values.any()
        else:
            with pytest.raises(SeriesError, match="it has 12 slices, fewer than 13"):
                series.volume(Preprocessing())


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

    monkeypatch.setattr("prima_features.pretraining.data.synthetic.build_anatomy", refuse)
    again, _ = open_source(data, 7, tmp_path)
    assert again[0].find is not None and again[0].find() == told
