"""What belongs together when SeriesInstanceUIDs do not say it, and what must not be put together."""

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.study import DicomSlices, Found

WriteStack = Callable[..., list[Path]]


def stacks(found: Found) -> list[list[int]]:
    """Grey values of each series' first volume, in its order."""
    images = [series.image for study in found.studies for series in study.series]
    assert all(isinstance(image, DicomSlices) for image in images)
    return [
        [int(pydicom.dcmread(file).pixel_array.flat[0]) for file in image.stacks[0]]
        for image in images
        if isinstance(image, DicomSlices)
    ]


def defects(found: Found) -> list[str]:
    return [item.error for item in found.left_out if item.defect]


def write_volumes(
    folder: Path, write_stack: WriteStack, count: int, series: Callable[[int, int], str], **elements: object
) -> None:
    """`count` volumes of 6 slices with grey values 100 volume + slice; `series` gives the UID of (volume, slice)."""
    for volume in range(count):
        for i in range(6):
            own = {
                "value": 100 * (volume + 1) + i,
                "SeriesInstanceUID": series(volume, i),
                "InstanceNumber": 6 * volume + i + 1,
                "AcquisitionNumber": volume + 1,
                "ImagePositionPatient": [0, 0, 3 * i],
            }
            chosen = {name: value(volume) if callable(value) else value for name, value in elements.items()}
            write_stack(folder, 1, **own | chosen)


BY_VOLUME = lambda volume, i: f"1.2.3.{volume + 1}"  # noqa: E731
BY_PLACE = lambda volume, i: f"1.2.3.{i + 1}"  # noqa: E731
BY_FILE = lambda volume, i: f"1.2.3.{volume + 1}.{i + 1}"  # noqa: E731
FIRST = [100 + i for i in range(6)]


@pytest.mark.parametrize("series", [BY_VOLUME, BY_PLACE], ids=["volume", "place"])
def test_diffusion_of_many_series_uids_keeps_its_lowest_b_value(
    tmp_path: Path, write_stack: WriteStack, series: Callable[[int, int], str]
) -> None:
    write_volumes(tmp_path, write_stack, 3, series, DiffusionBValue=lambda volume: 1000.0 * volume)
    found = find_dicom(tmp_path)
    assert stacks(found) == [FIRST]
    assert not found.left_out


@pytest.mark.parametrize("series", [BY_VOLUME, BY_PLACE], ids=["volume", "place"])
@pytest.mark.parametrize("number", [7, lambda volume: 5001 + volume, None], ids=["same", "rising", "missing"])
def test_a_time_series_of_many_series_uids_is_one(
    tmp_path: Path, write_stack: WriteStack, series: Callable[[int, int], str], number: object
) -> None:
    write_volumes(tmp_path, write_stack, 4, series, SeriesNumber=number, ScanningSequence="EP")
    found = find_dicom(tmp_path)
    assert not found.studies
    (left_out,) = found.left_out
    assert left_out.error == "it is a time series of 4 volumes"
    assert stacks(find_dicom(tmp_path, DicomOptions(time_series="first"))) == [FIRST]


@pytest.mark.parametrize("number", [7, None])
def test_a_series_uid_for_each_file_is_one_volume(
    tmp_path: Path, write_stack: WriteStack, number: int | None
) -> None:
    write_volumes(tmp_path, write_stack, 1, BY_FILE, SeriesNumber=number, InstanceNumber=1)
    found = find_dicom(tmp_path)
    assert stacks(found) == [FIRST]
    assert found.studies[0].series[0].flags == ("joined-series",)
    assert not found.left_out


def test_single_slices_that_make_up_no_volume_are_a_defect(tmp_path: Path, write_stack: WriteStack) -> None:
    for i in (0, 1, 2, 4, 5):
        write_stack(
            tmp_path, 1, SeriesInstanceUID=f"1.2.{i}", SeriesNumber=i, ImagePositionPatient=[0, 0, 3 * i]
        )
    assert "each have their own SeriesInstanceUID" in defects(find_dicom(tmp_path))[0]


def test_repeated_anatomical_scans_stay_series_of_their_own(tmp_path: Path, write_stack: WriteStack) -> None:
    write_volumes(tmp_path, write_stack, 3, BY_VOLUME, SeriesNumber=lambda volume: 5 + volume)
    assert stacks(find_dicom(tmp_path)) == [[100 * k + i for i in range(6)] for k in (1, 2, 3)]


def test_maps_of_one_name_are_no_time_series(tmp_path: Path, write_stack: WriteStack) -> None:
    kinds = ("TRACEW", "ADC", "FA")
    write_volumes(
        tmp_path,
        write_stack,
        3,
        BY_VOLUME,
        SeriesNumber=lambda volume: 5 + volume,
        ImageType=lambda volume: ["DERIVED", "PRIMARY", "DIFFUSION", kinds[volume]],
    )
    assert len(stacks(find_dicom(tmp_path))) == 3


@pytest.mark.parametrize("numbers", ["running", "repeated"])
@pytest.mark.parametrize("halves", ["interleaved", "adjoining"])
def test_halves_with_a_series_uid_each_are_one_volume_only_if_their_numbers_run_on(
    tmp_path: Path, write_stack: WriteStack, halves: str, numbers: str
) -> None:
    for i in range(12):
        half = i % 2 if halves == "interleaved" else i // 6
        within = i // 2 if halves == "interleaved" else i % 6
        write_stack(
            tmp_path,
            1,
            value=100 + i,
            SeriesInstanceUID=f"1.2.3.{half}",
            InstanceNumber=i + 1 if numbers == "running" else within + 1,
            ImagePositionPatient=[0, 0, 3 * i],
        )
    found = find_dicom(tmp_path)
    if numbers == "running":
        assert stacks(found) == [[100 + i for i in range(12)]]
    else:
        assert not found.studies
        assert "could be slices of one volume or separate scans" in defects(found)[0]


@pytest.mark.parametrize("spacing", [None, 6])
def test_two_thick_stacks_between_each_other_are_a_defect(
    tmp_path: Path, write_stack: WriteStack, spacing: float | None
) -> None:
    for i in range(12):
        write_stack(
            tmp_path,
            1,
            InstanceNumber=1 + i // 2 + 6 * (i % 2),
            ImagePositionPatient=[0, 0, 3 * i],
            SliceThickness=6,
            SpacingBetweenSlices=spacing,
        )
    assert "two interleaved or adjacent stacks" in defects(find_dicom(tmp_path))[0]


def test_overlapping_slices_of_one_volume_stay(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 12, SliceThickness=6, SpacingBetweenSlices=3)  # interpolated
    assert [len(stack) for stack in stacks(find_dicom(tmp_path))] == [12]


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyDate"])
@pytest.mark.parametrize("shift", [0, 15], ids=["same places", "adjoining"])
def test_two_scans_in_one_series_are_a_defect(
    tmp_path: Path, write_stack: WriteStack, keyword: str, shift: float
) -> None:
    for scan, value in enumerate(("20200101", "20210101")):
        for i in range(5):
            place = [0, 0, 3 * i + shift * scan]
            write_stack(
                tmp_path,
                1,
                first=5 * scan + i,
                value=10 * scan + i,
                ImagePositionPatient=place,
                **{keyword: value},
            )
    found = find_dicom(tmp_path)
    assert not found.studies
    assert "may belong to several scans or patients" in defects(found)[0]


def test_a_frame_of_reference_for_each_file_says_nothing(tmp_path: Path, write_stack: WriteStack) -> None:
    for i in range(6):
        write_stack(tmp_path, 1, FrameOfReferenceUID=f"1.2.{i}", ImagePositionPatient=[0, 0, 3 * i])
    assert [len(stack) for stack in stacks(find_dicom(tmp_path))] == [6]


def test_stacks_side_by_side_are_a_defect(tmp_path: Path, write_stack: WriteStack) -> None:
    for stack in range(2):
        for i in range(6):
            place = [90 * stack, 0, 3 * i]
            write_stack(tmp_path, 1, first=6 * stack + i, value=50 * stack + i, ImagePositionPatient=place)
    found = find_dicom(tmp_path, DicomOptions(time_series="mean"))
    assert not found.studies
    assert "shifted in-plane relative to each other" in defects(found)[0]


def test_slices_of_another_flip_angle_in_a_volume_are_a_defect(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for i in range(6):
        write_stack(tmp_path, 1, FlipAngle=8 if i < 4 else 90, ImagePositionPatient=[0, 0, 3 * i])
    assert "flip angle 8 and flip angle 90" in defects(find_dicom(tmp_path))[0]


@pytest.mark.parametrize("lost", [0, 2, 5])
@pytest.mark.parametrize("volume", [0, 1, 2])
def test_a_time_series_that_lost_a_slice_never_mixes_its_volumes(
    tmp_path: Path, write_stack: WriteStack, volume: int, lost: int
) -> None:
    write_volumes(tmp_path, write_stack, 3, lambda *_: "1.2.3", AcquisitionNumber=None)
    (tmp_path / f"IM{6 * volume + lost:04d}").unlink()
    found = find_dicom(tmp_path, DicomOptions(time_series="first"))
    for stack in stacks(found):
        assert len({value // 100 for value in stack}) == 1
        assert len(stack) == 6
    assert defects(found) or volume == 2  # a last volume that is cut short is no defect


def test_a_time_series_that_lost_a_slice_says_so(tmp_path: Path, write_stack: WriteStack) -> None:
    write_volumes(tmp_path, write_stack, 4, lambda *_: "1.2.3")
    (tmp_path / "IM0008").unlink()
    found = find_dicom(tmp_path, DicomOptions(time_series="mean"))
    (image,) = (series.image for study in found.studies for series in study.series)
    assert isinstance(image, DicomSlices)
    assert len(image.stacks) == 3
    assert defects(found) == ["1 volume lacks slices and is not used"]


def test_repeats_that_nothing_separates_are_a_defect(tmp_path: Path, write_stack: WriteStack) -> None:
    write_volumes(tmp_path, write_stack, 3, lambda *_: "1.2.3", InstanceNumber=1, AcquisitionNumber=1)
    for option in ("skip", "first", "mean"):
        found = find_dicom(tmp_path, DicomOptions(time_series=option))
        assert not found.studies
        assert "do not say which belong together" in defects(found)[0]


@pytest.mark.parametrize(
    ("overwritten", "description", "flags"),
    [
        (lambda k: k >= 3, "T1 POST", ("mixed-description",)),
        (lambda k: k % 2, "T1 POST", ("mixed-description",)),
        (lambda k: k == 2, "T1 POST", ("mixed-description",)),
        (lambda k: k >= 3, "  t1  pre 12", ()),
        (lambda k: k >= 3, None, ()),
    ],
    ids=["half", "every other", "one", "case, spacing and numbers", "missing"],
)
def test_slices_that_differ_in_description_alone_are_one_volume_with_a_flag(
    overwritten: Callable[[int], bool],
    description: str | None,
    flags: tuple[str, ...],
    tmp_path: Path,
    write_stack: WriteStack,
) -> None:
    """Nothing shows whether a text was edited or a file overwritten by one of another image."""
    for k in range(6):
        write_stack(
            tmp_path,
            1,
            first=k + 1,
            value=100 + k,
            ImagePositionPatient=[0, 0, 3 * k],
            SeriesDescription=description if overwritten(k) else "T1 PRE 1",
        )
    found = find_dicom(tmp_path)
    assert stacks(found) == [FIRST]
    assert not found.left_out
    (series,) = found.studies[0].series
    assert (series.name, series.flags) == ("T1_PRE_1", flags)
