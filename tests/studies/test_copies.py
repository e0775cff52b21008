"""The same image twice among the files of a study."""

import gzip
from pathlib import Path

import pytest
from images import nifti_bytes

from prima_features.studies.bids import find_bids
from prima_features.studies.content import Copy, find_copies
from prima_features.studies.nifti import find_nifti

A, B = nifti_bytes(1), nifti_bytes(2)


def put(root: Path, name: str, content: bytes) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)
    return root / name


def test_an_image_next_to_its_compressed_copy_counts_once(tmp_path: Path) -> None:
    packed, plain = put(tmp_path, "a.nii.gz", gzip.compress(A)), put(tmp_path, "a.nii", A)
    assert find_copies([plain, packed]) == {plain: Copy(packed, same=True)}


@pytest.mark.parametrize("inflated", [True, False])
def test_one_name_with_other_content_is_no_copy_but_one_is_left_out(tmp_path: Path, inflated: bool) -> None:
    packed, plain = put(tmp_path, "a.nii.gz", gzip.compress(A)), put(tmp_path, "a.nii", B)
    assert find_copies([plain, packed], inflated) == {plain: Copy(packed, same=False)}


def test_an_empty_file_does_not_stand_for_its_twin(tmp_path: Path) -> None:
    packed, plain = put(tmp_path, "a.nii.gz", b""), put(tmp_path, "a.nii", A)
    assert find_copies([plain, packed]) == {packed: Copy(plain, same=False)}


def test_the_same_content_under_other_names_counts_once_however_it_is_compressed(tmp_path: Path) -> None:
    first = put(tmp_path, "1.nii", A)
    second = put(tmp_path, "2.nii.gz", gzip.compress(A, 1))
    third = put(tmp_path, "3.nii.gz", gzip.compress(A, 9, mtime=7))
    other = put(tmp_path, "4.nii.gz", gzip.compress(B))
    copies = find_copies([first, second, third, other])
    assert copies == {second: Copy(first, same=True), third: Copy(first, same=True)}


def test_gzip_files_that_end_in_an_empty_member_are_compared_by_content(tmp_path: Path) -> None:
    one = put(tmp_path, "1.nii.gz", gzip.compress(A) + gzip.compress(b""))
    other = put(tmp_path, "2.nii.gz", gzip.compress(B) + gzip.compress(b""))
    assert find_copies([one, other]) == {}


def test_loose_copies_are_listed_and_those_at_the_top_are_one_study(tmp_path: Path) -> None:
    put(tmp_path, "p1/T1.nii.gz", gzip.compress(A))
    put(tmp_path, "p1/old/T1 (1).nii", A)
    put(tmp_path, "p2.nii", A)
    put(tmp_path, "p2.nii.gz", gzip.compress(A))
    put(tmp_path, "p3.nii", A)
    found = find_nifti(tmp_path)
    assert {study.id: [series.source for series in study.series] for study in found.studies} == {
        "sub-p1": ["p1/T1.nii.gz"],
        "sub-p2": ["p2.nii.gz"],
        "sub-p3": ["p3.nii"],
    }
    assert {item.series: (item.study, item.defect) for item in found.left_out} == {
        "p1/old/T1 (1).nii": ("sub-p1", False),
        "p2.nii": ("sub-p2", False),
    }


def test_bids_twins_are_one_series_and_a_defect_if_they_differ(tmp_path: Path) -> None:
    for subject, content in (("01", A), ("02", B)):
        put(tmp_path, f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", gzip.compress(A))
        put(tmp_path, f"sub-{subject}/anat/sub-{subject}_T1w.nii", content)
        put(tmp_path, f"sub-{subject}/anat/sub-{subject}_run-2_T1w.nii.gz", gzip.compress(A))
    found = find_bids(tmp_path)
    assert [(item.series.rsplit("/", 1)[1], item.defect) for item in found.left_out] == [
        ("sub-01_T1w.nii", False),
        ("sub-02_T1w.nii", True),
    ]
    # Another name of BIDS is another acquisition: that it is the same is a doubt.
    assert [[series.flags for series in study.series] for study in found.studies] == [[(), ("copy",)]] * 2
    assert "2 images have the same content as another image of the same study" in found.warnings[0]
