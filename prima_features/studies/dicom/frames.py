"""Multi-frame files: what each frame is and where it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prima_features.studies.dicom import kinds, values
from prima_features.studies.dicom.header import Header, Vector, is_orientation

if TYPE_CHECKING:
    from pydicom import Dataset

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
TAGS: tuple[values.Tag, ...] = ("NumberOfFrames", "DimensionIndexSequence", SHARED, PER_FRAME)
"""Elements that `read_frames` reads."""

_POSITIONS = frozenset((0x00209057, 0x00200032, 0x00201041))
"""DimensionIndexPointer of a slice's position: InStackPositionNumber, ImagePositionPatient, SliceLocation."""


def read_frames(header: Header, data: "Dataset") -> list[Header]:
    """A header per frame, in the order stored; empty if the position of a frame is missing.

    The instance number is the frame's rank by DimensionIndexValues, or its index in the file. The temporal position is
    the rank of these values without the slice's position, if the file states which value that is.

    Args:
        header: of the file.
        data: its elements.
    """
    if values.base_tag(PER_FRAME) not in data:
        return []
    shared, groups = _shared(data), values.items(data, PER_FRAME)
    contents = [_macro(group, shared, "FrameContentSequence") for group in groups]
    indices = [values.numbers(content, "DimensionIndexValues") for content in contents]
    ranks, volumes = _ranks(indices), _volumes(data, indices)
    is_single = len(groups) == 1
    before = max((header.instance_number or 1) - 1, 0) * len(groups)
    frames = []
    for number, (group, content) in enumerate(zip(groups, contents, strict=True)):
        stated = values.whole(content, "TemporalPositionIndex") or header.temporal_position
        time = values.text(content, "FrameAcquisitionDateTime") or values.text(
            content, "FrameReferenceDateTime"
        )
        numbers: dict[str, Any] = {
            "frame": None if is_single else number,
            "instance_number": header.instance_number if is_single else before + ranks[number] + 1,
            "temporal_position": volumes[number] if volumes else stated,
            "acquisition": values.whole(content, "FrameAcquisitionNumber") or header.acquisition,
            "time": f"{header.time} {time}",
        }
        frames.append(replace(header, **numbers, **_describe(header, group, shared)))
    return frames if all(frame.has_place for frame in frames) else []


def frame_place(data: "Dataset", number: int) -> tuple[Vector, Vector]:
    """Position and orientation of one frame, or of a file without described frames; () if missing."""
    if groups := values.items(data, PER_FRAME):
        return _place(groups[number], _shared(data))
    position = values.numbers(data, "ImagePositionPatient", 3)
    return position, values.numbers(data, "ImageOrientationPatient", 6)


def pixel_spacing(data: "Dataset", number: int) -> Vector:
    """Distances between rows and between columns, mm, of one frame; () if missing."""
    groups = values.items(data, PER_FRAME)[number : number + 1]
    for holder in (*groups, *values.items(data, SHARED)):
        for item in values.items(holder, "PixelMeasuresSequence"):
            if spacing := values.numbers(item, "PixelSpacing", 2):
                return spacing
    return values.numbers(data, "PixelSpacing", 2)


def _shared(data: "Dataset") -> "Dataset | None":
    return next(iter(values.items(data, SHARED)), None)


def _macro(group: "Dataset", shared: "Dataset | None", keyword: str) -> "Dataset | None":
    """A functional group: the frame's own, or the one that all frames share (PS3.3 C.7.6.16)."""
    return next(iter(values.items(group, keyword) or values.items(shared, keyword)), None)


def _place(group: "Dataset", shared: "Dataset | None") -> tuple[Vector, Vector]:
    position = values.numbers(_macro(group, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
    orientation = values.numbers(
        _macro(group, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6
    )
    return position, orientation if is_orientation(orientation) else ()


def _describe(header: Header, group: "Dataset", shared: "Dataset | None") -> dict[str, Any]:
    """Fields of a frame's header that its functional groups state, by name; the file's own if they do not."""
    kind = _macro(group, shared, "MRImageFrameTypeSequence")
    timing = _macro(group, shared, "MRTimingAndRelatedParametersSequence")
    measures = _macro(group, shared, "PixelMeasuresSequence")
    unit = values.text(_macro(group, shared, "PixelValueTransformationSequence"), "RescaleType")
    position, orientation = _place(group, shared)
    numbers = {
        "thickness": values.number(measures, "SliceThickness"),
        "slice_spacing": values.number(measures, "SpacingBetweenSlices"),
        "echo_time": values.number(_macro(group, shared, "MREchoSequence"), "EffectiveEchoTime"),
        "repetition_time": values.number(timing, "RepetitionTime"),
        "inversion_time": values.number(_macro(group, shared, "MRModifierSequence"), "InversionTimes"),
        "flip_angle": values.number(timing, "FlipAngle"),
        "b_value": values.b_value(_macro(group, shared, "MRDiffusionSequence")),
    }
    component = kinds.least_magnitude(
        values.text(kind, "ComplexImageComponent").upper(), kinds.component_of_unit(unit)
    )
    return {
        **{name: number for name, number in numbers.items() if number is not None},
        "position": position,
        "orientation": orientation,
        "pixel_spacing": values.numbers(measures, "PixelSpacing", 2) or header.pixel_spacing,
        "image_type": values.words(kind, "FrameType") or header.image_type,
        "component": component or header.component,
    }


def _ranks(indices: Sequence[Vector]) -> list[int]:
    """Rank of each frame by DimensionIndexValues if they differ for all frames, otherwise in the order stored."""
    if len(set(indices)) < len(indices):
        return list(range(len(indices)))
    ranks = [0] * len(indices)
    for rank, number in enumerate(sorted(range(len(indices)), key=lambda number: indices[number])):
        ranks[number] = rank
    return ranks


def _volumes(data: "Dataset", indices: Sequence[Vector]) -> list[int]:
    """For each frame the rank of its DimensionIndexValues without the slice's position; empty if not known."""
    pointers = [
        values.whole(item, "DimensionIndexPointer") for item in values.items(data, "DimensionIndexSequence")
    ]
    kept = [i for i, pointer in enumerate(pointers) if pointer not in _POSITIONS]
    if len(kept) == len(pointers) or any(len(index) != len(pointers) for index in indices):
        return []
    rest = [tuple(index[i] for i in kept) for index in indices]
    rank = {one: i for i, one in enumerate(sorted(set(rest)), start=1)}
    return [rank[one] for one in rest]
