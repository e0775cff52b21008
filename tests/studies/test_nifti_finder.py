"""Loose NIfTI files."""

from pathlib import Path

import pytest
from images import nifti_bytes, put

from prima_features.errors import NothingUsableError
from prima_features.studies.nifti import find_nifti, is_mask
from prima_features.studies.study import Found, NiftiImage


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
    assert [(item.study, item.series) for item in found.left_out] == [
        ("sub-lesions", "lesions.nii"),
        ("sub-case", "case/t1_mask.nii"),
    ]
    assert all("mask" in item.error and not item.defect for item in found.left_out)


def test_what_lies_beside_an_image_tells_its_name_orientation_and_b0_volumes(tmp_path: Path) -> None:
    (tmp_path / "5_dwi.nii.gz").write_bytes(nifti_bytes(n_volumes=4))
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
    assert "phase" in find_nifti(tmp_path).left_out[0].error


@pytest.mark.parametrize("name", ["gre_e2_ph", "T1_phase", "x_imaginary", "gre_fieldmaphz"])
def test_without_a_sidecar_the_names_of_dcm2niix_say_phase(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"p/{name}.nii", "p/T1.nii")
    (item,) = find_nifti(tmp_path).left_out
    assert "phase image" in item.error
    put(tmp_path, f"p/{name}.json", text='{"ImageType": ["ORIGINAL", "PRIMARY", "M"]}')
    assert len(find_nifti(tmp_path).studies[0].series) == 2


def test_a_file_of_several_volumes_follows_the_rule_for_time_series(tmp_path: Path) -> None:
    (tmp_path / "bold.nii").write_bytes(nifti_bytes(n_volumes=5))
    (item,) = find_nifti(tmp_path).left_out
    assert "5 volumes" in item.error
    assert "--time-series" in item.hint
    assert not item.defect
    (first,), (mean,) = (find_nifti(tmp_path, rule).studies[0].series for rule in ("first", "mean"))
    assert first.image == NiftiImage(tmp_path / "bold.nii", (0,))
    assert mean.image == NiftiImage(tmp_path / "bold.nii", (0, 1, 2, 3, 4))


def test_a_gradient_table_of_another_number_of_volumes_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "dwi.nii").write_bytes(nifti_bytes(n_volumes=5))
    put(tmp_path, "dwi.bval", text="0 0 1000")
    (item,) = find_nifti(tmp_path).left_out
    assert item.defect
    assert "3 b-values, but the image has 5 volumes" in item.error


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not an image", "not NIfTI"),
        (b"\x1f\x8b\x08junk", "damaged"),
        (b"\x5c\x01\0\0", "ends within its NIfTI header"),
    ],
)
def test_files_that_are_no_images_are_found_before_they_are_read(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    put(tmp_path, "good.nii")
    (tmp_path / "bad.nii.gz").write_bytes(content)
    (item,) = find_nifti(tmp_path).left_out
    assert reason in item.error
    assert item.defect


def test_a_sidecar_that_cannot_be_read_is_a_failure_of_its_image(tmp_path: Path) -> None:
    put(tmp_path, "p/T1.nii", "p/T2.nii")
    put(tmp_path, "p/T1.json", text="{broken")
    found = find_nifti(tmp_path)
    assert contents(found) == {"sub-p": ["p/T2.nii"]}
    assert "its sidecar T1.json is not valid JSON" in found.left_out[0].error
    assert found.left_out[0].defect


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
    with pytest.raises(NothingUsableError, match="has no NIfTI files"):
        find_nifti(tmp_path)


def test_real_scans_are_found_and_the_lesion_mask_is_not(scans: Path) -> None:
    found = find_nifti(scans / "nifti")
    names = {study.source: len(study.series) for study in found.studies}
    assert names["orientations"] == 6
    assert names["FLAIR.nii.gz"] == 1
    assert {item.series: item.error.split(":")[0].split(",")[0] for item in found.left_out} == {
        "FLAIR_lesion_mask.nii.gz": "its name says that it is a mask or a segmentation",
        "nibabel_example4d.nii.gz": "it has 2 volumes",
        "nibabel_example_nifti2.nii.gz": "it has 2 volumes",
        "nibabel_functional.nii": "it has 20 volumes",
    }
    assert not any(item.defect for item in found.left_out)


def test_a_sidecar_in_upper_case_is_a_sidecar(tmp_path: Path) -> None:
    put(tmp_path, "A.NII", "B.NII")
    (tmp_path / "A.JSON").write_text('{"Modality": "CT"}')
    found = find_nifti(tmp_path)
    assert contents(found) == {"sub-B": ["B.NII"]}
    assert [item.error for item in found.left_out] == ["its sidecar says that it is a CT image"]


def masks(found: Found) -> dict[str, str]:
    series = [one for study in found.studies for one in study.series]
    return {one.source: one.mask.name for one in series if one.mask is not None}


@pytest.mark.parametrize(
    "mask",
    [
        *("T1_mask.nii.gz", "T1_brain_mask.nii", "T1_desc-brain_mask.nii.gz", "T1_brainmask.nii.gz"),
        *("T1_synthstrip_mask.nii.gz", "T1_bet_mask.nii.gz", "T1_Mask.nii.gz"),
    ],
)
@pytest.mark.parametrize("folder", ["", "case/"])
def test_a_mask_next_to_a_scan_is_its_brain_mask(tmp_path: Path, mask: str, folder: str) -> None:
    put(tmp_path, f"{folder}T1.nii.gz", f"{folder}T2.nii.gz", folder + mask)
    found = find_nifti(tmp_path)
    assert masks(found) == {f"{folder}T1.nii.gz": mask}
    assert [one.anatomy_from for study in found.studies for one in study.series if one.mask] == ["mask file"]
    (row,) = found.left_out
    assert (row.series, row.error, row.defect) == (folder + mask, "it is the brain mask of T1.nii.gz", False)


def test_one_file_has_the_mask_next_to_it(tmp_path: Path) -> None:
    put(tmp_path, "T1.nii.gz", "T1_brain_mask.nii.gz", "T2_brain_mask.nii.gz")
    assert masks(find_nifti(tmp_path / "T1.nii.gz")) == {"T1.nii.gz": "T1_brain_mask.nii.gz"}


def test_other_masks_are_not_brain_masks_of_the_scan(tmp_path: Path) -> None:
    put(tmp_path, "T1.nii.gz", "T1_lesion_mask.nii.gz", "T1_seg.nii.gz", "mask.nii.gz", "deep/T1_mask.nii.gz")
    assert masks(find_nifti(tmp_path)) == {}


def test_the_mask_of_a_stripped_image_belongs_to_the_image_it_was_made_of(tmp_path: Path) -> None:
    put(
        tmp_path,
        "T1.nii.gz",
        "T1_brain.nii.gz",
        "T1_brain_mask.nii.gz",
        "T2_brain.nii.gz",
        "T2_brain_mask.nii.gz",
    )
    found = masks(find_nifti(tmp_path))
    assert found == {"T1.nii.gz": "T1_brain_mask.nii.gz", "T2_brain.nii.gz": "T2_brain_mask.nii.gz"}


def test_two_masks_of_a_scan_are_not_used_and_a_warning_says_so(tmp_path: Path) -> None:
    put(tmp_path, "T1.nii.gz", "T1_mask.nii.gz", "T1_brain_mask.nii.gz")
    found = find_nifti(tmp_path)
    assert masks(found) == {} and not found.warnings
    (warning,) = found.anatomy_warnings
    assert "T1_brain_mask.nii.gz and T1_mask.nii.gz: keep one" in warning
