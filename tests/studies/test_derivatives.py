"""Brain masks and transforms in BIDS derivatives: each is used for the scan it was made of, and for no other."""

import json
from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.studies import FindOptions, Found, Selection, Series, find
from prima_features.studies.bids import find_bids

T1W, T2W, FLAIR = (f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w", "FLAIR"))
FMRIPREP = "derivatives/fmriprep"
MASK = "sub-01/anat/sub-01_desc-brain_mask.nii.gz"
XFM = "sub-01/anat/sub-01_from-T1w_to-{}_mode-image_xfm.h5"
IDENTITY = "1 0 0 0 1 0 0 0 1 0 0 0"
TURNED = "0.998 -0.06 0 0.06 0.998 0 0 0 1 0.5 2 -3"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "ds"
    put(root, "dataset_description.json", T1W)
    return root


def put(root: Path, *names: str, text: str | None = None) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name if text is None else text)


def put_xfm(root: Path, name: str, numbers: str) -> None:
    text = "#Insight Transform File V1.0\n#Transform 0\nTransform: MatrixOffsetTransformBase_double_3_3\n"
    put(root, name, text=f"{text}Parameters: {numbers}\nFixedParameters: 0 0 0\n")


def series(found: Found) -> dict[str, Series]:
    return {one.source: one for study in found.studies for one in study.series}


def masks(root: Path, *derivatives: Path) -> dict[str, tuple[str | None, str | None, str]]:
    """Mask, transform and tool of each scan, paths below the dataset."""
    return {
        source: (
            None if one.mask is None else one.mask.relative_to(root.parent).as_posix(),
            None if one.to_mni is None else one.to_mni.relative_to(root.parent).as_posix(),
            one.anatomy_from,
        )
        for source, one in series(find_bids(root, derivatives=derivatives)).items()
    }


NONE = (None, None, "")


def test_without_derivatives_there_is_no_mask(dataset: Path) -> None:
    assert masks(dataset) == {T1W: NONE}


def test_what_fmriprep_made_belongs_to_the_t1w_image(dataset: Path) -> None:
    spaces = ("MNI152NLin2009cAsym", "MNI152NLin6Asym", "fsLR")
    put(dataset, T2W, FLAIR, *(f"{FMRIPREP}/{name}" for name in (MASK, *map(XFM.format, spaces))))
    for space in ("MNI152NLin6Asym", "MNI152NLin2009cAsym_res-2"):
        put(dataset, f"{FMRIPREP}/sub-01/anat/sub-01_space-{space}_desc-brain_mask.nii.gz")
    put(dataset, f"{FMRIPREP}/sub-01/anat/sub-01_from-MNI152NLin6Asym_to-T1w_mode-image_xfm.h5")
    put(dataset, f"{FMRIPREP}/sub-01/func/sub-01_task-rest_space-T1w_desc-brain_mask.nii.gz")
    found = masks(dataset)
    assert found[T1W] == (
        f"ds/{FMRIPREP}/{MASK}",
        f"ds/{FMRIPREP}/{XFM.format('MNI152NLin6Asym')}",
        "fMRIPrep",
    )
    assert found[T2W] == found[FLAIR] == NONE


def test_the_other_template_is_the_second_choice(dataset: Path) -> None:
    put(dataset, f"{FMRIPREP}/{MASK}", f"{FMRIPREP}/{XFM.format('MNI152NLin2009cAsym')}")
    assert masks(dataset)[T1W][1] == f"ds/{FMRIPREP}/{XFM.format('MNI152NLin2009cAsym')}"


def test_masks_never_become_series(dataset: Path) -> None:
    put(dataset, f"{FMRIPREP}/{MASK}", f"{FMRIPREP}/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz")
    assert list(series(find_bids(dataset))) == [T1W]


def test_with_sessions_each_session_has_its_own(dataset: Path) -> None:
    for session in "12":
        put(dataset, f"sub-02/ses-{session}/anat/sub-02_ses-{session}_T1w.nii.gz")
        put(dataset, f"{FMRIPREP}/sub-02/ses-{session}/anat/sub-02_ses-{session}_desc-brain_mask.nii.gz")
    found = masks(dataset)
    for session in "12":
        mask, _, _ = found[f"sub-02/ses-{session}/anat/sub-02_ses-{session}_T1w.nii.gz"]
        assert mask is not None and mask.endswith(f"sub-02_ses-{session}_desc-brain_mask.nii.gz")


@pytest.mark.parametrize("chosen", [(), ("1",)])
def test_a_mask_without_session_is_unclear_if_there_are_several(dataset: Path, chosen: tuple[str]) -> None:
    for session in "12":
        put(dataset, f"sub-02/ses-{session}/anat/sub-02_ses-{session}_T1w.nii.gz")
    put(dataset, f"{FMRIPREP}/{MASK.replace('01', '02')}")
    found = find_bids(dataset, selection=Selection(("02",), chosen))
    assert all(one.mask is None for one in series(found).values())
    (warning,) = found.anatomy_warnings
    assert warning.startswith("1 brain mask or transform in the derivatives is not used")
    assert "sub-02_desc-brain_mask.nii.gz of fMRIPrep: it names no session" in warning
    assert "manifest" in warning


def test_a_mask_without_session_belongs_to_the_only_one(dataset: Path) -> None:
    scan = "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"
    put(dataset, scan, f"{FMRIPREP}/{MASK.replace('01', '02')}")
    assert masks(dataset)[scan][2] == "fMRIPrep"


def test_the_sidecar_says_which_scan_it_was_made_of(dataset: Path) -> None:
    runs = [f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz" for run in "12"]
    (dataset / T1W).unlink()
    put(dataset, *runs, f"{FMRIPREP}/{MASK}")
    assert all(found == NONE for found in masks(dataset).values())
    others = ["bids::sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "bids:templateflow:tpl-MNI152/T1w.nii.gz"]
    for sources in ([runs[1]], [f"bids:raw:{runs[1]}", *others], f"/data/raw/{runs[1]}"):
        sidecar = f"{FMRIPREP}/{MASK.removesuffix('.nii.gz')}.json"
        put(dataset, sidecar, text=json.dumps({"RawSources": sources}))
        found = masks(dataset)
        assert found[runs[0]] == NONE and found[runs[1]][2] == "fMRIPrep"


def test_of_merged_scans_the_mask_belongs_to_the_one_that_was_not_moved(dataset: Path) -> None:
    runs = [f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz" for run in "12"]
    (dataset / T1W).unlink()
    xfm = XFM.format("MNI152NLin6Asym")
    put(dataset, *runs, f"{FMRIPREP}/{MASK}", f"{FMRIPREP}/{xfm}")
    sidecar = f"{FMRIPREP}/{MASK.removesuffix('.nii.gz')}.json"
    put(dataset, sidecar, text=json.dumps({"RawSources": runs}))
    found = find_bids(dataset)
    assert all(one.mask is one.to_mni is None for one in series(found).values())
    assert "it was made of several scans" in found.anatomy_warnings[0]
    for run, numbers in ("1", IDENTITY), ("2", TURNED):
        name = f"{FMRIPREP}/sub-01/anat/sub-01_run-{run}_from-orig_to-T1w_mode-image_xfm.txt"
        put_xfm(dataset, name, numbers)
    assert masks(dataset) == {
        runs[0]: (f"ds/{FMRIPREP}/{MASK}", f"ds/{FMRIPREP}/{xfm}", "fMRIPrep"),
        runs[1]: NONE,
    }
    assert find_bids(dataset).anatomy_warnings == ()


def test_a_mask_in_another_space_than_the_scan_is_not_used(dataset: Path) -> None:
    """As of QSIPrep, which turns the T1w image to the line between the commissures."""
    put(dataset, f"derivatives/qsiprep/{MASK}")
    put_xfm(dataset, "derivatives/qsiprep/sub-01/anat/sub-01_from-orig_to-T1w_mode-image_xfm.txt", TURNED)
    found = find_bids(dataset)
    assert series(found)[T1W].mask is None
    assert "it is in another space than sub-01_T1w.nii.gz" in found.anatomy_warnings[0]


def test_freesurfer_subjects_have_a_mask_and_a_transform(dataset: Path) -> None:
    put(dataset, T2W)
    folder = "derivatives/freesurfer/sub-01/mri"
    put(dataset, f"{folder}/brainmask.mgz", f"{folder}/transforms/talairach.xfm", f"{folder}/T1.mgz")
    found = masks(dataset)
    assert found[T1W] == (
        f"ds/{folder}/brainmask.mgz",
        f"ds/{folder}/transforms/talairach.xfm",
        "FreeSurfer",
    )
    assert found[T2W] == NONE


def test_freesurfer_subjects_can_be_named_after_sessions(dataset: Path) -> None:
    for session in "12":
        put(dataset, f"sub-02/ses-{session}/anat/sub-02_ses-{session}_T1w.nii.gz")
        put(dataset, f"derivatives/freesurfer/sub-02_ses-{session}/mri/brainmask.mgz")
    put(dataset, "derivatives/freesurfer/sub-02/mri/brainmask.mgz")
    put(dataset, "derivatives/freesurfer/sub-02_ses-1.long.sub-02/mri/brainmask.mgz")
    found = masks(dataset)
    for session in "12":
        mask = found[f"sub-02/ses-{session}/anat/sub-02_ses-{session}_T1w.nii.gz"][0]
        assert mask == f"ds/derivatives/freesurfer/sub-02_ses-{session}/mri/brainmask.mgz"
    assert find_bids(dataset).anatomy_warnings == ()


def test_a_freesurfer_subject_of_two_t1w_images_is_unclear(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_acq-fast_T1w.nii.gz", "derivatives/freesurfer/sub-01/mri/brainmask.mgz")
    found = find_bids(dataset)
    assert all(one.mask is None for one in series(found).values())
    assert "sub-01/mri/brainmask.mgz of FreeSurfer: 2 T1w images match" in found.anatomy_warnings[0]


def test_freesurfer_subjects_are_known_by_their_files(dataset: Path, tmp_path: Path) -> None:
    put(tmp_path, "subjects/sub-01/mri/brainmask.mgz")
    mask = "subjects/sub-01/mri/brainmask.mgz"
    assert masks(dataset, tmp_path / "subjects")[T1W] == (mask, None, "FreeSurfer")


def test_freesurfer_subjects_inside_fmriprep_are_found(dataset: Path) -> None:
    put(dataset, f"{FMRIPREP}/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz")
    put(dataset, f"{FMRIPREP}/sourcedata/freesurfer/sub-01/mri/brainmask.mgz")
    assert masks(dataset)[T1W][2] == "FreeSurfer"


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_desc-synthstrip_mask.nii.gz",
        "sub-01_synthstrip_mask.nii.gz",
        "sub-01_T1w_synthstrip_mask.nii.gz",
        "sub-01_T1w_desc-synthstrip_mask.nii",
        "sub-01_space-T1w_desc-synthstrip_mask.nii.gz",
    ],
)
@pytest.mark.parametrize("place", ["sub-01/anat", "sub-01"])
def test_usual_names_of_synthstrip_masks(dataset: Path, name: str, place: str) -> None:
    put(dataset, f"derivatives/strips/{place}/{name}")
    assert masks(dataset)[T1W] == (f"ds/derivatives/strips/{place}/{name}", None, "SynthStrip")


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_desc-ribbon_mask.nii.gz",
        "sub-01_label-lesion_mask.nii.gz",
        "sub-01_desc-synthstripNoCSF_mask.nii.gz",
        "sub-01_space-MNI152NLin6Asym_desc-brain_mask.nii.gz",
        "sub-01_desc-brain_mask.json",
        "sub-010_desc-brain_mask.nii.gz",
    ],
)
def test_other_files_are_no_brain_masks_of_the_scan(dataset: Path, name: str) -> None:
    put(dataset, f"derivatives/other/sub-01/anat/{name}")
    assert masks(dataset)[T1W] == NONE


def test_the_name_of_the_scan_in_the_name_of_the_mask_decides(dataset: Path) -> None:
    put(
        dataset,
        FLAIR,
        T2W,
        *(f"derivatives/hd/{s.removesuffix('.nii.gz')}_bet_mask.nii.gz" for s in (T1W, FLAIR)),
    )
    found = masks(dataset)
    assert found[T1W][0] == "ds/derivatives/hd/sub-01/anat/sub-01_T1w_bet_mask.nii.gz"
    assert found[FLAIR][0] == "ds/derivatives/hd/sub-01/anat/sub-01_FLAIR_bet_mask.nii.gz"
    assert found[T2W] == NONE


def test_an_image_of_the_same_tool_decides_between_contrasts(dataset: Path) -> None:
    put(dataset, FLAIR, "derivatives/strip/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    found = find_bids(dataset)
    assert all(one.mask is None for one in series(found).values())
    assert "of strip: 2 images match" in found.anatomy_warnings[0]
    put(dataset, "derivatives/strip/sub-01/anat/sub-01_desc-brain_FLAIR.nii.gz")
    assert masks(dataset)[FLAIR][2] == "strip" and masks(dataset)[T1W] == NONE


def test_runs_with_a_mask_each(dataset: Path) -> None:
    second = "sub-01/anat/sub-01_run-2_T1w.nii.gz"
    put(dataset, second, f"{FMRIPREP}/{MASK}", f"{FMRIPREP}/sub-01/anat/sub-01_run-2_desc-brain_mask.nii.gz")
    found = masks(dataset)
    assert found[T1W][0] == f"ds/{FMRIPREP}/{MASK}"
    assert found[second][0] == f"ds/{FMRIPREP}/sub-01/anat/sub-01_run-2_desc-brain_mask.nii.gz"


@pytest.mark.parametrize(("raw", "derived"), [("01", "1"), ("1", "01"), ("002", "2")])
def test_indices_are_compared_as_numbers(dataset: Path, raw: str, derived: str) -> None:
    """Some tools drop the zeros; BIDS does not distinguish run-1 and run-01."""
    scan = f"sub-01/anat/sub-01_run-{raw}_T1w.nii.gz"
    mask = f"{FMRIPREP}/sub-01/anat/sub-01_run-{derived}_desc-brain_mask.nii.gz"
    put(dataset, scan, mask, f"{FMRIPREP}/sub-01/anat/sub-01_run-9_desc-brain_mask.nii.gz")
    assert masks(dataset)[scan] == (f"ds/{mask}", None, "fMRIPrep")


def test_of_several_masks_of_one_tool_the_brain_mask_is_used(dataset: Path) -> None:
    anat = "derivatives/x/sub-01/anat"
    put(dataset, f"{anat}/sub-01_desc-bet_mask.nii.gz", f"{anat}/sub-01_desc-robex_mask.nii.gz")
    found = find_bids(dataset)
    assert series(found)[T1W].mask is None
    assert "sub-01_desc-robex_mask.nii.gz is another mask of the same scan" in found.anatomy_warnings[0]
    put(dataset, f"{anat}/sub-01_desc-brain_mask.nii.gz")
    assert masks(dataset)[T1W][0] == f"ds/{anat}/sub-01_desc-brain_mask.nii.gz"


def test_a_mask_on_the_grid_of_the_scan_comes_before_a_resampled_one(dataset: Path) -> None:
    resampled = f"{FMRIPREP}/sub-01/anat/sub-01_res-2_desc-brain_mask.nii.gz"
    put(dataset, resampled)
    assert masks(dataset)[T1W][0] == f"ds/{resampled}"
    put(dataset, f"{FMRIPREP}/{MASK}")
    assert masks(dataset)[T1W][0] == f"ds/{FMRIPREP}/{MASK}"
    assert not find_bids(dataset).anatomy_warnings


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("sub-01_space-template_desc-brain_mask.nii.gz", "no scan of the subject matches it"),
        ("sub-01_acq-x_desc-brain_mask.nii.gz", "no scan of the subject matches it"),
        ("sub-01_space-MNI152NLin6Asym_desc-brain_mask.nii.gz", "it is in the space MNI152NLin6Asym"),
    ],
)
def test_masks_that_match_nothing_are_reported(dataset: Path, name: str, why: str) -> None:
    put(dataset, f"{FMRIPREP}/sub-01/anat/{name}")
    (warning,) = find_bids(dataset).anatomy_warnings
    assert f"{name} of fMRIPrep: {why}" in warning and "manifest" in warning
    put(dataset, f"derivatives/synthstrip/{MASK}")
    assert not find_bids(dataset).anatomy_warnings


def test_a_named_folder_of_other_subjects_is_reported(dataset: Path, tmp_path: Path) -> None:
    put(tmp_path, "other/fmriprep/sub-02/anat/sub-02_desc-brain_mask.nii.gz")
    (warning,) = find_bids(dataset, derivatives=[tmp_path / "other"]).anatomy_warnings
    assert str(tmp_path / "other") in warning and "none of the subjects" in warning
    put(tmp_path, f"other/synthstrip/{MASK}")
    assert not find_bids(dataset, derivatives=[tmp_path / "other"]).anatomy_warnings


def test_the_latest_version_of_a_tool_is_used(dataset: Path) -> None:
    """Some archives keep one folder per version."""
    for version in ("9.0.1", "23.1.3", "23.2.0"):
        put(dataset, f"{FMRIPREP}/{version}/{MASK}")
    assert masks(dataset)[T1W] == (f"ds/{FMRIPREP}/23.2.0/{MASK}", None, "fMRIPrep")


def test_tools_are_preferred_in_a_fixed_order(dataset: Path) -> None:
    put(dataset, f"derivatives/a/{MASK}", "derivatives/freesurfer/sub-01/mri/brainmask.mgz")
    assert masks(dataset)[T1W][2] == "FreeSurfer"
    put(dataset, f"derivatives/smriprep/{MASK}")
    assert masks(dataset)[T1W][2] == "sMRIPrep"
    put(dataset, f"{FMRIPREP}/{MASK}")
    assert masks(dataset)[T1W][2] == "fMRIPrep"


def test_mask_and_transform_are_of_one_tool(dataset: Path) -> None:
    put(dataset, f"{FMRIPREP}/{XFM.format('MNI152NLin6Asym')}", f"derivatives/synthstrip/{MASK}")
    assert masks(dataset)[T1W] == (f"ds/derivatives/synthstrip/{MASK}", None, "SynthStrip")


def test_named_folders_come_first(dataset: Path, tmp_path: Path) -> None:
    put(dataset, f"{FMRIPREP}/{MASK}")
    put(tmp_path, f"strips/{MASK}", f"many/one/{MASK}")
    assert masks(dataset, tmp_path / "strips")[T1W][0] == f"strips/{MASK}"
    assert masks(dataset, tmp_path / "many", tmp_path / "strips")[T1W][0] == f"many/one/{MASK}"


def test_the_description_names_the_tool(dataset: Path) -> None:
    put(dataset, f"derivatives/out/{MASK}")
    description = {"GeneratedBy": [{"Name": "My\x1btool" + "x" * 100}]}
    put(dataset, "derivatives/out/dataset_description.json", text=json.dumps(description))
    tool = masks(dataset)[T1W][2]
    assert tool.startswith("My\\x1btool") and len(tool) <= 40
    put(dataset, "derivatives/out/dataset_description.json", text='{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    assert masks(dataset)[T1W][2] == "fMRIPrep"
    for damaged in ("[]", "{", '{"GeneratedBy": 3}', '{"GeneratedBy": [{"Name": null}]}'):
        put(dataset, "derivatives/out/dataset_description.json", text=damaged)
        assert masks(dataset)[T1W][2] == "out"


@pytest.mark.parametrize("sources", ["3", "[1, null]", "{}", '"x"', "["])
def test_odd_sidecars_of_masks_change_nothing_for_the_scan(dataset: Path, sources: str) -> None:
    put(dataset, f"{FMRIPREP}/{MASK}")
    put(dataset, f"{FMRIPREP}/{MASK.removesuffix('.nii.gz')}.json", text=f'{{"Sources": {sources}}}')
    assert masks(dataset)[T1W][2] in ("fMRIPrep", "")
    assert find_bids(dataset).studies


def test_a_derivative_dataset_as_the_source_has_its_own_masks(tmp_path: Path) -> None:
    image = "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
    put(tmp_path / "ds", image, MASK, XFM.format("MNI152NLin6Asym"))
    put(tmp_path / "ds", "dataset_description.json", text='{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    put(
        tmp_path / "ds",
        f"{MASK.removesuffix('.nii.gz')}.json",
        text=f'{{"RawSources": ["{T1W}", "x_T1w.nii"]}}',
    )
    assert masks(tmp_path / "ds") == {
        image: (f"ds/{MASK}", f"ds/{XFM.format('MNI152NLin6Asym')}", "fMRIPrep")
    }


def test_a_folder_that_is_missing_or_empty_is_a_usage_error(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent does not exist or is a file: check --derivatives"):
        find_bids(dataset, derivatives=[tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty contains no derivatives: give a folder with sub-X folders"):
        find_bids(dataset, derivatives=[tmp_path / "empty"])


def test_derivatives_are_for_bids_only(dataset: Path) -> None:
    options = FindOptions(format="nifti", derivatives=(dataset,))
    with pytest.raises(UsageError, match="--derivatives applies to BIDS datasets"):
        find(dataset, options)
