"""Files are found by what they hold, wherever they lie and whatever they are called."""

import gzip
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.dicom import find_dicom
from prima_features.studies.study import DicomSlices, Found
from prima_features.volumes.dicom import read_slices

WriteStack = Callable[..., list[Path]]


def only_stack(found: Found) -> tuple[Path, ...]:
    ((series,),) = (study.series for study in found.studies)
    assert isinstance(series.image, DicomSlices)
    (stack,) = series.image.stacks
    return stack


def instance_uids(files: tuple[Path, ...]) -> list[str]:
    return [pydicom.dcmread(file).SOPInstanceUID for file in files]


def test_file_names_and_folders_play_no_part(tmp_path: Path, write_stack: WriteStack) -> None:
    files = write_stack(tmp_path / "ordered", 8)
    ordered = instance_uids(only_stack(find_dicom(tmp_path)))
    random.Random(0).shuffle(files)
    for i, file in enumerate(files):
        target = tmp_path / "mixed" / f"folder {i % 3}" / ("scan.txt" if i == 0 else f"1.2.{i}")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    assert instance_uids(only_stack(find_dicom(tmp_path))) == ordered


def test_slices_ascend_in_lps_whatever_their_instance_numbers_say(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for orientation, axis in (([1, 0, 0, 0, 1, 0], 2), ([0, 1, 0, 0, 0, -1], 0), ([1, 0, 0, 0, 0, -1], 1)):
        folder = tmp_path / f"along {axis}"
        for i, place in enumerate((9, 0, 6, 12, 3)):
            position = [0, 0, 0]
            position[axis] = place
            write_stack(
                folder, 1, first=i, ImagePositionPatient=position, ImageOrientationPatient=orientation
            )
        places = [pydicom.dcmread(file).ImagePositionPatient[axis] for file in only_stack(find_dicom(folder))]
        assert places == [0, 3, 6, 9, 12]


def test_an_empty_folder_holds_nothing_and_is_no_error(tmp_path: Path) -> None:
    assert find_dicom(tmp_path) == Found("dicom", ())


def test_a_missing_path_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find_dicom(tmp_path / "nowhere")


def test_one_file_stands_for_its_series(tmp_path: Path, write_stack: WriteStack) -> None:
    files = write_stack(tmp_path, 6)
    write_stack(tmp_path, 6, SeriesInstanceUID="1.2.3.4", SeriesNumber=8)
    assert set(only_stack(find_dicom(files[3]))) == set(files)


def test_one_file_that_is_not_dicom_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.dcm").write_text("not an image")
    with pytest.raises(NothingUsableError, match="no usable DICOM image"):
        find_dicom(tmp_path / "notes.dcm")


def test_other_files_are_counted_and_not_named(tmp_path: Path, write_stack: WriteStack) -> None:
    files = write_stack(tmp_path, 5)
    (tmp_path / "Jane Doe.txt").write_text("\x08\x00 not DICOM")
    (tmp_path / "empty").touch()
    (tmp_path / "scan.dcm.gz").write_bytes(gzip.compress(files[0].read_bytes()))
    (tmp_path / "table.gz").write_bytes(gzip.compress(b"1,2,3"))
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"1,2,3" * 99)[:20])
    found = find_dicom(tmp_path)
    assert [(item.study, item.series) for item in found.left_out] == [
        ("", "2 files that are not DICOM"),
        ("", "2 images and archives in other formats"),
        ("", "1 gzip-compressed DICOM file"),
    ]
    assert "gunzip" in found.left_out[2].hint
    assert [item.defect for item in found.left_out] == [False, False, True]  # the last one could be a scan
    assert len(only_stack(found)) == 5


def test_broken_links_are_defects_and_circles_of_links_end(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path / "scan", 5)
    (tmp_path / "scan" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "scan" / "itself").symlink_to(tmp_path / "scan" / "itself")
    (tmp_path / "scan" / "up").symlink_to(tmp_path)
    found = find_dicom(tmp_path)
    assert len(only_stack(found)) == 5
    (left_out,) = found.left_out
    assert left_out.series == "2 files or folders that cannot be opened"
    assert left_out.defect


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_defect(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 7)[6].chmod(0)
    found = find_dicom(tmp_path)
    assert len(only_stack(found)) == 6
    assert [(item.series, item.defect) for item in found.left_out] == [
        ("1 file or folder that cannot be opened", True)
    ]


def test_a_pipe_does_not_hang_the_finder(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5)
    os.mkfifo(tmp_path / "pipe")
    assert len(only_stack(find_dicom(tmp_path))) == 5


def test_linked_folders_are_followed(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path / "archive", 5)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "scan").symlink_to(tmp_path / "archive")
    assert len(only_stack(find_dicom(tmp_path / "study"))) == 5


def test_a_linked_file_and_its_target_are_one(tmp_path: Path, write_stack: WriteStack) -> None:
    for file in write_stack(tmp_path / "annex", 5):
        (tmp_path / file.name).symlink_to(file)
    found = find_dicom(tmp_path)
    assert len(only_stack(found)) == 5
    assert not found.left_out


def test_a_directory_of_a_disc_is_passed_over_silently(tmp_path: Path, write_stack: WriteStack) -> None:
    files = write_stack(tmp_path, 5)
    directory = pydicom.dcmread(files[0])
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.save_as(tmp_path / "DICOMDIR")
    found = find_dicom(tmp_path)
    assert len(only_stack(found)) == 5
    assert not found.left_out


def test_data_sets_without_preamble_are_found(tmp_path: Path, write_stack: WriteStack) -> None:
    for file in write_stack(tmp_path, 5):
        content = file.read_bytes()
        file.write_bytes(content[content.index(b"\x08\x00\x08\x00CS") :])
    assert len(only_stack(find_dicom(tmp_path))) == 5


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_every_transfer_syntax_is_found_and_read(
    tmp_path: Path, write_stack: WriteStack, syntax: str
) -> None:
    for file in write_stack(tmp_path, 5):
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    volume = sitk.GetArrayFromImage(read_slices(DicomSlices((only_stack(find_dicom(tmp_path)),))))
    assert volume[:, 0, 0].tolist() == [100, 101, 102, 103, 104]


def test_a_damaged_header_is_a_defect_and_costs_its_file_only(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    last = write_stack(tmp_path, 6)[5]
    last.write_bytes(last.read_bytes()[:132] + b"\x02\x00\x00\x00UL\xff\xff\x00")
    found = find_dicom(tmp_path)
    assert len(only_stack(found)) == 5
    assert [(item.series, item.defect) for item in found.left_out] == [("1 damaged DICOM file", True)]


def test_random_damage_never_raises(tmp_path: Path, write_stack: WriteStack) -> None:
    content = write_stack(tmp_path, 1)[0].read_bytes()
    chance = random.Random(0)
    for i in range(300):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 4, 20))):
            damaged[chance.randrange(132, len(damaged) - 128)] = chance.randrange(256)
        (tmp_path / f"{i}").write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(132, 600)))])
    found = find_dicom(tmp_path)
    assert found.left_out


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
@pytest.mark.parametrize("number", [7, None])
def test_series_that_lack_positions_on_some_slices_leave_the_others_alone(
    missing: str, number: int | None, tmp_path: Path, write_stack: WriteStack
) -> None:
    for i in range(4):
        write_stack(tmp_path / f"{i}", 3, SeriesInstanceUID=f"1.2.{i}", SeriesNumber=number)
    lacking = {"SeriesInstanceUID": "1.2.0", "SeriesNumber": number, missing: None}
    write_stack(tmp_path / "0", 1, 4, **lacking)
    write_stack(tmp_path / "sound", 5, SeriesInstanceUID="1.3", SeriesDescription="T1", SeriesNumber=8)
    found = find_dicom(tmp_path)
    assert [series.name for study in found.studies for series in study.series].count("T1") == 1
    assert any("have no position or orientation" in item.error and item.defect for item in found.left_out)


def test_files_without_uids_are_a_defect(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5, StudyInstanceUID=None)
    (left_out,) = find_dicom(tmp_path).left_out
    assert (left_out.series, left_out.defect) == ("5 DICOM files without UIDs", True)


def test_odd_values_are_neither_logged_nor_warned_of(
    tmp_path: Path,
    write_stack: WriteStack,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    for file in write_stack(tmp_path, 5):
        file.write_bytes(
            file.read_bytes().replace(b"1.2.826.0.1.3680043.8.498.2", b"Jane Doe0.1.3680043.8.498.2")
        )
    caplog.set_level(logging.DEBUG)
    with pytest.warns(UserWarning, match="Jane"):
        _ = pydicom.dcmread(tmp_path / "IM0000").SeriesInstanceUID  # pydicom quotes what breaks the standard
    caplog.clear()
    assert len(only_stack(find_dicom(tmp_path))) == 5
    assert not recwarn.list
    assert "Jane" not in caplog.text
