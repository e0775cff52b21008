"""Multi-frame files: which frames make up which volume, as dcm2niix will number the volumes."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from prima_features.studies.dicom import values
from prima_features.studies.dicom.diffusion import b_value
from prima_features.studies.dicom.geometry import Vector, alike, by_depth, depth, is_orientation, orientations

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS: tuple[values.Tag, ...] = (
    "NumberOfFrames",
    "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""Elements that `read_frames` reads."""

SAME_ECHO = (0.05, 0.01)
"""Echo times that differ by less than this many ms, or this fraction, are one: scanners write three decimals,
anonymisers and archives fewer, and multi-echo sequences space their echoes by 0.5 ms and more."""
_IN_STACK_POSITION = 0x00209057
_SORTED_MAKERS = ("philips", "canon", "bruker")
"""Makers whose frames dcm2niix sorts by DimensionIndexValues. It takes others' as they are stored; or, where
the orientation is written once for all frames, sorts them by position alone, which mixes up volumes.
(Measured with v1.0.20260724 on frames in every order; `test_dicom_frames.py` measures it again.)"""


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice inside a multi-frame file."""

    position: Vector
    orientation: Vector
    echo_time: float | None
    """ms."""
    b_value: float | None
    """s/mm2."""
    image_type: tuple[str, ...]
    component: str
    index: tuple[float, ...]
    """DimensionIndexValues."""
    number: int = 0
    """Its place in the file, from 0."""


@dataclass(frozen=True, slots=True)
class Block:
    """One volume inside a multi-frame file, or a mosaic."""

    index: int = 0
    """Its number among the volumes that dcm2niix makes of the file."""
    n_slices: int | None = None
    """None where a mosaic does not say."""
    positions: tuple[Vector, ...] = ()
    """Of its slices as stored; () where they are not written, as in mosaics."""
    frames: tuple[int, ...] = ()
    """Numbers of its frames in the file, from 0, in ascending order (`geometry.depth`); () where the file does not
    describe them."""
    in_order: bool = True
    """False where dcm2niix would mix up the slices."""
    is_described: bool = True
    """False for a mosaic without the private header that says in which direction its slices are stacked."""
    n_orientations: int = 1
    n_echoes: int = 1
    """In the whole file; dcm2niix makes an image of each."""


def read_frames(data: "Dataset") -> list[tuple[Frame, Block]]:
    """Volumes of a multi-frame file, each with its first frame. Empty where frames are not described."""
    if values.base_tag("PerFrameFunctionalGroupsSequence") not in data:
        return []
    shared = next(iter(values.items(data, "SharedFunctionalGroupsSequence")), None)
    frames = describe_frames(data)
    if values.text(data, "Manufacturer").lower().startswith(_SORTED_MAKERS):
        step = 1 if _position_is_last(data) else -1
        frames.sort(key=lambda frame: frame.index[::step])
    elif values.items(shared, "PlaneOrientationSequence") and _are_placed(frames):
        frames.sort(key=_depth_in(frames))
    frames.sort(key=_kind)  # dcm2niix writes magnitude and phase to files of their own
    return [volume for _, alike in groupby(frames, key=_kind) for volume in _volumes(list(alike))]


def describe_frames(data: "Dataset") -> list[Frame]:
    """Frames of a multi-frame file as stored. Empty where they are not described."""
    shared = next(iter(values.items(data, "SharedFunctionalGroupsSequence")), None)
    groups = values.items(data, "PerFrameFunctionalGroupsSequence")
    return [_frame(group, shared, number) for number, group in enumerate(groups)]


def pixel_spacing(data: "Dataset", number: int) -> Vector:
    """Distances between rows and between columns, mm, of one frame; () where they are not written."""
    groups = values.items(data, "PerFrameFunctionalGroupsSequence")[number : number + 1]
    for holder in (*groups, *values.items(data, "SharedFunctionalGroupsSequence")):
        for item in values.items(holder, "PixelMeasuresSequence"):
            if spacing := values.numbers(item, "PixelSpacing", 2):
                return spacing
    return values.numbers(data, "PixelSpacing", 2)


def _position_is_last(data: "Dataset") -> bool:
    dimensions = values.items(data, "DimensionIndexSequence")
    return bool(dimensions) and values.whole(dimensions[-1], "DimensionIndexPointer") == _IN_STACK_POSITION


def _frame(group: "Dataset", shared: "Dataset | None", number: int) -> Frame:
    def macro(keyword: str) -> "Dataset | None":
        """A functional group: the frame's own, or the one that all frames share (PS3.3 C.7.6.16)."""
        return next(iter(values.items(group, keyword) or values.items(shared, keyword)), None)

    kind = macro("MRImageFrameTypeSequence")
    orientation = values.numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    return Frame(
        position=values.numbers(macro("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=orientation if is_orientation(orientation) else (),
        echo_time=values.number(macro("MREchoSequence"), "EffectiveEchoTime"),
        b_value=b_value(macro("MRDiffusionSequence")),
        image_type=values.words(kind, "FrameType"),
        component=values.text(kind, "ComplexImageComponent"),
        index=values.numbers(macro("FrameContentSequence"), "DimensionIndexValues"),
        number=number,
    )


def _kind(frame: Frame) -> tuple[str, tuple[str, ...]]:
    return frame.component, frame.image_type


def _volumes(frames: list[Frame]) -> list[tuple[Frame, Block]]:
    """Frames of one kind, in dcm2niix's order, cut into runs as long as there are places for slices."""
    n_slices = len(by_depth(frames, _depth_in(frames))) if _are_placed(frames) else len(frames)
    if len(frames) % n_slices:
        n_slices = len(frames)
    runs = [frames[start : start + n_slices] for start in range(0, len(frames), n_slices)]
    echoes = alike((frame.echo_time for frame in frames if frame.echo_time), *SAME_ECHO)
    n_echoes = len({echoes.get(run[0].echo_time or 0) for run in runs})
    alike_within = all(
        len({(frame.b_value or 0, echoes.get(frame.echo_time or 0)) for frame in run}) == 1 for run in runs
    )
    return [(run[0], _block(index, run, n_echoes, alike_within)) for index, run in enumerate(runs)]


def _block(index: int, frames: list[Frame], n_echoes: int, alike_within: bool) -> Block:
    placed = _are_placed(frames)
    return Block(
        index=index,
        n_slices=len(frames),
        positions=tuple(frame.position for frame in frames) if placed else (),
        frames=tuple(frame.number for frame in sorted(frames, key=_depth_in(frames))) if placed else (),
        in_order=alike_within and (not placed or _is_run(frames)),
        n_orientations=len(orientations(frame.orientation for frame in frames)),
        n_echoes=n_echoes,
    )


def _is_run(frames: list[Frame]) -> bool:
    """Whether the slices run up or down the stack, each in a place of its own."""
    steps = [after - before for before, after in pairwise(map(_depth_in(frames), frames))]
    monotonic = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    return monotonic and len(by_depth(frames, _depth_in(frames))) == len(frames)


def _are_placed(frames: list[Frame]) -> bool:
    return all(frame.position and frame.orientation for frame in frames)


def _depth_in(frames: list[Frame]) -> Callable[[Frame], float]:
    """Depth by the first orientation: the others may differ by rounding, which moves far corners."""
    orientation = frames[0].orientation
    return lambda frame: depth(frame.position, orientation)
