"""Enhanced multi-frame files: the volume chosen is read from its own frames, whatever order they are stored in."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.study import DicomSlices, Found
from prima_features.volumes.dicom import acquire_slices

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
N_SLICES = 6
POINTERS = {"stack": 0x00209056, "position": 0x00209057, "volume": 0x00189087}
B_VALUES = (1000, 0, 1000)
"""The lowest is neither first nor last."""

Order = Sequence[tuple[int, int]]
"""(volume, slice) of each frame as stored."""

VOLUME_BY_VOLUME = list(product(range(3), range(N_SLICES)))
DOWNWARDS = [(volume, N_SLICES - 1 - i) for volume, i in VOLUME_BY_VOLUME]
SLICE_BY_SLICE = [(volume, i) for i, volume in product(range(N_SLICES), range(3))]
INTERLEAVED = [(volume, (2 * i) % N_SLICES + 2 * i // N_SLICES) for volume, i in VOLUME_BY_VOLUME]
SHUFFLED = [VOLUME_BY_VOLUME[(7 * i + 3) % len(VOLUME_BY_VOLUME)] for i in range(len(VOLUME_BY_VOLUME))]
ORDERS = [VOLUME_BY_VOLUME, DOWNWARDS, SLICE_BY_SLICE, INTERLEAVED, SHUFFLED]


def item(**elements: object) -> Items:
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return Items([data])


def make_frame(volume: int, index: int, dimensions: Sequence[str], **elements: object) -> Dataset:
    numbers = {"stack": 1, "position": index + 1, "volume": volume + 1}
    frame = Dataset()
    frame.FrameContentSequence = item(
        StackID="1",
        InStackPositionNumber=index + 1,
        TemporalPositionIndex=volume + 1,
        DimensionIndexValues=[numbers[dimension] for dimension in dimensions],
    )
    frame.PlanePositionSequence = item(ImagePositionPatient=[-8, -8, 3 * index])
    kind = elements.get("FrameType", ["ORIGINAL", "PRIMARY", "M", "NONE"])
    frame.MRImageFrameTypeSequence = item(
        FrameType=kind, ComplexImageComponent="PHASE" if "P" in kind else "MAGNITUDE"
    )
    if (b := elements.get("b")) is not None:
        frame.MRDiffusionSequence = item(
            DiffusionBValue=float(b),
            DiffusionDirectionality="DIRECTIONAL" if b else "NONE",
            DiffusionGradientDirectionSequence=item(DiffusionGradientOrientation=[1.0, 0.0, 0.0]),
        )
    if inversion := elements.get("inversion"):
        frame.MRModifierSequence = item(InversionRecovery="YES", InversionTimes=float(inversion))
    if flip := elements.get("flip"):
        frame.MRTimingAndRelatedParametersSequence = item(RepetitionTime=20.0, FlipAngle=float(flip))
    frame.MREchoSequence = item(EffectiveEchoTime=float(elements.get("echo", 30)))
    return frame


@pytest.fixture
def write_frames(tmp_path: Path) -> Callable[..., Path]:
    """Writes one enhanced file; the grey value of a frame is 100 times (volume + 1), plus its slice.

    Without `indexed` nothing but the order and what the volumes differ in separates them.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(
        order: Order,
        maker: str = "Philips Medical Systems",
        dimensions: Sequence[str] = ("stack", "position", "volume"),
        volumes: Sequence[dict[str, object]] = tuple({"b": b} for b in B_VALUES),
        shared_orientation: bool = False,
        name: str = "frames",
        indexed: bool = True,
        **elements: object,
    ) -> Path:
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.1", "1.2.1.1"
        data.Modality, data.Manufacturer, data.PatientID = "MR", maker, "MRN-4711"
        data.SeriesNumber, data.InstanceNumber, data.SeriesDescription = 5, 1, "AX SCAN"
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        data.NumberOfFrames = len(order)
        data.Rows = data.Columns = 16
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.DimensionIndexSequence = Items(
            item(DimensionIndexPointer=POINTERS[dimension])[0] for dimension in dimensions
        )
        data.SharedFunctionalGroupsSequence = item(
            PixelMeasuresSequence=item(PixelSpacing=[1, 1], SliceThickness=3, SpacingBetweenSlices=3),
        )
        data.PerFrameFunctionalGroupsSequence = Items(
            make_frame(volume, index, dimensions, **volumes[volume]) for volume, index in order
        )
        if not indexed:
            del data.DimensionIndexSequence
            for frame in data.PerFrameFunctionalGroupsSequence:
                del frame.FrameContentSequence
        axial = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        holders = (
            data.SharedFunctionalGroupsSequence
            if shared_orientation
            else data.PerFrameFunctionalGroupsSequence
        )
        for holder in holders:
            holder.PlaneOrientationSequence = axial
        frames = [np.full((16, 16), 100 * (volume + 1) + index, np.uint16) for volume, index in order]
        data.PixelData = np.stack(frames).tobytes()
        data["PixelData"].VR = "OW"
        data.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path

    return write


def images(found: Found) -> list[DicomSlices]:
    return [
        series.image
        for study in found.studies
        for series in study.series
        if isinstance(series.image, DicomSlices)
    ]


def greys(image: DicomSlices) -> list[int]:
    """Grey values up the stack, of the one volume that is chosen."""
    return [int(value) for value in sitk.GetArrayFromImage(acquire_slices(image).image)[:, 0, 0]]


MAKERS = ("Philips Medical Systems", "CANON_MEC", "Siemens Healthineers", "GE")


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dimensions", [("stack", "position", "volume"), ("stack", "volume", "position")])
@pytest.mark.parametrize("indexed", [True, False])
def test_the_lowest_b_value_is_found_in_any_order_of_frames(
    write_frames: Callable[..., Path], maker: str, order: Order, dimensions: Sequence[str], indexed: bool
) -> None:
    b_values = tuple({"b": b} for b in (1000, 0, 500))
    folder = write_frames(
        order, maker, dimensions, b_values, shared_orientation=maker == "GE", indexed=indexed
    )
    (image,) = images(find_dicom(folder))
    assert greys(image) == [200 + i for i in range(N_SLICES)]


SETS: dict[str, tuple[dict[str, object], ...]] = {
    "echoes": ({"echo": 20}, {"echo": 80}, {"echo": 140}),
    "inversion times": ({"inversion": 700}, {"inversion": 2500}),
    "flip angles": ({"flip": 4}, {"flip": 20}),
    "Dixon": tuple(
        {"FrameType": ["DERIVED", "PRIMARY", "DIXON", word]} for word in ("WATER", "FAT", "IN_PHASE")
    ),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("indexed", [True, False])
def test_each_echo_and_the_like_is_a_volume(
    write_frames: Callable[..., Path], name: str, order: Order, indexed: bool
) -> None:
    volumes = SETS[name]
    order = [(volume, index) for volume, index in order if volume < len(volumes)]
    found = find_dicom(write_frames(order, volumes=volumes, indexed=indexed))
    expected = [[100 * (volume + 1) + i for i in range(N_SLICES)] for volume in range(len(volumes))]
    assert sorted(map(greys, images(found))) == expected
    assert not found.left_out


@pytest.mark.parametrize("name", SETS)
def test_an_echo_that_lacks_a_slice_is_a_defect(write_frames: Callable[..., Path], name: str) -> None:
    volumes = SETS[name]
    order = [(volume, index) for volume, index in SLICE_BY_SLICE if volume < len(volumes)]
    found = find_dicom(write_frames(order[:-1], volumes=volumes))
    assert len(images(found)) == len(volumes) - 1
    assert [item.defect for item in found.left_out] == [True]


def test_one_volume_in_any_order_is_read_alike(write_frames: Callable[..., Path]) -> None:
    for order in (DOWNWARDS, INTERLEAVED):
        for indexed in (True, False):
            (image,) = images(find_dicom(write_frames(order[:N_SLICES], indexed=indexed)))
            assert greys(image) == [100 + i for i in range(N_SLICES)]


def test_a_volume_in_two_files_is_one(write_frames: Callable[..., Path]) -> None:
    write_frames([(0, i) for i in range(3)], name="first")
    folder = write_frames([(0, i) for i in range(3, N_SLICES)], name="second", InstanceNumber=2)
    (image,) = images(find_dicom(folder))
    assert greys(image) == [100 + i for i in range(N_SLICES)]


@pytest.mark.parametrize("order", ORDERS[:-1])
def test_volumes_of_several_files_are_separated_file_by_file(
    write_frames: Callable[..., Path], order: Order
) -> None:
    volumes = ({"b": 1000}, {"b": 0}, {"b": 1000})
    for number in (1, 2):
        folder = write_frames(order, volumes=volumes, indexed=False, name=str(number), InstanceNumber=number)
        data = pydicom.dcmread(folder / str(number))
        data.PixelData = (np.frombuffer(data.PixelData, np.uint16) + 1000 * number).tobytes()
        data.save_as(folder / str(number))
    (image,) = images(find_dicom(folder))
    assert greys(image) == [1200 + i for i in range(N_SLICES)]


def test_frames_sent_twice_are_used_once(write_frames: Callable[..., Path]) -> None:
    for name in ("first", "again"):
        folder = write_frames(VOLUME_BY_VOLUME[:N_SLICES], name=name)
    found = find_dicom(folder)
    (image,) = images(found)
    assert greys(image) == [100 + i for i in range(N_SLICES)]
    assert [item.series for item in found.left_out] == ["6 images of 5 AX SCAN"]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.99"], ids=["RLE", "deflated"])
def test_compressed_frames_of_several_echoes_are_read(write_frames: Callable[..., Path], syntax: str) -> None:
    order = [(volume, index) for volume, index in SLICE_BY_SLICE if volume < 2]
    folder = write_frames(order, volumes=({"echo": 20}, {"echo": 80}))
    recompress(folder / "frames", syntax)
    assert sorted(map(greys, images(find_dicom(folder)))) == [
        [100 * volume + i for i in range(N_SLICES)] for volume in (1, 2)
    ]


@pytest.mark.parametrize("both", [True, False])
def test_frames_sent_again_compressed_are_used_once(write_frames: Callable[..., Path], both: bool) -> None:
    for name in ("first", "again"):
        folder = write_frames(VOLUME_BY_VOLUME[:N_SLICES], name=name)
        if both or name == "again":
            recompress(folder / name, "1.2.840.10008.1.2.5")
    found = find_dicom(folder)
    (image,) = images(found)
    assert greys(image) == [100 + i for i in range(N_SLICES)]
    assert [item.series for item in found.left_out] == ["6 images of 5 AX SCAN"]


def recompress(file: Path, syntax: str) -> None:
    data = pydicom.dcmread(file)
    if syntax.endswith(".99"):
        data.file_meta.TransferSyntaxUID = syntax
    else:
        data.compress(syntax, generate_instance_uid=False)
    data.save_as(file)


def test_frames_that_do_not_say_where_they_lie_are_left_out(write_frames: Callable[..., Path]) -> None:
    folder = write_frames(VOLUME_BY_VOLUME[:N_SLICES])
    data = pydicom.dcmread(folder / "frames")
    for frame in data.PerFrameFunctionalGroupsSequence:
        del frame.PlaneOrientationSequence
    data.save_as(folder / "frames")
    (left_out,) = find_dicom(folder).left_out
    assert "has no slice positions or orientations" in left_out.error


def test_phase_frames_beside_magnitude_are_left_out(
    tmp_path: Path, write_frames: Callable[..., Path]
) -> None:
    volumes = ({"FrameType": ["ORIGINAL", "PRIMARY", "P", "NONE"]}, {})
    found = find_dicom(write_frames(VOLUME_BY_VOLUME[: 2 * N_SLICES], volumes=volumes))
    (image,) = images(found)
    assert greys(image) == [200 + i for i in range(N_SLICES)]
    assert [item.error for item in found.left_out] == ["it is a phase image, not a magnitude image"]


def test_repeated_volumes_are_a_time_series(write_frames: Callable[..., Path]) -> None:
    folder = write_frames(VOLUME_BY_VOLUME, volumes=({}, {}, {}))
    assert find_dicom(folder).left_out[0].error == "it is a time series of 3 volumes"
    (image,) = images(find_dicom(folder, DicomOptions(time_series="first")))
    assert greys(image) == [100 + i for i in range(N_SLICES)]
    (image,) = images(find_dicom(folder, DicomOptions(time_series="mean")))
    assert greys(image) == [200 + i for i in range(N_SLICES)]


@pytest.mark.parametrize("indexed", [True, False])
def test_a_file_without_some_frames_is_a_defect(write_frames: Callable[..., Path], indexed: bool) -> None:
    volumes = tuple({"b": b} for b in (1000, 0, 500))
    lost = [frame for frame in VOLUME_BY_VOLUME if frame != (2, 4)]
    found = find_dicom(write_frames(lost, volumes=volumes, indexed=indexed))
    (image,) = images(found)
    assert greys(image) == [200 + i for i in range(N_SLICES)]
    assert [(item.error, item.defect) for item in found.left_out] == [
        ("1 volume lacks slices and is not used", True)
    ]
    lost = [frame for frame in VOLUME_BY_VOLUME if frame != (1, 4)]
    (left_out,) = find_dicom(write_frames(lost, volumes=volumes, indexed=indexed)).left_out
    assert left_out.error == "its volume with the lowest b-value has 5 of 6 slices"
    gap = [(0, index) for index in range(N_SLICES) if index != 3]
    (left_out,) = find_dicom(write_frames(gap, indexed=indexed)).left_out
    assert left_out.error == "1 slice is missing after slice 3, counted from the feet"


def test_few_frames_are_left_out(write_frames: Callable[..., Path]) -> None:
    (left_out,) = find_dicom(write_frames(VOLUME_BY_VOLUME[:4])).left_out
    assert left_out.error == "it has 4 slices, fewer than 5"


def test_enhanced_files_of_one_frame_each_are_slices(write_frames: Callable[..., Path]) -> None:
    for index in (4, 0, 3, 1, 5, 2):
        folder = write_frames([(0, index)], name=f"file {7 * index % 5} {index}")
    ((series,),) = (study.series for study in find_dicom(folder).studies)
    assert isinstance(series.image, DicomSlices)
    assert [file.name[-1] for file in series.files] == ["0", "1", "2", "3", "4", "5"]
