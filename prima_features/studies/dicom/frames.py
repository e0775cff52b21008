"""Multi-frame files: what each frame is and where it lies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prima_features.studies.dicom import kinds, values
from prima_features.studies.dicom.diffusion import b_value
from prima_features.studies.dicom.geometry import Vector, is_orientation
from prima_features.studies.dicom.header import Header

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS: tuple[values.Tag, ...] = (
    "NumberOfFrames",
    "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""Elements that `read_frames` reads."""

_POSITIONS = frozenset((0x00209057, 0x00200032, 0x00201041))
"""DimensionIndexPointer of a slice's place: InStackPositionNumber, ImagePositionPatient, SliceLocation."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice inside a multi-frame file. Missing values are "", () or None."""

    position: Vector
    orientation: Vector
    spacing: Vector
    """Between rows, between columns; mm."""
    thickness: float | None
    slice_spacing: float | None
    echo_time: float | None
    """ms."""
    repetition_time: float | None
    inversion_time: float | None
    flip_angle: float | None
    b_value: float | None
    """s/mm2."""
    image_type: tuple[str, ...]
    component: str
    temporal_position: int | None
    acquisition: int | None
    time: str
    index: tuple[float, ...]
    """DimensionIndexValues."""


def read_frames(header: Header, data: "Dataset") -> list[Header]:
    """A header of each frame, in the order stored; empty if not all frames say where they lie.

    Its instance number is the frame's rank by DimensionIndexValues, or its place in the file. Its temporal position is
    the rank of those values without the one for the slice's place, if the file says which one that is.

    Args:
        header: of the file.
        data: its elements.
    """
    frames = describe_frames(data)
    if not frames or not all(frame.position and frame.orientation for frame in frames):
        return []
    ranks = _ranks(frames)
    volumes = _volumes(data, frames)
    before = max((header.instance_number or 1) - 1, 0) * len(frames)
    return [
        replace(
            header,
            frame=number if len(frames) > 1 else None,
            instance_number=before + ranks[number] + 1 if len(frames) > 1 else header.instance_number,
            position=frame.position,
            orientation=frame.orientation,
            pixel_spacing=frame.spacing or header.pixel_spacing,
            thickness=_or(frame.thickness, header.thickness),
            slice_spacing=_or(frame.slice_spacing, header.slice_spacing),
            echo_time=_or(frame.echo_time, header.echo_time),
            repetition_time=_or(frame.repetition_time, header.repetition_time),
            inversion_time=_or(frame.inversion_time, header.inversion_time),
            flip_angle=_or(frame.flip_angle, header.flip_angle),
            b_value=_or(frame.b_value, header.b_value),
            image_type=frame.image_type or header.image_type,
            component=frame.component or header.component,
            temporal_position=volumes[number]
            if volumes
            else frame.temporal_position or header.temporal_position,
            acquisition=frame.acquisition or header.acquisition,
            time=f"{header.time} {frame.time}",
        )
        for number, frame in enumerate(frames)
    ]


def describe_frames(data: "Dataset") -> list[Frame]:
    """Frames of a multi-frame file as stored. Empty where they are not described."""
    if values.base_tag("PerFrameFunctionalGroupsSequence") not in data:
        return []
    shared = next(iter(values.items(data, "SharedFunctionalGroupsSequence")), None)
    return [_frame(group, shared) for group in values.items(data, "PerFrameFunctionalGroupsSequence")]


def pixel_spacing(data: "Dataset", number: int) -> Vector:
    """Distances between rows and between columns, mm, of one frame; () where they are not written."""
    groups = values.items(data, "PerFrameFunctionalGroupsSequence")[number : number + 1]
    for holder in (*groups, *values.items(data, "SharedFunctionalGroupsSequence")):
        for item in values.items(holder, "PixelMeasuresSequence"):
            if spacing := values.numbers(item, "PixelSpacing", 2):
                return spacing
    return values.numbers(data, "PixelSpacing", 2)


def _frame(group: "Dataset", shared: "Dataset | None") -> Frame:
    def macro(keyword: str) -> "Dataset | None":
        """A functional group: the frame's own, or the one that all frames share (PS3.3 C.7.6.16)."""
        return next(iter(values.items(group, keyword) or values.items(shared, keyword)), None)

    kind, content, timing = (
        macro(f"{name}Sequence")
        for name in ("MRImageFrameType", "FrameContent", "MRTimingAndRelatedParameters")
    )
    measures = macro("PixelMeasuresSequence")
    orientation = values.numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    unit = values.text(macro("PixelValueTransformationSequence"), "RescaleType")
    return Frame(
        position=values.numbers(macro("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=orientation if is_orientation(orientation) else (),
        spacing=values.numbers(measures, "PixelSpacing", 2),
        thickness=values.number(measures, "SliceThickness"),
        slice_spacing=values.number(measures, "SpacingBetweenSlices"),
        echo_time=values.number(macro("MREchoSequence"), "EffectiveEchoTime"),
        repetition_time=values.number(timing, "RepetitionTime"),
        inversion_time=values.number(macro("MRModifierSequence"), "InversionTimes"),
        flip_angle=values.number(timing, "FlipAngle"),
        b_value=b_value(macro("MRDiffusionSequence")),
        image_type=values.words(kind, "FrameType"),
        component=kinds.least_magnitude(
            values.text(kind, "ComplexImageComponent").upper(), kinds.component_of_unit(unit)
        ),
        temporal_position=values.whole(content, "TemporalPositionIndex"),
        acquisition=values.whole(content, "FrameAcquisitionNumber"),
        time=values.text(content, "FrameAcquisitionDateTime")
        or values.text(content, "FrameReferenceDateTime"),
        index=values.numbers(content, "DimensionIndexValues"),
    )


def _ranks(frames: Sequence[Frame]) -> list[int]:
    """Place of each frame by DimensionIndexValues if they differ for all frames, otherwise as stored."""
    if len({frame.index for frame in frames}) < len(frames):
        return list(range(len(frames)))
    ranks = [0] * len(frames)
    for rank, number in enumerate(sorted(range(len(frames)), key=lambda number: frames[number].index)):
        ranks[number] = rank
    return ranks


def _volumes(data: "Dataset", frames: Sequence[Frame]) -> list[int]:
    """For each frame the rank of its DimensionIndexValues without the place of the slice; empty if not known."""
    pointers = [
        values.whole(item, "DimensionIndexPointer") for item in values.items(data, "DimensionIndexSequence")
    ]
    kept = [i for i, pointer in enumerate(pointers) if pointer not in _POSITIONS]
    if len(kept) == len(pointers) or any(len(frame.index) != len(pointers) for frame in frames):
        return []
    rest = [tuple(frame.index[i] for i in kept) for frame in frames]
    rank = {one: i for i, one in enumerate(sorted(set(rest)), start=1)}
    return [rank[one] for one in rest]


def _or(own: float | None, other: float | None) -> float | None:
    return other if own is None else own
