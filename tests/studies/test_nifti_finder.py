"""Loose NIfTI files."""

from pathlib import Path

import pytest

from prima_features.errors import NothingUsableError
from prima_features.studies.nifti import find_nifti, is_mask
from prima_features.studies.study import Found, NiftiImage


def put(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def contents(found: Found) -> dict[str, list[str]]:
    return {study.id: [series.source for series in study.series] for study in found.studies}


def test_one_file_is_one_study(tmp_path: Path) -> None:
    put(tmp_path, "head_T1.nii.gz", "other.nii.gz")
    found = find_nifti(tmp_path / "head_T1.nii.gz")
    (study,) = found.studies
    assert (study.id, study.subject, study.session, study.source) == (
        "sub-headT1",
        "head_T1",
        "",
        "head_T1.nii.gz",
    )
    (series,) = study.series
    assert (series.name, series.source) == ("head_T1", "head_T1.nii.gz")
    assert series.image == NiftiImage(tmp_path / "head_T1.nii.gz")


def test_flat_files_are_a_study_each_and_a_subfolder_is_one(tmp_path: Path) -> None:
    put(tmp_path, "b.nii", "a.nii.gz", "case 1/t2.nii", "case 1/t1.nii", "case 1/later/flair/x.nii.gz")
    put(tmp_path, "case 1/notes.txt", ".hidden/t1.nii", "case 1/._t1.nii", "empty/readme.md")
    assert contents(find_nifti(tmp_path)) == {
        "sub-a": ["a.nii.gz"],
        "sub-b": ["b.nii"],
        "sub-case1": ["case 1/t1.nii", "case 1/t2.nii", "case 1/later/flair/x.nii.gz"],
    }


def test_names_that_would_give_one_id_stay_apart_whatever_the_order(tmp_path: Path) -> None:
    put(tmp_path, "a_1.nii", "a-1.nii", "A1/t1.nii", "b.nii", "脳.nii", "頭.nii")
    ids = {study.source: study.id for study in find_nifti(tmp_path).studies}
    assert len({name.lower() for name in ids.values()}) == 6
    assert all(name.removeprefix("sub-").isalnum() and name.isascii() for name in ids.values())
    assert ids["b.nii"] == "sub-b"
    (tmp_path / "b.nii").unlink()
    assert {study.source: study.id for study in find_nifti(tmp_path).studies}.items() <= ids.items()


def test_a_prefix_of_bids_is_not_doubled(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/x.nii")
    assert [(study.id, study.subject) for study in find_nifti(tmp_path).studies] == [("sub-01", "01")]


@pytest.mark.parametrize(
    "stem",
    ["FLAIR_lesion_mask", "brainmask", "T1_seg", "BraTS_001_seg", "aseg", "aparc+aseg", "x_dseg", "T1wMask",
     "lesion", "labels", "T1_roi", "c_msk", "wmh", "T1_pve_0", "Segmentation", "ROI1_roi"],
)  # fmt: skip
def test_masks_and_label_maps_are_known_by_a_word_of_their_name(stem: str) -> None:
    assert is_mask(stem)


@pytest.mark.parametrize(
    "stem", ["T1w", "unmasked_T1", "segmented_T1", "SAG_T1", "FLAIR", "patient_labelled", "MRA_TOF", "roibos"]
)
def test_names_that_only_resemble_a_masks_are_scans(stem: str) -> None:
    assert not is_mask(stem)


def test_a_mask_is_left_out_with_a_reason(tmp_path: Path) -> None:
    put(tmp_path, "case/t1.nii", "case/t1_mask.nii", "lesions.nii")
    found = find_nifti(tmp_path)
    assert contents(found) == {"sub-case": ["case/t1.nii"]}
    assert [(item.study, item.what) for item in found.left_out] == [
        ("sub-lesions", "lesions.nii"),
        ("sub-case", "case/t1_mask.nii"),
    ]
    assert all("mask" in item.reason and not item.defect for item in found.left_out)


def test_what_lies_beside_an_image_tells_its_name_orientation_and_b0_volumes(tmp_path: Path) -> None:
    put(tmp_path, "5_dwi.nii.gz")
    put(
        tmp_path,
        "5_dwi.json",
        text='{"SeriesDescription": "AX DWI", "ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0]}',
    )
    put(tmp_path, "5_dwi.bval", text="1000 0 0 1000")
    (study,) = find_nifti(tmp_path).studies
    assert study.series[0].name == "AX_DWI"
    assert study.series[0].image == NiftiImage(tmp_path / "5_dwi.nii.gz", (1, 2), (1, 0, 0, 0, 1, 0))


def test_a_phase_image_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "gre_ph.nii")
    put(tmp_path, "gre_ph.json", text='{"ImageType": ["ORIGINAL", "PRIMARY", "P", "PHASE"]}')
    assert "phase" in find_nifti(tmp_path).left_out[0].reason


def test_a_broken_link_is_a_defect(tmp_path: Path) -> None:
    (tmp_path / "t1.nii.gz").symlink_to("nowhere")
    found = find_nifti(tmp_path)
    assert not found.studies
    assert found.left_out[0].defect


def test_folders_linked_in_a_circle_are_read_once(tmp_path: Path) -> None:
    put(tmp_path, "case/t1.nii")
    (tmp_path / "case/up").symlink_to(tmp_path)
    assert contents(find_nifti(tmp_path)) == {"sub-case": ["case/t1.nii"]}


def test_a_folder_without_nifti_is_nothing_usable(tmp_path: Path) -> None:
    put(tmp_path, "readme.txt")
    with pytest.raises(NothingUsableError, match="holds no NIfTI files"):
        find_nifti(tmp_path)


def test_real_scans_are_found_and_the_lesion_mask_is_not(scans: Path) -> None:
    found = find_nifti(scans / "nifti")
    names = {study.source: len(study.series) for study in found.studies}
    assert names["orientations"] == 6
    assert names["FLAIR.nii.gz"] == 1
    assert [item.what for item in found.left_out] == ["FLAIR_lesion_mask.nii.gz"]
