"""The BIDS finder on trees made here, file by file."""

import json
import os
from pathlib import Path

import pytest

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies import BidsOptions, Selection
from prima_features.studies.bids import find_bids
from prima_features.studies.bids.choice import ANAT, DATATYPES, DWI, SUFFIXES
from prima_features.studies.study import DEFAULT_DESCRIPTION, Failure, Found, NiftiImage, Series


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "dataset_description.json").write_text('{"Name": "made up", "BIDSVersion": "1.9.0"}')
    return tmp_path


def put(root: Path, *names: str, text: str | None = None) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name if text is None else text)


def put_json(root: Path, name: str, **fields: object) -> None:
    put(root, name, text=json.dumps(fields))


def all_series(found: Found) -> dict[str, Series]:
    return {series.source: series for study in found.studies for series in study.series}


def why(found: Found) -> dict[str, Failure]:
    return {item.series: item for item in found.left_out}


def image(series: Series) -> NiftiImage:
    assert isinstance(series.image, NiftiImage)
    return series.image


def test_a_subject_without_sessions_is_one_study(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii")
    (study,) = find_bids(dataset).studies
    assert (study.id, study.subject, study.session, study.source) == ("sub-01", "01", "", "sub-01")
    assert study.description == DEFAULT_DESCRIPTION
    assert [series.source for series in study.series] == [
        "sub-01/anat/sub-01_FLAIR.nii",
        "sub-01/anat/sub-01_T1w.nii.gz",
    ]
    assert image(study.series[1]).path == dataset / "sub-01/anat/sub-01_T1w.nii.gz"


def test_each_session_is_a_study_of_its_own(dataset: Path) -> None:
    put(dataset, *(f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in ("pre", "post")))
    found = find_bids(dataset)
    assert [study.id for study in found.studies] == ["sub-01_ses-post", "sub-01_ses-pre"]
    assert [study.source for study in found.studies] == ["sub-01/ses-post", "sub-01/ses-pre"]
    assert [study.session for study in found.studies] == ["post", "pre"]


def test_dataset_description_and_participants_table_are_not_needed(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    assert len(find_bids(tmp_path).studies) == 1


def test_a_folder_with_a_dot_in_its_name_is_found_and_so_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ds000001_R1.1.0"
    put(root, "sub-01/anat/sub-01_T1w.nii.gz")
    assert len(find_bids(root).studies) == 1
    monkeypatch.chdir(root)
    assert len(find_bids(Path()).studies) == 1


@pytest.mark.parametrize("datatype", SUFFIXES)
def test_every_suffix_is_embedded_or_left_out_with_the_reason_of_the_table(
    dataset: Path, datatype: str
) -> None:
    table = SUFFIXES[datatype]
    put(dataset, *(f"sub-01/{datatype}/sub-01_acq-{i}_{suffix}.nii.gz" for i, suffix in enumerate(table)))
    found = find_bids(dataset)
    reasons = {what.rsplit("_", 1)[1]: item.error for what, item in why(found).items()}
    embedded = {source.rsplit("_", 1)[1] for source in all_series(found)}
    assert reasons == {f"{suffix}.nii.gz": reason for suffix, reason in table.items() if reason}
    assert embedded == {f"{suffix}.nii.gz" for suffix, reason in table.items() if not reason}


def test_the_table_decides_on_every_suffix_that_bids_has_for_anat_and_dwi() -> None:
    from bidsschematools.schema import load_schema

    from prima_features.studies.bids.choice import NOT_PICTURES

    raw = load_schema()["rules"]["files"]["raw"]
    for datatype, table in (("anat", ANAT), ("dwi", DWI)):
        suffixes = {suffix for group in raw[datatype].values() for suffix in group["suffixes"]}
        assert suffixes <= {*table, *NOT_PICTURES}


@pytest.mark.parametrize("datatype", [name for name, reason in DATATYPES.items() if reason])
def test_other_datatypes_are_left_out_file_by_file(dataset: Path, datatype: str) -> None:
    name = f"sub-01/{datatype}/sub-01_run-1_x.nii.gz"
    put(dataset, name, "sub-01/anat/sub-01_T1w.nii.gz")
    left_out = why(find_bids(dataset))
    assert left_out[name].error == DATATYPES[datatype]
    assert left_out[name].study == "sub-01"
    assert not left_out[name].defect


def test_a_datatype_that_is_not_nifti_is_left_out_in_one_row(dataset: Path) -> None:
    put(dataset, *(f"sub-01/eeg/sub-01_task-rest_run-{i}_eeg.edf" for i in range(3)))
    assert [(item.series, item.error) for item in find_bids(dataset).left_out] == [
        ("sub-01/eeg", "EEG, not MRI")
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-01_part-phase_T2starw", "phase of a complex image"),
        ("sub-01_part-Phase_T2starw", "phase of a complex image"),
        ("sub-01_part-real_T2starw", "real part"),
        ("sub-01_part-imag_T2starw", "imaginary part"),
        ("sub-01_mod-T1w_defacemask", "mask"),
        ("sub-01_desc-brain_mask", "mask"),
        ("sub-01_label-GM_probseg", "mask or segmentation"),
        ("sub-01_space-MNI152NLin6Asym_T1w", "resampled to another space"),
        ("sub-01_T1w_brain", "BIDS has no brain image in anat"),
        ("sub-01_run-01", "does not end in a BIDS suffix"),
    ],
)
def test_parts_masks_and_derived_copies_are_left_out(dataset: Path, name: str, reason: str) -> None:
    put(dataset, f"sub-01/anat/{name}.nii.gz", "sub-01/anat/sub-01_part-mag_T2starw.nii.gz")
    found = find_bids(dataset)
    assert reason in why(found)[f"sub-01/anat/{name}.nii.gz"].error
    assert list(all_series(found)) == ["sub-01/anat/sub-01_part-mag_T2starw.nii.gz"]


def test_derivatives_and_sourcedata_are_one_row_each_and_not_entered(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz")
    put(dataset, *(f"derivatives/x/sub-0{i}/anat/sub-0{i}_T1w.nii.gz" for i in range(9)))
    put(dataset, "sourcedata/sub-01/anat/sub-01_T1w.nii.gz")
    found = find_bids(dataset)
    assert [study.id for study in found.studies] == ["sub-01"]
    assert [(item.study, item.series) for item in found.left_out] == [("", "derivatives"), ("", "sourcedata")]


def test_a_sidecar_names_the_series_as_dicom_would(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz")
    put_json(dataset, "sub-01/anat/sub-01_T1w.json", SeriesDescription="T1 (3D)", ProtocolName="t1+c")
    (series,) = all_series(find_bids(dataset)).values()
    assert series.name == "T1__3D_-t1_plus_c-Protocol"


def test_without_a_sidecar_the_entities_name_the_series(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_task-rest_acq-fast_ce-gad_run-02_echo-1_T1w.nii.gz")
    put_json(dataset, "sub-01/anat/sub-01_T1w.json", EchoTime=0.003)
    (series,) = all_series(find_bids(dataset)).values()
    assert series.name == "acq-fast_ce-gad_run-02_T1w"


def test_sidecars_are_inherited_and_the_closest_prevails(dataset: Path) -> None:
    put(dataset, *(f"sub-0{i}/ses-1/anat/sub-0{i}_ses-1_acq-a_T1w.nii.gz" for i in (1, 2, 3)))
    put_json(dataset, "T1w.json", SeriesDescription="general", ProtocolName="protocol")
    put_json(dataset, "acq-b_T1w.json", SeriesDescription="of another acquisition")
    put_json(dataset, "FLAIR.json", SeriesDescription="of another suffix")
    put_json(dataset, "sub-02/sub-02_T1w.json", SeriesDescription="subject")
    put_json(dataset, "sub-03/ses-1/anat/sub-03_ses-1_acq-a_T1w.json", SeriesDescription="image")
    put_json(dataset, "sub-03/ses-1/anat/sub-03_ses-1_T1w.json", SeriesDescription="folder")
    names = [series.name for series in all_series(find_bids(dataset)).values()]
    assert names == ["general-protocol-Protocol", "subject-protocol-Protocol", "image-protocol-Protocol"]


@pytest.mark.parametrize("sidecar", ["sub-01/anat/sub-01_T1w.json", "sub-01/sub-01_T1w.json", "T1w.json"])
@pytest.mark.parametrize("content", ["{broken", "[1]", ""])
def test_a_sidecar_that_cannot_be_read_is_a_failure_of_the_images_it_describes(
    dataset: Path, sidecar: str, content: str
) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz")
    put(dataset, sidecar, text=content)
    found = find_bids(dataset)
    assert list(all_series(found)) == ["sub-01/anat/sub-01_FLAIR.nii.gz"]
    (item,) = found.left_out
    assert item.series == "sub-01/anat/sub-01_T1w.nii.gz"
    assert item.defect
    assert f"its sidecar {sidecar} " in item.error


def test_a_sidecar_whose_content_was_not_fetched_is_a_failure(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz")
    (dataset / "T1w.json").symlink_to(".git/annex/objects/xx/yy")
    (item,) = find_bids(dataset).left_out
    assert "T1w.json is a broken link" in item.error


def test_other_text_than_a_name_still_names_the_series(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz")
    put_json(dataset, "sub-01/anat/sub-01_T1w.json", SeriesDescription=3, ProtocolName=["a", "b"])
    assert [series.name for series in all_series(find_bids(dataset)).values()] == ["3-a_b-Protocol"]


def test_a_sidecar_tells_the_orientation_of_the_acquired_slices(dataset: Path) -> None:
    put(dataset, *(f"sub-01/anat/sub-01_acq-{i}_T1w.nii.gz" for i in "ab"))
    put_json(dataset, "sub-01/anat/sub-01_acq-a_T1w.json", ImageOrientationPatientDICOM=[0, 1, 0, 0, 0, -1])
    put_json(dataset, "sub-01/anat/sub-01_acq-b_T1w.json", ImageOrientationPatientDICOM=[0, 1, 0])
    found = find_bids(dataset)
    (a,) = all_series(found).values()
    assert image(a).orientation == (0, 1, 0, 0, 0, -1)
    (item,) = found.left_out
    assert "ImageOrientationPatientDICOM that is not two perpendicular directions" in item.error


def test_a_sidecar_that_says_phase_leaves_the_image_out(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T2starw.nii.gz")
    put_json(dataset, "sub-01/anat/sub-01_T2starw.json", ImageType=["ORIGINAL", "PRIMARY", "P", "PHASE"])
    found = find_bids(dataset)
    assert not found.studies
    assert "phase" in found.left_out[0].error


@pytest.mark.parametrize(
    ("table", "volumes"),
    [
        ("0 1000 5 1000 50 51\n", (0, 2, 4)),
        ("1000\n0\n", (1,)),
        ("2000 700 1000 700", (1,)),  # none is b=0
        ("nan 0", (1,)),
        ("0, 1000, 0", (0, 2)),
    ],
)
def test_diffusion_takes_its_b0_volumes(dataset: Path, table: str, volumes: tuple[int, ...]) -> None:
    put(dataset, "sub-01/dwi/sub-01_dir-AP_dwi.nii.gz")
    put(dataset, "sub-01/dwi/sub-01_dir-AP_dwi.bval", text=table)
    (series,) = all_series(find_bids(dataset)).values()
    assert image(series).volumes == volumes


@pytest.mark.parametrize("table", ["", "b-values"])
def test_a_gradient_table_that_cannot_be_read_is_a_failure(dataset: Path, table: str) -> None:
    put(dataset, "sub-01/dwi/sub-01_dwi.nii.gz")
    put(dataset, "sub-01/dwi/sub-01_dwi.bval", text=table)
    (item,) = find_bids(dataset).left_out
    assert item.defect
    assert "its sidecar sub-01_dwi.bval" in item.error


def test_diffusion_without_a_table_takes_its_first_volume_and_tables_are_inherited(dataset: Path) -> None:
    put(dataset, *(f"sub-01/dwi/sub-01_dir-{way}_dwi.nii.gz" for way in ("AP", "PA")))
    put(dataset, "dir-PA_dwi.bval", text="1000 0")
    ap, pa = all_series(find_bids(dataset)).values()
    assert image(ap).volumes == (0,)
    assert image(pa).volumes == (1,)


def test_a_link_to_content_that_was_not_fetched_is_a_defect_that_says_how_to_fetch_it(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz")
    (dataset / "sub-01/anat/sub-01_T2w.nii.gz").symlink_to("../../.git/annex/objects/xx/yy")
    put(dataset, "sub-01/anat/sub-01_FLAIR.nii.gz", text="/annex/objects/MD5E-s1--d41.nii.gz\n")
    put(dataset, "sub-01/anat/sub-01_PDw.nii.gz", text="version https://git-lfs.github.com/spec/v1\n")
    found = find_bids(dataset)
    assert list(all_series(found)) == ["sub-01/anat/sub-01_T1w.nii.gz"]
    left_out = why(found)
    for suffix, command in (("T2w", "datalad get"), ("FLAIR", "datalad get"), ("PDw", "git lfs pull")):
        item = left_out[f"sub-01/anat/sub-01_{suffix}.nii.gz"]
        assert "content has not been fetched" in item.error
        assert command in item.hint
        assert item.defect


def test_scans_that_are_no_part_of_bids_are_named(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w.json", "code/x.nii", text="{}")
    put(dataset, "README", "CHANGES", "participants.tsv", "sub-01/sub-01_scans.tsv", "sub-01/anat/notes")
    dicom = bytes(128).decode() + "DICM"
    put(
        dataset, *(f"sub-01/anat/IM{i}" for i in range(3)), "sub-01/dicom/a/b/IM1", "incoming/IM1", text=dicom
    )
    put(
        dataset,
        "sub-02.zip",
        "sub-03.nii.gz",
        "sub-01/anat/sub-01_T2w.PAR",
        "raw/p1/t1.nii",
        "sub-01/anat/x/a.mgz",
    )
    found = find_bids(dataset)
    assert list(all_series(found)) == ["sub-01/anat/sub-01_T1w.nii.gz"]
    assert {
        item.series: item.error.rsplit(" it contains ", 1)[-1] for item in found.left_out if item.defect
    } == {
        "incoming": "1 DICOM file",
        "raw": "1 NIfTI file",
        "sub-01/anat": "the folder has 3 DICOM files, but BIDS images are NIfTI files",
        "sub-01/anat/sub-01_T2w.PAR": "BIDS images are .nii or .nii.gz files, not .PAR",
        "sub-01/anat/x": "1 .mgz file",
        "sub-01/dicom/a": "1 DICOM file",
        "sub-02.zip": "it is an archive, which is not opened",
        "sub-03.nii.gz": "it is not in a subject's folder",
    }
    assert all(item.defect and item.hint for item in found.left_out)


def test_empty_images_are_left_out_unless_the_dataset_is_but_a_layout(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz", text="")
    found = find_bids(dataset)
    assert len(found.studies) == 2
    assert "All images in the dataset are empty files" in found.warnings[0]
    put(dataset, "sub-03/anat/sub-03_T1w.nii.gz")
    found = find_bids(dataset)
    assert [study.id for study in found.studies] == ["sub-03"]
    assert [(item.error, item.defect) for item in found.left_out] == [("the file is empty", True)] * 2


def test_a_suffix_or_datatype_that_no_image_has_is_a_warning(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    found = find_bids(dataset, BidsOptions(suffixes=("T1w", "FLAIRR")))
    assert len(found.studies) == 1
    assert found.warnings == ("No image has the suffix FLAIRR; the dataset has: T1w, T2w",)
    with pytest.raises(UsageError, match="empty"):
        BidsOptions(datatypes=("",))


def test_links_between_folders_that_run_in_circles_end(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz")
    (dataset / "sub-01/anat/again").symlink_to(dataset)
    (dataset / "sub-01/sub-01").symlink_to(dataset / "sub-01")
    (dataset / "sub-01/self").symlink_to("self")
    assert list(all_series(find_bids(dataset))) == ["sub-01/anat/sub-01_T1w.nii.gz"]


def test_endings_in_upper_case_are_endings(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.NII.GZ", "sub-01/anat/sub-01_T2w.nii.gz")
    (dataset / "sub-01/anat/sub-01_T1w.JSON").write_text('{"ImageType": ["ORIGINAL", "PRIMARY", "P"]}')
    found = find_bids(dataset)
    assert list(all_series(found)) == ["sub-01/anat/sub-01_T2w.nii.gz"]
    assert "phase" in found.left_out[0].error


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-01/anat/T1.nii.gz", "does not start with sub-01"),
        ("sub-01/anat/sub-02_T1w.nii.gz", "its name says sub-02, but it is in the folder of sub-01"),
        ("sub-01/ses-a/anat/sub-01_ses-b_T1w.nii.gz", "its name says sub-01_ses-b"),
        ("sub-01/sub-01_T1w.nii.gz", "is not in a datatype folder"),
        ("sub-01/anat/sub-01_T1w.mgz", "images are .nii or .nii.gz"),
        ("sub-01/anat/sub-01_T1W.nii.gz", "BIDS has no T1W image"),
        ("sub-01/ANAT/sub-01_T1w.nii.gz", "BIDS has no datatype ANAT"),
        ("sub-0_1/anat/sub-0_1_T1w.nii.gz", "only letters and digits"),
        ("sub-01/ses-0-1/anat/sub-01_ses-0-1_T1w.nii.gz", "only letters and digits"),
    ],
)
def test_what_breaks_the_rules_of_bids_is_a_defect_with_a_hint(dataset: Path, name: str, reason: str) -> None:
    put(dataset, name, "sub-03/anat/sub-03_T1w.nii.gz")
    found = find_bids(dataset)
    (item,) = [item for item in found.left_out if item.defect]
    assert reason in item.error
    assert name.startswith(item.series)
    assert item.hint
    assert [study.id for study in found.studies] == ["sub-03"]


def test_a_session_named_by_files_alone_is_a_session(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_ses-2_T1w.nii.gz")
    (study,) = find_bids(dataset).studies
    assert (study.id, study.source) == ("sub-01_ses-2", "sub-01")


def test_an_empty_subject_is_mentioned_and_hidden_files_are_not(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/._sub-01_T1w.nii.gz")
    (dataset / "sub-02").mkdir()
    assert [(item.study, item.error) for item in find_bids(dataset).left_out] == [
        ("sub-02", "the folder contains no images")
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every folder")
def test_a_folder_that_cannot_be_read_is_a_defect(dataset: Path) -> None:
    put(dataset, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")
    (dataset / "sub-02/anat").chmod(0)
    found = find_bids(dataset)
    (dataset / "sub-02/anat").chmod(0o755)
    assert [(item.series, item.defect) for item in found.left_out] == [("sub-02/anat", True)]


def test_a_dataset_without_subjects_is_nothing_usable(dataset: Path) -> None:
    with pytest.raises(NothingUsableError, match="no sub-X folders"):
        find_bids(dataset)


def test_a_file_is_no_dataset(dataset: Path) -> None:
    with pytest.raises(UsageError, match="a BIDS dataset is a folder"):
        find_bids(dataset / "dataset_description.json")


def test_only_the_selected_participants_and_sessions_are_found(dataset: Path) -> None:
    put(
        dataset,
        *(f"sub-{p}/ses-{s}/anat/sub-{p}_ses-{s}_T1w.nii.gz" for p in ("01", "02", "03") for s in "12"),
    )
    selection = Selection(("sub-01", "03"), ("ses-2",))
    found = find_bids(dataset, BidsOptions(), selection)
    assert [study.id for study in found.studies] == ["sub-01_ses-2", "sub-03_ses-2"]
    assert not found.left_out
    with pytest.raises(UsageError, match=r"There is no participant 1; did you mean 01\?"):
        find_bids(dataset, selection=Selection(("1",)))
    with pytest.raises(UsageError, match="There is no session pre among the 2: 1, 2"):
        find_bids(dataset, selection=Selection(sessions=("pre",)))
