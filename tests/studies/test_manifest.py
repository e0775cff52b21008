"""Manifests: tables of images."""

import csv
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from images import put

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.manifest import find_manifest
from prima_features.studies.study import DEFAULT_DESCRIPTION, DicomSlices, NiftiImage

HEADER = "path\tsubject\tsession\tseries\tdescription\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, "a.nii.gz", "b.nii.gz", "c.nii", "deep/été, 2.nii")
    return tmp_path


def write(folder: Path, text: str, name: str = "table.tsv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def test_rows_that_share_subject_and_session_are_one_study(folder: Path) -> None:
    rows = "b.nii.gz\t02\t\tT2 AX\t\na.nii.gz\tsub-01\tses-1\tT1\tHEAD\nc.nii\t01\t1\t\t\n"
    second, first = find_manifest(write(folder, HEADER + rows)).studies
    assert (first.id, first.subject, first.session) == ("sub-01_ses-1", "01", "1")
    assert first.description == "HEAD"
    assert [(series.name, series.source) for series in first.series] == [("T1", "a.nii.gz"), ("c", "c.nii")]
    assert first.series[0].image == NiftiImage(folder / "a.nii.gz")
    assert (second.id, second.description) == ("sub-02", DEFAULT_DESCRIPTION)


def test_the_description_holds_for_the_study_wherever_it_stands(folder: Path) -> None:
    (study,) = find_manifest(
        write(folder, HEADER + "a.nii.gz\t1\t\t\t\nb.nii.gz\t1\t\t\tPITUITARY\n")
    ).studies
    assert study.description == "PITUITARY"


def test_absolute_paths_and_na_values_are_understood(folder: Path) -> None:
    (study,) = find_manifest(write(folder, HEADER + f"{folder / 'a.nii.gz'}\t1\tn/a\tn/a\tn/a\n")).studies
    assert (study.id, study.series[0].name, study.description) == ("sub-1", "a", DEFAULT_DESCRIPTION)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_as_spreadsheets_save_them_are_read(folder: Path, delimiter: str, encoding: str) -> None:
    with (folder / "t.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows(
            [["File Path", "participant_id", "age"], ["deep/été, 2.nii", "01", "3"], ["", "", ""]]
        )
    (study,) = find_manifest(folder / "t.csv").studies
    assert [series.source for series in study.series] == ["deep/été, 2.nii"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\tage\na.nii.gz\t3\n", "no column `subject`; it has file, age"),
        ("subject\n01\n", "no column `path`"),
        ("path\tfile\tsubject\n", "several columns for the path: path and file"),
        (HEADER + "a.nii.gz\t1\n\t1\n", "row 3: the path is empty"),
        (HEADER + "\n\na.nii.gz\t\t\n", "row 4: the subject is empty"),
        (HEADER + "a.nii.gz\t1\nb.nii.gz\t1\ndeep/../a.nii.gz\t2\n", "row 4: the path is already in row 2"),
        (HEADER + "a.nii.gz\tP_1\nb.nii.gz\tP1\n", "rows 2 and 3: .* both become sub-P1"),
        (HEADER + "a.nii.gz\t1\t\t\tX\nb.nii.gz\t1\t\t\tY\n", "rows 2 and 3: one study has two descriptions"),
        (HEADER + '"a.nii.gz"x\t1\n', "cannot be read as a table"),
        ("path\tsubject\na\0.nii\t1\n", "not text in UTF-8"),
    ],
)
def test_an_unusable_table_is_an_error_that_names_the_row(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_manifest(write(folder, text))


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "\t\t\n"])
def test_a_table_without_rows_is_nothing_usable(folder: Path, text: str) -> None:
    with pytest.raises(NothingUsableError, match=r"table\.tsv"):
        find_manifest(write(folder, text))


def test_a_folder_is_no_manifest(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        find_manifest(folder)


def test_paths_that_lead_nowhere_are_left_out_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing")
    (folder / "empty").mkdir()
    rows = "gone.nii.gz\t1\nSmith_John\t1\nnotes.txt\t1\nempty\t1\na.nii.gz\t1\n"
    found = find_manifest(write(folder, HEADER + rows))
    assert [series.source for series in found.studies[0].series] == ["a.nii.gz"]
    assert [(item.study, item.series) for item in found.left_out] == [
        ("sub-1", "row 2: gone.nii.gz"),
        ("sub-1", "row 3"),
        ("sub-1", "row 4"),
        ("sub-1", "row 5"),
    ]
    for item, reason in zip(found.left_out, ("not exist", "not exist", "neither", "no DICOM"), strict=True):
        assert reason in item.error
        assert item.defect


def test_a_listed_mask_is_embedded_because_it_was_asked_for(folder: Path) -> None:
    put(folder, "t1_mask.nii")
    assert len(find_manifest(write(folder, HEADER + "t1_mask.nii\t1\n")).studies) == 1


def test_a_dicom_folder_gives_its_series_under_the_manifests_names(golden: Path, folder: Path) -> None:
    shutil.copytree(golden / "study_a", folder / "Smith_John")
    (study,) = find_manifest(write(folder, HEADER + "Smith_John\t7\tx\t\t\n")).studies
    assert (study.id, study.subject, study.session) == ("sub-7_ses-x", "7", "x")
    assert len(study.series) == 5
    assert study.description != DEFAULT_DESCRIPTION
    assert study.identity is None
    assert {series.source for series in study.series} == {""}
    assert all(isinstance(series.image, DicomSlices) for series in study.series)


def test_files_of_one_dicom_series_give_it_once_under_the_rows_name(golden: Path, folder: Path) -> None:
    source = sorted(path for path in (golden / "study_a").iterdir() if path.is_dir())[0]
    shutil.copytree(source, folder / "series")
    first, second, *_ = sorted(path.name for path in (folder / "series").iterdir())
    rows = f"series/{first}\t1\t\tMY NAME\t\nseries/{second}\t1\t\tMY NAME\t\n"
    (study,) = find_manifest(write(folder, HEADER + rows)).studies
    assert [series.name for series in study.series] == ["MY NAME"]


def test_a_folder_of_several_dicom_studies_is_left_out(golden: Path, scans: Path, folder: Path) -> None:
    shutil.copytree(golden / "study_a", folder / "both/a")
    shutil.copytree(scans / "dicom/04_canon_dti_b0", folder / "both/b")
    found = find_manifest(write(folder, HEADER + "both\t1\t\t\t\n"))
    assert not found.studies
    assert [(item.series, item.defect) for item in found.left_out] == [("row 2", True)]
    assert "2 DICOM studies" in found.left_out[0].error


def test_an_image_that_is_left_out_is_named_by_its_row_and_path(folder: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8, 5), np.int16), np.eye(4)), folder / "bold.nii.gz")
    (left_out,) = find_manifest(write(folder, HEADER + "bold.nii.gz\t1\t\t\t\n")).left_out
    assert left_out.series == "row 2: bold.nii.gz" and "5 volumes" in left_out.error


def test_how_a_table_had_to_be_read_is_a_warning(
    golden: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(golden / "study_a" / "002_t2_ax", folder / "scan")
    (folder / "t.csv").write_bytes("path,subject,session,series\nscan,1,,M\u00fcller".encode("cp1252"))
    (study,) = find_manifest(folder / "t.csv").studies
    assert study.series[0].name == "M\u00fcller"
    assert "was read as Windows text (cp1252)" in caplog.text


ANATOMY = "path\tsubject\tmask\tmni_affine\n"


def test_a_row_can_name_the_brain_mask_and_the_transform_of_its_scan(folder: Path) -> None:
    put(folder, "masks/a.nii.gz")
    (folder / "a.txt").write_text("1 0 0 0")
    rows = (
        f"a.nii.gz\t1\tmasks/a.nii.gz\ta.txt\nb.nii.gz\t2\t{folder / 'masks/a.nii.gz'}\tn/a\nc.nii\t3\t\t\n"
    )
    series = [study.series[0] for study in find_manifest(write(folder, ANATOMY + rows)).studies]
    assert [(one.mask, one.to_mni, one.anatomy_from) for one in series] == [
        (folder / "masks/a.nii.gz", folder / "a.txt", "manifest"),
        (folder / "masks/a.nii.gz", None, "manifest"),
        (None, None, ""),
    ]


@pytest.mark.parametrize(
    ("cells", "error", "hint"),
    [
        ("absent.nii.gz\t", "its brain mask cannot be used: the file does not exist", "column mask"),
        ("b.nii.gz\tabsent.h5", "its transform to MNI152 cannot be used: the file", "column mni_affine"),
        ("deep\t", "its brain mask cannot be used: it is a folder", "column mask"),
    ],
)
def test_a_row_whose_mask_or_transform_is_missing_is_left_out(
    folder: Path, cells: str, error: str, hint: str
) -> None:
    found = find_manifest(write(folder, ANATOMY + f"a.nii.gz\t1\t{cells}\nb.nii.gz\t2\t\t\n"))
    assert [study.id for study in found.studies] == ["sub-2"]
    (row,) = found.left_out
    assert (row.study, row.series, row.defect) == ("sub-1", "row 2: a.nii.gz", True)
    assert row.error.startswith(error) and hint in row.hint


def test_a_mask_of_a_dicom_series_needs_one_row_that_names_it(folder: Path, study_a: Path) -> None:
    scans = sorted(study_a.iterdir())[0]
    files = sorted(path for path in scans.rglob("*") if path.is_file())[:2]
    rows = f"{files[0]}\t1\tb.nii.gz\t\n{files[1]}\t1\t\t\n"
    (study,) = find_manifest(write(folder, ANATOMY + rows)).studies
    (series,) = study.series
    assert isinstance(series.image, DicomSlices) and series.mask == folder / "b.nii.gz"


def test_a_mask_of_a_folder_with_several_series_is_refused(folder: Path, study_a: Path) -> None:
    found = find_manifest(write(folder, ANATOMY + f"{study_a}\t1\tb.nii.gz\t\n"))
    assert not found.studies
    assert "which is of one scan, and has" in found.left_out[-1].error
    assert found.left_out[-1].series == "row 2"
