"""Enhanced multi-frame files: the volume chosen is read from its own frames, whatever order they are stored in."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.study import DicomFrames, DicomSlices, Found
from prima_features.volumes.dicom import read_frames

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
    frame.MREchoSequence = item(EffectiveEchoTime=float(elements.get("echo", 30)))
    return frame


@pytest.fixture
def write_frames(tmp_path: Path) -> Callable[..., Path]:
    """Writes one enhanced file; the grey value of a frame is 100 times (volume + 1), plus its slice."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(
        order: Order,
        maker: str = "Philips Medical Systems",
        dimensions: Sequence[str] = ("stack", "position", "volume"),
        volumes: Sequence[dict[str, object]] = tuple({"b": b} for b in B_VALUES),
        shared_orientation: bool = False,
        name: str = "frames",
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


def images(found: Found) -> list[DicomFrames]:
    return [
        series.image
        for study in found.studies
        for series in study.series
        if isinstance(series.image, DicomFrames)
    ]


def greys(image: DicomFrames) -> list[int]:
    """Grey values up the stack, of the one volume that is chosen."""
    return [int(value) for value in sitk.GetArrayFromImage(read_frames(image).image)[:, 0, 0]]


MAKERS = {"Philips Medical Systems": True, "CANON_MEC": True, "Siemens Healthineers": False, "GE": False}
"""Makers, and whether dcm2niix sorts their frames by DimensionIndexValues."""


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("order", [VOLUME_BY_VOLUME, DOWNWARDS, SLICE_BY_SLICE, INTERLEAVED])
@pytest.mark.parametrize("dimensions", [("stack", "position", "volume"), ("stack", "volume", "position")])
@pytest.mark.parametrize("shared_orientation", [True, False])
def test_the_lowest_b_value_is_found_or_the_file_is_left_out(
    tmp_path: Path,
    write_frames: Callable[..., Path],
    maker: str,
    order: Order,
    dimensions: Sequence[str],
    shared_orientation: bool,
) -> None:
    found = find_dicom(write_frames(order, maker, dimensions, shared_orientation=shared_orientation))
    stays = MAKERS[maker] or (order in (VOLUME_BY_VOLUME, DOWNWARDS) and not shared_orientation)
    if stays:
        (image,) = images(found)
        assert greys(image) == [200 + i for i in range(N_SLICES)]
    else:
        (left_out,) = found.left_out
        assert "dcm2niix mixes up" in left_out.reason
        assert left_out.defect


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("order", [VOLUME_BY_VOLUME, DOWNWARDS, INTERLEAVED])
@pytest.mark.parametrize("shared_orientation", [True, False])
def test_one_volume_is_unpacked_right_or_left_out(
    tmp_path: Path, write_frames: Callable[..., Path], maker: str, order: Order, shared_orientation: bool
) -> None:
    found = find_dicom(write_frames(order[:N_SLICES], maker, shared_orientation=shared_orientation))
    stays = MAKERS[maker] or order != INTERLEAVED or shared_orientation
    if stays:
        (image,) = images(found)
        assert greys(image) == [100 + i for i in range(N_SLICES)]
    else:
        assert "dcm2niix mixes up" in found.left_out[0].reason


def test_echoes_in_one_file_are_a_defect(write_frames: Callable[..., Path]) -> None:
    found = find_dicom(write_frames(VOLUME_BY_VOLUME[: 2 * N_SLICES], volumes=({"echo": 20}, {"echo": 80})))
    assert not found.studies
    assert "several echoes in one file" in found.left_out[0].reason
    assert found.left_out[0].defect


def test_phase_frames_beside_magnitude_are_left_out(
    tmp_path: Path, write_frames: Callable[..., Path]
) -> None:
    volumes = ({"FrameType": ["ORIGINAL", "PRIMARY", "P", "NONE"]}, {})
    found = find_dicom(write_frames(VOLUME_BY_VOLUME[: 2 * N_SLICES], volumes=volumes))
    (image,) = images(found)
    assert greys(image) == [200 + i for i in range(N_SLICES)]
    assert [item.reason for item in found.left_out] == ["it shows phase, not magnitude"]


def test_repeated_volumes_are_a_time_series(write_frames: Callable[..., Path]) -> None:
    folder = write_frames(VOLUME_BY_VOLUME, volumes=({}, {}, {}))
    assert find_dicom(folder).left_out[0].reason == "it is a time series of 3 volumes"
    (image,) = images(find_dicom(folder, DicomOptions(time_series="first")))
    assert image.volumes == (0,)
    (image,) = images(find_dicom(folder, DicomOptions(time_series="mean")))
    assert image.volumes == (0, 1, 2)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("shared_orientation", [True, False])
def test_a_file_without_some_frames_is_a_defect(
    write_frames: Callable[..., Path], maker: str, shared_orientation: bool
) -> None:
    folder = write_frames(VOLUME_BY_VOLUME[:-1], maker, shared_orientation=shared_orientation)
    (left_out,) = find_dicom(folder).left_out
    assert "incomplete" in left_out.reason
    assert left_out.defect
    gap = [(0, index) for index in range(N_SLICES) if index != 3]
    (left_out,) = find_dicom(write_frames(gap, maker, shared_orientation=shared_orientation)).left_out
    assert left_out.reason == "1 slice is missing after slice 3, counted from the feet"


def test_few_frames_are_left_out(write_frames: Callable[..., Path]) -> None:
    (left_out,) = find_dicom(write_frames(VOLUME_BY_VOLUME[:4])).left_out
    assert left_out.reason == "it has 4 slices, fewer than 5"


def test_enhanced_files_of_one_frame_each_are_slices(write_frames: Callable[..., Path]) -> None:
    for index in (4, 0, 3, 1, 5, 2):
        folder = write_frames([(0, index)], name=f"file {7 * index % 5} {index}")
    ((series,),) = (study.series for study in find_dicom(folder).studies)
    assert isinstance(series.image, DicomSlices)
    assert [file.name[-1] for file in series.files] == ["0", "1", "2", "3", "4", "5"]
