"""Telling what a source is, and finding in it what was selected."""

import shutil
import sys
from pathlib import Path

import pytest
from images import put as put_images

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies import DicomOptions, FindOptions, Pseudonyms, Selection, find
from prima_features.studies.files import sniff
from prima_features.studies.find import detect
from prima_features.studies.study import Found, Identity, Study, not_embedded


def put(root: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        put_images(root, name)
        if content:
            (root / name).write_bytes(content)


def put_dicom(root: Path, *names: str) -> None:
    put(root, *names, content=bytes(128) + b"DICM")


@pytest.mark.parametrize(
    ("names", "format"),
    [
        (["dataset_description.json"], "bids"),
        (["sub-01/anat/sub-01_T1w.nii.gz"], "bids"),
        (["sub-01/ses-1/eeg/sub-01_ses-1_eeg.edf", "a.nii"], "bids"),
        (["sub-01/t1.nii.gz"], "nifti"),
        (["x/y/z/t1.NII.GZ", "x/readme.txt"], "nifti"),
    ],
)
def test_the_layout_tells_bids_from_loose_nifti(tmp_path: Path, names: list[str], format: str) -> None:
    put(tmp_path, *names)
    assert detect(tmp_path) == format


def test_dicom_is_known_by_its_content_alone(tmp_path: Path) -> None:
    put_dicom(tmp_path, "sub-01/anat/IM0001", "patient/notes.txt")
    assert detect(tmp_path) == "dicom"
    assert detect(tmp_path / "patient/notes.txt") == "dicom"


def test_one_file_is_known_by_its_name_or_its_content(tmp_path: Path) -> None:
    put(tmp_path, "a.nii", "b.nii.gz", "c.tsv", "d.CSV", "e.zip", "f.txt")
    assert [detect(tmp_path / name) for name in ("a.nii", "b.nii.gz", "c.tsv", "d.CSV")] == [
        "nifti",
        "nifti",
        "manifest",
        "manifest",
    ]
    with pytest.raises(NothingUsableError, match="unpack it and give the folder"):
        detect(tmp_path / "e.zip")
    with pytest.raises(NothingUsableError, match="is not NIfTI"):
        detect(tmp_path / "f.txt")


def test_the_first_evidence_decides_however_large_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_dicom(tmp_path, *(f"{i:02}/{j:02}" for i in range(20) for j in range(20)))
    looked_at = []
    monkeypatch.setattr(
        "prima_features.studies.files.sniff",
        lambda file: looked_at.append(file) or sniff(file),
    )
    assert detect(tmp_path) == "dicom"
    assert len(looked_at) == 1


def test_a_bids_dataset_is_recognised_without_looking_into_derivatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "derivatives/x.nii")
    put_dicom(tmp_path, "sourcedata/IM1")

    def fail(*_: object) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr(sys.modules["prima_features.studies.find"], "walk", fail)
    assert detect(tmp_path) == "bids"


@pytest.mark.parametrize("part", ["sub-01", "sub-01/ses-1", "sub-01/ses-1/anat"])
def test_part_of_a_bids_dataset_is_refused_with_the_right_command(tmp_path: Path, part: str) -> None:
    put(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    with pytest.raises(UsageError, match=r"part of the BIDS dataset .* --participant-label 01"):
        find(tmp_path / part)
    assert find(tmp_path / part, FindOptions(format="nifti")).format == "nifti"


def put_series(root: Path, folder: str, series: str, n: int = 5, placed: bool = True) -> None:
    """The slices of a series; unless they are `placed`, they do not say where they lie, and are left out."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    for i in range(n):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{series}.{i}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2", series, "MR"
        data.Rows = data.Columns = 2
        data.BitsAllocated, data.PixelData = 16, f"{series}.{i}".encode()[-8:].rjust(8)
        if placed:
            data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3 * i]
        (root / folder).mkdir(parents=True, exist_ok=True)
        data.save_as(root / folder / f"{series}.{i}", enforce_file_format=True)


@pytest.mark.parametrize(
    ("n_dicom", "n_nifti", "format"), [(2, 1, "dicom"), (1, 2, "nifti"), (2, 2, "dicom")]
)
@pytest.mark.parametrize("nested", [True, False])
def test_of_two_formats_the_one_with_more_series_is_read_and_the_other_is_named(
    tmp_path: Path, n_dicom: int, n_nifti: int, format: str, nested: bool
) -> None:
    for i in range(n_dicom):
        put_series(tmp_path, f"z{i}" if nested else ".", f"1.2.{i + 1}")
    put(tmp_path, *(f"{'a/' * nested}{i}.nii.gz" for i in range(n_nifti)))
    found = find(tmp_path)
    assert found.format == format
    (warning,) = found.warnings
    assert "several formats" in warning
    assert "--format" in warning
    rest = f"{n_nifti} NIfTI file" if format == "dicom" else f"{5 * n_dicom} DICOM files"
    (row,) = found.left_out  # each file is listed once
    assert row.series.startswith(rest)
    assert row.defect
    other = find(tmp_path, FindOptions(format="nifti" if format == "dicom" else "dicom"))
    assert not other.warnings
    assert not any(item.defect for item in other.left_out if "another format" in item.error)
    assert any("another format" in item.error for item in other.left_out)


def test_a_format_of_which_nothing_can_be_embedded_does_not_hide_the_other(tmp_path: Path) -> None:
    for i in range(3):
        put_series(tmp_path / "a", "x", f"1.2.{i + 1}", placed=False)
    put(tmp_path, "a/t1.nii.gz")
    assert find(tmp_path / "a").format == "nifti"
    put_series(tmp_path / "b", "x", "1.2.1")
    put(tmp_path, "b/brain_mask.nii.gz", "b/lesion.nii.gz")
    assert find(tmp_path / "b").format == "dicom"


def test_dicom_files_called_img_are_dicom(tmp_path: Path) -> None:
    put_series(tmp_path, "a", "1.2.1")
    for path in list((tmp_path / "a").iterdir()):
        path.rename(path.with_name(path.name + ".img"))
    assert detect(tmp_path) == "dicom"
    assert not find(tmp_path).warnings


def test_what_is_not_read_in_a_folder_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "p/T1.nii", "p/readme.md")
    put(tmp_path, "p/T1.json", content=b"{}")
    put(
        tmp_path,
        *("q/scan.PAR", "q/scan.REC", "r/x.zip", "r/y.tar.gz", "s/x.mnc", "t/x.hdr", "u/x.bin"),
        content=b"x",
    )
    assert {item.series: item.defect for item in find(tmp_path).left_out if "x.bin" not in item.series} == {
        "q/scan.PAR": True,
        "q/scan.REC": True,
        "r/x.zip": True,
        "r/y.tar.gz": True,
        "s/x.mnc": True,
        "t/x.hdr": True,
        "1 other file: .bin (1)": False,
    }


def test_a_folder_of_archives_and_a_dicomdir_say_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, "zips/a.zip", "zips/b.zip", content=b"PK")
    with pytest.raises(NothingUsableError, match=r"2 are archives \(such as \.zip\): unpack first"):
        find(tmp_path / "zips")
    put_dicom(tmp_path, "disc/DICOMDIR")
    for format in ("auto", "dicom"):
        with pytest.raises(NothingUsableError, match=r"give its folder .*disc"):
            find(tmp_path / "disc/DICOMDIR", FindOptions(format=format))  # type: ignore[arg-type]


def test_composed_and_decomposed_spellings_of_a_name_give_one_id(tmp_path: Path) -> None:
    composed, decomposed = "Mu\u0308ller", "M\u00fcller"
    for name, other in ((composed, decomposed), (decomposed, composed)):
        put(tmp_path, f"{name}.d/{name}/t1.nii")
        (study,) = find(tmp_path / f"{name}.d", FindOptions(selection=Selection((other,)))).studies
        assert study.id == "sub-Mller"


def test_two_folders_never_share_an_id(tmp_path: Path) -> None:
    long = "x" * 230
    names = [
        "Mu\u0308ller",
        "M\u00fcller",
        "Mller",
        "MLLER",
        "a b",
        "a_b",
        long + "1",
        long + "2",
        "M\udcfcller",
    ]
    put(tmp_path, *(f"{name}/t1.nii" for name in names), "new\nline/t1.nii", "esc\x1b[31m/t1.nii")
    studies = find(tmp_path).studies
    assert len({study.id.lower() for study in studies}) == len(names) + 2
    assert max(len(study.id) for study in studies) < 100
    assert all(study.id.removeprefix("sub-").isalnum() and study.id.isascii() for study in studies)


def test_manifests_join_composed_and_decomposed_spellings(tmp_path: Path) -> None:
    put(tmp_path, "a.nii", "b.nii")
    table = "path,subject\na.nii,Mu\u0308ller\nb.nii,M\u00fcller\n"
    put(tmp_path, "t.csv", content=table.encode())
    (study,) = find(tmp_path / "t.csv").studies
    assert len(study.series) == 2


def test_a_folder_of_datasets_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "ds1/dataset_description.json", "ds1/sub-01/anat/sub-01_T1w.nii.gz")
    with pytest.raises(UsageError, match=r"contains one: give .*ds1"):
        find(tmp_path)


def test_a_source_that_is_not_there_or_empty_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone does not exist"):
        find(tmp_path / "gone")
    put(tmp_path, "file")
    with pytest.raises(UsageError, match="does not exist"):
        find(tmp_path / "file/below")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingUsableError, match="contains no scans: it is empty"):
        find(tmp_path / "empty")
    with pytest.raises(NothingUsableError, match="its one file is not DICOM or NIfTI"):
        find(tmp_path)


def test_folders_linked_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to("self")
    with pytest.raises(NothingUsableError, match="contains no scans"):
        find(tmp_path)


@pytest.mark.parametrize("format", ["bids", "manifest"])
def test_a_format_that_does_not_fit_the_source_is_an_error(tmp_path: Path, format: str) -> None:
    source = tmp_path
    if format == "bids":
        put(tmp_path, "scan.nii")
        source = tmp_path / "scan.nii"
    with pytest.raises(UsageError, match="is a"):
        find(source, FindOptions(format=format))  # type: ignore[arg-type]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(
        UsageError, match="The format must be one of auto, bids, dicom, nifti, manifest, not zip"
    ):
        FindOptions(format="zip")  # type: ignore[arg-type]


def test_all_formats_are_found_and_their_ids_are_unique(golden: Path, scans: Path, tmp_path: Path) -> None:
    shutil.copy(scans / "nifti/FLAIR.nii.gz", tmp_path)
    put(tmp_path, "table.csv", content=b"path,subject\nFLAIR.nii.gz,1\n")
    sources = {
        "bids": scans / "bids/ds006",
        "dicom": golden / "study_a",
        "nifti": scans / "nifti",
        "manifest": tmp_path / "table.csv",
    }
    for format, source in sources.items():
        found = find(source, pseudonyms=Pseudonyms(bytes(32)))
        assert found.format == format
        assert found.studies
        assert len({study.id for study in found.studies}) == len(found.studies)


def test_a_selection_holds_for_loose_files_and_manifests(tmp_path: Path) -> None:
    put(tmp_path, "case_1/a.nii", "case_2/b.nii", "case_2/b_mask.nii", "case_3/c_mask.nii")
    names = [(study.id, study.subject) for study in find(tmp_path).studies]
    assert names == [("sub-case1", "case_1"), ("sub-case2", "case_2")]
    for label in ("case_1", "case1", "sub-case1"):
        found = find(tmp_path, FindOptions(selection=Selection((label,))))
        assert [study.subject for study in found.studies] == ["case_1"]
        assert not found.left_out
    put(tmp_path, "t.csv", content=b"path,subject,session\ncase_1/a.nii,A,1\ncase_2/b.nii,A,2\n")
    found = find(tmp_path / "t.csv", FindOptions(selection=Selection(sessions=("ses-2",))))
    assert [study.id for study in found.studies] == ["sub-A_ses-2"]


def test_a_label_that_is_not_there_is_an_error_with_examples(tmp_path: Path) -> None:
    put(tmp_path, *(f"case{i}.nii" for i in range(8)))
    with pytest.raises(UsageError, match=r"no participant casse1; did you mean case1 or"):
        find(tmp_path, FindOptions(selection=Selection(("casse1",))))
    with pytest.raises(UsageError, match=r"no participant zz among the 8: case0, .*, case4, \.\.\."):
        find(tmp_path, FindOptions(selection=Selection(("case1", "zz"))))
    with pytest.raises(UsageError, match=r"no participant zz \(nor yy, xx\) among"):
        find(tmp_path, FindOptions(selection=Selection(("zz", "case1", "yy", "xx"))))
    with pytest.raises(UsageError, match="no session 1: the source has no sessions"):
        find(tmp_path, FindOptions(selection=Selection(sessions=("1",))))
    with pytest.raises(UsageError, match="empty label"):
        Selection(("sub-",))


def dicom_found() -> Found:
    studies = [
        Study(f"sub-{p}_ses-x", p, "x", "MRI", (), identity=Identity(f"SMITH{p}", "1.2.3", "folder"))
        for p in ("aa", "bb")
    ]
    left_out = [
        not_embedded(study, "AX", "why") for study in ("", "sub-aa_ses-x", "sub-bb_ses-x", "sub-cc_ses-x")
    ]
    return Found("dicom", tuple(studies), tuple(left_out))


@pytest.mark.parametrize("label", ["aa", "SMITHaa"])
def test_dicom_is_selected_by_pseudonym_or_patient_id(label: str) -> None:
    found = Selection((label,)).apply(dicom_found())
    assert [study.subject for study in found.studies] == ["aa"]
    assert [item.study for item in found.left_out] == ["", "sub-aa_ses-x"]


def test_a_selection_that_fails_names_no_patient() -> None:
    with pytest.raises(UsageError) as caught:
        Selection(("SMITHa",)).apply(dicom_found())
    assert "SMITHaa" not in str(caught.value)
    assert "SMITHbb" not in str(caught.value)


def test_dicom_options_reach_the_dicom_finder(golden: Path) -> None:
    found = find(golden / "study_a", FindOptions(dicom=DicomOptions(min_slices=10_000)))
    assert not found.studies
    assert len(found.left_out) == 5
