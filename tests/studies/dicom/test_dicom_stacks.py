"""What becomes of the slices of one series: splits, repeats, gaps and copies."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from prima_features.errors import UsageError
from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.study import DicomSlices, Failure, Found

WriteStack = Callable[..., list[Path]]


def images(found: Found) -> list[DicomSlices]:
    series = [series for study in found.studies for series in study.series]
    assert {one.name for one in series} <= {"AX_FLAIR"}
    return [one.image for one in series if isinstance(one.image, DicomSlices)]


def sizes(found: Found) -> list[list[int]]:
    return [[len(stack) for stack in image.stacks] for image in images(found)]


def only_left_out(found: Found) -> Failure:
    assert not found.studies
    (left_out,) = found.left_out
    return left_out


def place(files: list[Path], places: list[float], axis: int = 2) -> None:
    """Move slices along the normal (or sideways)."""
    for file, to in zip(files, places, strict=True):
        data = pydicom.dcmread(file)
        data.ImagePositionPatient[axis] = to
        data.save_as(file)


def write_second(tmp_path: Path, write_stack: WriteStack, other: dict[str, object], count: int) -> None:
    """A second image, in the places of the first slices of a series of six; it may be turned."""
    write_stack(tmp_path, 6, EchoTime=20, EchoNumbers=1)
    for i in range(count):
        position = [3 * i, 0, 0] if "ImageOrientationPatient" in other else [0, 0, 3 * i]
        own = {"EchoTime": 20, "EchoNumbers": 1, "ImagePositionPatient": position, "value": 200 + i} | other
        write_stack(tmp_path, 1, first=7 + i, **own)


GEOMETRIES: list[dict[str, object]] = [
    {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
    {"Rows": 10},
    {"PixelSpacing": [2, 2]},
]
CONTRASTS: list[dict[str, object]] = [
    {"EchoTime": 80},
    {"EchoTime": 20.5},
    {"EchoNumbers": 2},
    {"ImageType": ["DERIVED", "PRIMARY", "M", "ND"]},
    {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "WATER"]},
    {"ComplexImageComponent": "REAL"},
    {"FlipAngle": 20},
    {"InversionTime": 900},
]


def by_keyword(other: dict[str, object]) -> str:
    return "-".join(map(str, other.items()))


@pytest.mark.parametrize("other", GEOMETRIES, ids=by_keyword)
def test_images_of_another_geometry_are_another_series(
    tmp_path: Path, write_stack: WriteStack, other: dict[str, object]
) -> None:
    write_second(tmp_path, write_stack, other, 5)
    assert sizes(find_dicom(tmp_path)) == [[6], [5]]


@pytest.mark.parametrize("other", CONTRASTS, ids=by_keyword)
def test_images_that_fill_the_same_places_are_split_by_contrast(
    tmp_path: Path, write_stack: WriteStack, other: dict[str, object]
) -> None:
    write_second(tmp_path, write_stack, {"FlipAngle": 8, "InversionTime": 1100} | other, 6)
    for file in tmp_path.glob("IM000[0-5]"):
        data = pydicom.dcmread(file)
        data.FlipAngle, data.InversionTime = 8, 1100
        data.save_as(file)
    assert sizes(find_dicom(tmp_path)) == [[6], [6]]


@pytest.mark.parametrize("other", CONTRASTS[:6], ids=by_keyword)
def test_an_image_that_lacks_places_of_another_is_a_defect(
    tmp_path: Path, write_stack: WriteStack, other: dict[str, object]
) -> None:
    write_second(tmp_path, write_stack, other, 5)
    found = find_dicom(tmp_path)
    assert sizes(found) == [[6]]
    (left_out,) = found.left_out
    assert left_out.error.startswith("it has 5 of the 6 slices of its volume")
    assert left_out.defect


@pytest.mark.parametrize(("other", "flag"), [({}, ("copy",)), ({"other": "pixels"}, ())])
def test_a_series_that_was_sent_again_is_flagged(
    tmp_path: Path, write_stack: WriteStack, other: dict[str, object], flag: tuple[str, ...]
) -> None:
    write_stack(tmp_path, 6)
    write_stack(tmp_path, 6, SeriesInstanceUID=generate_uid(), SeriesNumber=8)
    place(sorted(tmp_path.iterdir())[6:], [0, 3, 6, 9, 12, 15])
    if other:
        data = pydicom.dcmread(tmp_path / "IM0011")
        data.PixelData = bytes(len(data.PixelData))
        data.save_as(tmp_path / "IM0011")
    found = find_dicom(tmp_path)
    (study,) = found.studies
    assert [one.flags for one in study.series] == [(), flag]
    assert len(found.warnings) == len(flag)


@pytest.mark.parametrize("block", [0x10, 0x11, 0x13])
@pytest.mark.parametrize(
    ("group", "offset", "creator"), [(0x19, 0x0C, "SIEMENS MR HEADER"), (0x43, 0x39, "GEMS_PARM_01")]
)
def test_b_values_in_a_renumbered_private_block_are_found(
    tmp_path: Path, write_stack: WriteStack, block: int, group: int, offset: int, creator: str
) -> None:
    for volume, b in enumerate((1000, 0)):
        write_stack(tmp_path, 6, first=1 + 6 * volume, value=volume, SeriesDescription="ep2d_diff")
        for file in sorted(tmp_path.iterdir())[6 * volume :]:
            data = pydicom.dcmread(file)
            data.ImagePositionPatient = [0, 0, 3 * (data.InstanceNumber - 1 - 6 * volume)]
            data.add_new((group, block), "LO", creator)
            data.add_new((group, block << 8 | offset), "IS", b)
            data.save_as(file)
    ((series,),) = (study.series for study in find_dicom(tmp_path).studies)
    assert [file.name for file in series.files] == [f"IM{i:04d}" for i in range(6, 12)]
    assert series.flags == ()


def test_diffusion_whose_volumes_state_no_b_value_is_flagged(tmp_path: Path, write_stack: WriteStack) -> None:
    for volume in range(2):
        write_stack(tmp_path, 6, first=1 + 6 * volume, value=volume, SeriesDescription="ep2d_diff")
        place(sorted(tmp_path.iterdir())[6 * volume :], [0, 3, 6, 9, 12, 15])
    ((series,),) = (study.series for study in find_dicom(tmp_path).studies)
    assert series.flags == ("b-value-unknown",)


@pytest.mark.parametrize("which", [range(6), range(0, 12, 2), [3]], ids=["half", "every other", "one"])
def test_a_modality_that_is_missing_or_edited_on_some_slices_loses_none(
    tmp_path: Path, write_stack: WriteStack, which: range | list[int]
) -> None:
    for modality in (None, "OT"):
        folder = tmp_path / str(modality)
        for i in range(12):
            own = {"Modality": modality} if i in which else {}
            write_stack(folder, 1, first=i + 1, value=100 + i, ImagePositionPatient=[0, 0, 3 * i], **own)
    assert sizes(find_dicom(tmp_path / "None")) == [[12]]
    left_out = only_left_out(find_dicom(tmp_path / "OT"))
    assert left_out.error == "its slices have different modalities (MR and OT)"
    assert left_out.defect


EDITED: list[dict[str, object]] = [
    {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]},
    {"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]},
    {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
    {"PixelSpacing": [0.97, 0.97]},
    {"Rows": 7},
]


@pytest.mark.parametrize("other", EDITED, ids=by_keyword)
@pytest.mark.parametrize("which", [range(6, 12), range(1, 12, 2), [11]], ids=["half", "every other", "one"])
def test_slices_of_two_geometries_that_make_up_one_volume_are_a_defect(
    tmp_path: Path, write_stack: WriteStack, other: dict[str, object], which: range | list[int]
) -> None:
    for i in range(12):
        own = other if i in which else {}
        write_stack(tmp_path, 1, first=i + 1, value=100 + i, ImagePositionPatient=[0, 0, 3 * i], **own)
    found = find_dicom(tmp_path)
    assert not found.studies
    assert all("form one volume but differ in" in item.error and item.defect for item in found.left_out)


def test_a_phase_image_is_separated_from_one_that_does_not_say_what_it_is(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for i, own in enumerate(({}, {"RescaleType": "rad"})):
        write_stack(tmp_path, 6, first=1 + 6 * i, ImageType=["ORIGINAL", "PRIMARY"], value=1 + i, **own)
    found = find_dicom(tmp_path)
    assert sizes(found) == [[6]]
    assert [item.error for item in found.left_out] == ["it is a phase image, not a magnitude image"]


def test_volumes_that_only_acquisitiondatetime_separates_are_a_time_series(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for volume in range(3):
        time = f"202103041000{volume}0"
        write_stack(tmp_path, 6, value=volume, InstanceNumber=None, AcquisitionDateTime=time)
    assert only_left_out(find_dicom(tmp_path)).error == "it is a time series of 3 volumes"


def test_a_part_that_is_left_out_says_which_it_is(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 6, EchoTime=20)
    write_stack(tmp_path, 4, first=7, EchoTime=80)
    found = find_dicom(tmp_path)
    assert sizes(found) == [[6]]
    assert [item.series for item in found.left_out] == ["7 AX FLAIR, part 2, echo time 80 ms"]


def test_orientations_that_differ_by_rounding_are_one(tmp_path: Path, write_stack: WriteStack) -> None:
    head = write_stack(tmp_path, 4)
    tail = write_stack(tmp_path, 4, first=5, ImageOrientationPatient=[1, 0, 0.0008, 0, 1, 0.0008])
    place(tail, [12, 15, 18, 21])
    for axis in (0, 1):
        place(head + tail, [-240] * 8, axis)  # the corner of a large field of view
    assert sizes(find_dicom(tmp_path)) == [[8]]


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        ([0, 3, 6, 12, 15], "1 slice is missing after slice 3, counted from the feet"),
        ([0, 6, 9, 12, 24, 27], "4 slices are missing after slices 1 and 4, counted from the feet"),
        (
            [0, 3, 6, 9, 13],
            "slices 4 and 5, counted from the feet, are 4.00 mm apart instead of the usual 3.00 mm",
        ),
        (
            [0, 3, 6, 9, 9.5],
            "slices 4 and 5, counted from the feet, are 0.50 mm apart instead of the usual 3.00 mm",
        ),
    ],
)
def test_missing_and_uneven_slices_are_named(
    tmp_path: Path, write_stack: WriteStack, places: list[float], reason: str
) -> None:
    place(write_stack(tmp_path, len(places)), places)
    left_out = only_left_out(find_dicom(tmp_path))
    assert reason in left_out.error
    assert left_out.defect


def test_the_tolerance_decides_what_is_even(tmp_path: Path, write_stack: WriteStack) -> None:
    place(write_stack(tmp_path, 6), [0, 3, 6.1, 9, 12, 15])
    assert sizes(find_dicom(tmp_path)) == [[6]]
    assert only_left_out(find_dicom(tmp_path, DicomOptions(slice_tolerance=0.02))).defect


def test_slices_shifted_sideways_are_fine_when_evenly_so(tmp_path: Path, write_stack: WriteStack) -> None:
    files = write_stack(tmp_path, 6)
    place(files, [0, 1, 2, 3, 4, 5], axis=1)  # a tilted gantry
    assert sizes(find_dicom(tmp_path)) == [[6]]
    place(files, [0, 0, 0, 5, 0, 0], axis=1)
    left_out = only_left_out(find_dicom(tmp_path))
    assert "slices 3 and 4, counted from the feet, are shifted in-plane" in left_out.error
    assert left_out.defect


def test_files_copied_within_the_tree_count_once(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path / "scan", 6)
    shutil.copytree(tmp_path / "scan", tmp_path / "scan (1)")
    found = find_dicom(tmp_path)
    assert sizes(found) == [[6]]
    (left_out,) = found.left_out
    assert left_out.series == "6 images of 7 AX FLAIR"
    assert not left_out.defect


@pytest.mark.parametrize("doubled", [[2], [0, 1, 2, 3, 4, 5]], ids=["one slice", "all slices"])
def test_slices_sent_twice_under_new_uids_count_once(
    tmp_path: Path, write_stack: WriteStack, doubled: list[int]
) -> None:
    write_stack(tmp_path, 6)
    for i in doubled:
        write_stack(tmp_path, 1, value=100 + i, first=50 + i, ImagePositionPatient=[0, 0, 3 * i])
    found = find_dicom(tmp_path)
    assert sizes(found) == [[6]]
    assert [item.error for item in found.left_out] == [
        "they are copies of other slices of the study; one copy of each is used"
    ]


def test_a_doubled_slice_with_other_pixels_is_a_defect(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 6)
    write_stack(tmp_path, 1, first=7, value=999, ImagePositionPatient=[0, 0, 6])
    left_out = only_left_out(find_dicom(tmp_path))
    assert (
        "2 images with different pixels have the position of slice 3, counted from the feet" in left_out.error
    )
    assert left_out.defect


def test_one_uid_for_all_slices_loses_none(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 6, SOPInstanceUID="1.2.3")
    assert sizes(find_dicom(tmp_path)) == [[6]]


@pytest.fixture
def three_times(tmp_path: Path, write_stack: WriteStack) -> Path:
    """Six slices, three times over, with rising grey values."""
    for time in range(3):
        write_stack(tmp_path, 6, first=1 + 6 * time, value=100 * (time + 1))
    return tmp_path


def test_repeated_slices_are_a_time_series(three_times: Path) -> None:
    left_out = only_left_out(find_dicom(three_times))
    assert left_out.error == "it is a time series of 3 volumes"
    assert "--time-series" in left_out.hint
    assert not left_out.defect


def test_a_time_series_gives_its_first_volume_or_all_to_average(three_times: Path) -> None:
    (image,) = images(find_dicom(three_times, DicomOptions(time_series="first")))
    assert [[grey(file) for file in stack] for stack in image.stacks] == [[100] * 6]
    (image,) = images(find_dicom(three_times, DicomOptions(time_series="mean")))
    assert [[grey(file) for file in stack] for stack in image.stacks] == [[100] * 6, [200] * 6, [300] * 6]


def test_a_time_series_broken_off_drops_its_last_volume(three_times: Path) -> None:
    (three_times / "IM0017").unlink()
    (image,) = images(find_dicom(three_times, DicomOptions(time_series="mean")))
    assert [len(stack) for stack in image.stacks] == [6, 6]


def test_volumes_are_told_apart_when_slices_were_numbered_place_by_place(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for time in range(2):
        for i in range(6):  # Philips numbers all repeats of a slice before the next slice
            write_stack(
                tmp_path, 1, value=100 * (time + 1), first=2 * i + time, ImagePositionPatient=[0, 0, 3 * i]
            )
    (image,) = images(find_dicom(tmp_path, DicomOptions(time_series="mean")))
    assert [[grey(file) for file in stack] for stack in image.stacks] == [[100] * 6, [200] * 6]


def grey(file: Path) -> int:
    return int(pydicom.dcmread(file).pixel_array.flat[0])


DIFFUSION = {
    "standard": lambda b: {"DiffusionBValue": float(b)},
    "Siemens": lambda b: {"private": [(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", b)]},
    "GE": lambda b: {"private": [(0x0043, "GEMS_PARM_01", 0x39, "IS", [1_000_000_000 + b, 8, 0, 0])]},
    "Philips": lambda b: {"private": [(0x2001, "Philips Imaging DD 001", 0x03, "FL", float(b))]},
    "UIH": lambda b: {"private": [(0x0065, "Image Private Header", 0x09, "FD", b + 1.25)]},
    "Canon's comment": lambda b: {"ImageComments": f"b={b}(0.1,0.2,0.9)"},
    "Siemens's sequence name": lambda b: {"SequenceName": f"*ep_b{b}#3" if b else "*ep_b0"},
}


@pytest.mark.parametrize("maker", DIFFUSION)
def test_diffusion_keeps_its_lowest_b_value(tmp_path: Path, write_stack: WriteStack, maker: str) -> None:
    for volume, b in enumerate((1000, 0, 2000, 0)):
        write_stack(tmp_path, 6, first=1 + 6 * volume, value=100 + volume, **DIFFUSION[maker](b))
    (image,) = images(find_dicom(tmp_path))
    assert [[grey(file) for file in stack] for stack in image.stacks] == [[101] * 6]


def test_diffusion_without_b_values_keeps_its_first_volume(tmp_path: Path, write_stack: WriteStack) -> None:
    for volume in range(3):
        write_stack(
            tmp_path,
            6,
            first=1 + 6 * volume,
            value=100 + volume,
            ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION"],
        )
    (image,) = images(find_dicom(tmp_path))
    assert [[grey(file) for file in stack] for stack in image.stacks] == [[100] * 6]


def test_trace_images_of_several_b_values_all_stay(tmp_path: Path, write_stack: WriteStack) -> None:
    for volume, b in enumerate((0.0, 1000.0)):
        write_stack(
            tmp_path,
            6,
            first=1 + 6 * volume,
            value=100 + volume,
            DiffusionBValue=b,
            ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"],
        )
    stacks = [image.stacks for image in images(find_dicom(tmp_path))]
    assert [[grey(file) for file in stack] for (stack,) in stacks] == [[100] * 6, [101] * 6]


def test_private_elements_of_somebody_else_are_not_b_values(tmp_path: Path, write_stack: WriteStack) -> None:
    for volume in range(2):
        private = [(0x0019, "SOMEBODY ELSE", 0x0C, "IS", 1000 * volume)]
        write_stack(tmp_path, 6, first=1 + 6 * volume, value=100 + volume, private=private)
    assert only_left_out(find_dicom(tmp_path)).error == "it is a time series of 2 volumes"


def test_series_are_ordered_by_number_and_named_by_their_first_instance(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for number in (12, 3, 7):
        uid = generate_uid()
        common = {"SeriesInstanceUID": uid, "SeriesNumber": number}
        write_stack(tmp_path, 4, first=10, **common, SeriesDescription="later")
        first = write_stack(
            tmp_path, 4, first=1, **common, SeriesDescription=f"T{number}+", ProtocolName="P*"
        )
        place(first, [12, 15, 18, 21])
    (study,) = find_dicom(tmp_path).studies
    assert [series.name for series in study.series] == [
        f"T{number}_plus_-P_star_-Protocol" for number in (3, 7, 12)
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"modality": ""}, {"min_slices": 0}, {"time_series": "last"}, {"slice_tolerance": 0.5}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        DicomOptions(**wrong)
