"""What `prima synth` writes: read back by the finder, the reader and the real `prima embed`."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from shadows import write_shadows

from prima_features import read_embeddings
from prima_features.cli.main import main
from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut
from prima_features.files.disk import sha256
from prima_features.studies.find import find
from prima_features.synthetic import build_anatomy, draw_subject, measure
from prima_features.synthetic.acquisition import Acquisition, series_affine
from prima_features.synthetic.output.bids import to_nifti
from prima_features.synthetic.render import Rendered

ONE_SCAN = Path(__file__).resolve().parents[1] / "helpers" / "one_scan.py"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def digests(folder: Path) -> dict[str, str]:
    """Of each file, so that a failure names the files that differ."""
    return {
        str(file.relative_to(folder)): sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# As the console script starts.
PRIMA = """
import sys
from prima_features.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""


def test_one_seed_gives_the_same_bytes_in_other_processes_which_import_nothing_from_the_current_folder(
    bids_cohort: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    write_shadows(here, tmp_path / "ran")
    # An empty entry in PYTHONPATH, a common slip, means the current folder. Python itself looks there for this one:
    (here / "sitecustomize.py").unlink()
    script = tmp_path / "prima.py"
    script.write_text(PRIMA)
    done = subprocess.run(
        [sys.executable, script, "synth", "again", "--subjects", "2", "--seed", "1", "--workers", "2"],
        cwd=here,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.returncode == 0, done.stderr
    assert digests(here / "again") == digests(bids_cohort)


def test_the_threads_of_the_caller_do_not_change_a_cohort(bids_cohort: Path, tmp_path: Path) -> None:
    # The other cohort, which has a second subject, was made with as many threads as there are now.
    count = 2 if torch.get_num_threads() == 1 else 1
    again = tmp_path / "again"
    with threads(count):
        assert main(["synth", str(again), "--subjects", "1", "--seed", "1"]) == 0
        assert torch.get_num_threads() == count
    assert digests(again / "sub-0001") == digests(bids_cohort / "sub-0001")
    for table in ("participants.tsv", "reports.tsv", "labels.tsv"):
        assert rows(again / table) == rows(bids_cohort / table)[:1]


def test_bids_and_dicom_of_one_seed_give_the_same_tokens(bids_cohort: Path, dicom_cohort: Path) -> None:
    bids, dicom = find(bids_cohort), find(dicom_cohort)
    assert not bids.left_out
    assert [item.series for item in dicom.left_out] == ["5 files that are not DICOM"]
    twins = sorted(dicom.studies, key=lambda study: study.identity.patient_id)
    for study, twin in zip(bids.studies, twins, strict=True):
        others = {series.name: series for series in twin.series}
        assert {series.name for series in study.series} == set(others)
        for series in study.series:
            here, there = (read_volume(one, Preprocessing()) for one in (series, others[series.name]))
            assert here.plane == there.plane
            assert here.spacing == pytest.approx(there.spacing, abs=1e-3)
            # Truncation to whole numbers may differ by one where directions are rounded.
            assert np.abs(here.values.astype(int) - there.values).max() <= 1
            assert len(cut(here)) == len(cut(there)) > 25


@pytest.mark.parametrize("cohort", ["bids_cohort", "dicom_cohort"])
def test_every_series_is_embedded_by_the_command(
    cohort: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(cohort)
    output = tmp_path / "out.h5"
    assert main(["embed", str(folder), str(output), "--model", "prima-untrained"]) == 0
    embedded = read_embeddings(output)
    assert sorted(embedded.studies["n_series"]) == sorted(
        int(row["n_series"]) for row in rows(folder / "participants.tsv")
    )
    assert np.isfinite(embedded.study_embedding).all()


def test_the_table_holds_what_is_measured_on_the_anatomy(bids_cohort: Path) -> None:
    described = json.loads((bids_cohort / "participants.json").read_text())
    for index, row in enumerate(rows(bids_cohort / "participants.tsv")):
        subject = draw_subject(1, index)
        assert set(row) == set(described)
        assert (row["age"], row["sex"], row["site"], row["diagnosis"]) == (
            str(subject.age), subject.sex, subject.site, subject.condition,
        )  # fmt: skip
        with threads(1):  # as cohorts are made; sums over several end in other digits
            measured = measure(build_anatomy(subject))
        for name, value in measured.items():
            assert float(row[name]) == value, name


def test_the_dataset_says_that_it_is_synthetic(bids_cohort: Path) -> None:
    description = json.loads((bids_cohort / "dataset_description.json").read_text())
    assert "Synthetic" in description["Name"]
    assert description["GeneratedBy"][0]["Name"] == "prima-features"


def test_reports_are_summarised_by_the_command(bids_cohort: Path, tmp_path: Path) -> None:
    output = tmp_path / "summaries.tsv"
    assert main(["reports", "summarize", str(bids_cohort / "reports.tsv"), str(output), "--labels"]) == 0
    assert [row["study_id"] for row in rows(output)] == ["sub-0001", "sub-0002"]


def test_dicom_reports_and_labels_carry_the_ids_of_the_headers(dicom_cohort: Path) -> None:
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in dicom_cohort.rglob("0001.dcm")]
    assert {h.PatientID for h in headers} == {
        row["participant_id"] for row in rows(dicom_cohort / "participants.tsv")
    }
    for table in ("reports.tsv", "labels.tsv"):
        assert {h.StudyInstanceUID for h in headers} == {
            row["study_id"] for row in rows(dicom_cohort / table)
        }
    assert len({h.SeriesInstanceUID for h in headers}) == len(headers)
    assert all(len(h.SOPInstanceUID) <= 64 for h in headers)


def test_a_preview_shows_every_study(dicom_cohort: Path) -> None:
    from matplotlib.image import imread

    sheet = imread(dicom_cohort / "preview.png")
    middles = np.array_split(sheet[..., :3].mean(-1), 2)
    assert all(row.std() > 0.1 for row in middles)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIL", "SLA", "IRP"])
def test_orientation_codes_change_how_an_image_is_stored_and_not_where_it_lies(codes: str) -> None:
    scan = Acquisition(
        "T1w", "axial", "", "", (8, 6), (2, 3), 5, 1, 4, 500, 10, codes=codes, angulation=(5, 3, -4)
    )
    voxels = np.arange(8 * 6 * 4, dtype=np.int16).reshape(8, 6, 4)
    image = to_nifti(Rendered(voxels, series_affine(scan), scan))
    assert "".join(nib.aff2axcodes(image.affine)) == codes
    stored = np.argwhere(np.asarray(image.dataobj) == voxels[5, 2, 1])[0]
    here, there = image.affine @ [*stored, 1], series_affine(scan) @ [5, 2, 1, 1]
    assert here == pytest.approx(there, abs=1e-4)


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert main(["synth", str(tmp_path), "--subjects", "1"]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cohort_that_is_interrupted_has_tables_of_what_is_finished(workers: int, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    # Workers have all started before one of them has made a whole study.
    program = [str(ONE_SCAN)] if workers == 1 else ["-m", "prima_features.cli.main"]
    command = [sys.executable, *program, "synth", str(folder), "--subjects", "40"]
    with subprocess.Popen(
        [*command, "--seed", "10", "--workers", str(workers)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("1/40 ")
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C on a terminal does
        told = process.stderr.read()
    assert process.returncode == 130, told
    made = rows(folder / "participants.tsv")
    assert 1 <= len(made) < 40
    assert f"Stopped:{folder}contains{len(made)}of40studies" in "".join(told.split())
    assert "Traceback" not in told
    assert {path.name for path in folder.glob("sub-*")} == {row["participant_id"] for row in made}
    assert len(rows(folder / "reports.tsv")) == len(rows(folder / "labels.tsv")) == len(made)


def test_a_cohort_can_be_of_some_diagnoses_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = {draw_subject(3, index, among=("dementia", "glioma")).condition for index in range(30)}
    assert drawn == {"dementia", "glioma"}
    folder = str(tmp_path / "out")
    assert main(["synth", folder, "--subjects", "1", "--condition", "glioma"]) == 0
    assert [row["diagnosis"] for row in rows(tmp_path / "out" / "participants.tsv")] == ["glioma"]
    several = ["synth", "--condition", "control,dementia", "glioma", str(tmp_path / "several")]
    assert main([*several, "--subjects", "1"]) == 0
    (row,) = rows(tmp_path / "several" / "participants.tsv")
    assert row["diagnosis"] == draw_subject(0, 0, among=("control", "dementia", "glioma")).condition
    capsys.readouterr()
    assert main(["synth", str(tmp_path / "other"), "--condition", "gliomas"]) == 2
    told = capsys.readouterr().err
    assert "Unknown condition gliomas: --condition must be one of control, autism" in " ".join(told.split())
    assert not (tmp_path / "other").exists()
