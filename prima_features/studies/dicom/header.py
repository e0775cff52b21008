"""One DICOM slice: the record that the finder keeps of it, so that memory stays flat over any tree, and its geometry.

Positions and directions are in the patient's coordinates, LPS, in mm (PS3.3 C.7.6.2.1.1).
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TypeVar

from prima_features.wording import listed

Vector = tuple[float, ...]
"""A position or direction (x, y, z), or an orientation: the directions of a row and of a column. Empty if the file
does not state it."""

T = TypeVar("T")

_SAME_DIRECTION = 1e-3
"""Orientations whose components differ by less (0.06 degrees) are equal: files round differently."""
_SAME_DEPTH = 0.01
"""Slices closer than this, in mm, are in the same place."""
_PLANES = ("sagittal", "coronal", "axial")
_ENDS = ("right", "front", "feet")
"""Where each axis starts."""


@dataclass(frozen=True, slots=True)
class Block:
    """One volume in a file that does not state the position of each slice: a mosaic, or frames without positions."""

    n_slices: int | None = None
    """None if a mosaic does not state it."""
    is_mosaic: bool = False
    """Its slices are tiles of one image; their positions are in private elements."""
    is_described: bool = True
    """False for a mosaic without the private header that gives the direction in which its slices are stacked."""


@dataclass(frozen=True, slots=True)
class GeImage:
    """Values of GE's private elements."""

    pulse_sequence: str
    """Name of the pulse sequence (0019,109C), in lower case."""
    is_magnitude: bool | None
    """Which of a B0 map's two images it is, by (0043,1030): 0 is the field map, 2 the magnitude. None if missing."""
    polarity: int | None
    """Of the sequence `epi_pepolar` (0019,10B3): 0 forward, 1 reversed, 2 and 3 alternating."""


@dataclass(frozen=True, slots=True)
class Header:
    """One slice (a file or a frame of one), or a volume (`block`). Missing values are "", () or None."""

    file: Path
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_date: str
    frame_of_reference: str
    """FrameOfReferenceUID: positions are comparable only within one."""
    modality: str
    study_description: str
    description: str
    """SeriesDescription."""
    protocol: str
    series_number: int | None
    instance_number: int | None
    acquisition: int | None
    temporal_position: int | None
    time: str
    """AcquisitionDateTime, AcquisitionTime, ContentTime and TriggerTime as written."""
    image_type: tuple[str, ...]
    component: str
    """Component of a complex image: MAGNITUDE, PHASE, REAL or IMAGINARY; or FIELD_MAP. By all elements but
    ImageType."""
    contrast: str
    """AcquisitionContrast."""
    sequence: str
    """ScanningSequence and SequenceName."""
    rows: int
    """0 if it is not an image."""
    columns: int
    is_colour: bool
    n_frames: int
    pixel_spacing: Vector
    """Between rows, between columns; mm."""
    thickness: float | None
    """SliceThickness, mm."""
    slice_spacing: float | None
    """SpacingBetweenSlices, mm."""
    orientation: Vector
    position: Vector
    """Centre of the first voxel."""
    echo_time: float | None
    """ms."""
    echo_number: int | None
    repetition_time: float | None
    """ms."""
    inversion_time: float | None
    """ms."""
    flip_angle: float | None
    """Degrees."""
    b_value: float | None
    """s/mm2."""
    ge: GeImage | None = None
    """None for other manufacturers than GE."""
    block: Block | None = None
    """The volume that the file contains; None for a slice."""
    frame: int | None = None
    """Index of the slice in a multi-frame file, from 0."""
    has_pixels: bool = True
    """False if the file ends before the pixel data that its header declares, or has none."""

    @property
    def has_place(self) -> bool:
        """Whether both position and orientation are known."""
        return bool(self.orientation and self.position)


Volume = tuple[Header, ...]
"""Slices in ascending order (`depth`), or one block."""


def grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Items grouped by a key; groups in the order in which their first items come."""
    groups: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return list(groups.values())


def acquisition_order(header: Header) -> tuple[int | str, ...]:
    """Sort key: the order of acquisition as far as numbers and times state it. File names play no part."""
    return (
        header.temporal_position or 0,
        header.acquisition or 0,
        header.instance_number or 0,
        header.time,
        header.sop_uid,
    )


def b_group(header: Header) -> int:
    """b-value in s/mm2, rounded to tens: scanners add the share of the imaging gradients. A missing one counts as 0."""
    return 10 * round((header.b_value or 0) / 10)


# ---- orientation ----


def is_orientation(vector: Vector) -> bool:
    """Whether the directions of row and column span a plane; anonymisers write zeros."""
    return len(vector) == 6 and sum(part**2 for part in normal(vector)) > 0.5


def same_orientation(a: Vector, b: Vector) -> bool:
    """Whether two slices are parallel and have the same directions of rows and columns."""
    if a == b:  # nearly always: the test below is slow
        return True
    return len(a) == len(b) and all(abs(p - q) < _SAME_DIRECTION for p, q in zip(a, b, strict=True))


def orientations(slices: Iterable[Vector]) -> list[Vector]:
    """The different orientations among those of slices, in the order in which they come."""
    found: list[Vector] = []
    for orientation in slices:
        if not any(same_orientation(orientation, known) for known in found):
            found.append(orientation)
    return found


@lru_cache(maxsize=4096)
def normal(orientation: Vector) -> Vector:
    """Unit vector across the slices: rows times columns."""
    a, b = orientation[:3], orientation[3:]
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@lru_cache(maxsize=4096)
def slice_axis(orientation: Vector) -> int:
    """0, 1 or 2: the axis of x, y, z that the normal of the slices follows most closely."""
    across = normal(orientation)
    return max(range(3), key=lambda axis: abs(across[axis]))


def plane(orientation: Vector) -> str:
    """The anatomical plane nearest to the slices."""
    return _PLANES[slice_axis(orientation)]


def count_from(orientation: Vector) -> str:
    """The side of the patient where slices in ascending order start."""
    return _ENDS[slice_axis(orientation)]


# ---- places: where slices are along their normal ----


def depth(position: Vector, orientation: Vector) -> float:
    """Distance along the slices' normal in mm, with the sign that makes the axis it follows most closely ascend."""
    (x, y, z), across = position, normal(orientation)
    sign = 1.0 if across[slice_axis(orientation)] > 0 else -1.0
    return sign * (x * across[0] + y * across[1] + z * across[2])


def depth_in(images: Sequence[Header]) -> Callable[[Header], float]:
    """Depth by the first image's orientation: the others may differ by rounding, which moves far corners."""
    orientation = images[0].orientation
    return lambda header: depth(header.position, orientation)


def by_depth(
    slices: Sequence[T], depth_of: Callable[[T], float], tolerance: float = _SAME_DEPTH
) -> list[list[T]]:
    """Slices grouped by place, in ascending order; neighbours within `tolerance` mm share a place."""
    groups: list[list[T]] = []
    last = float("-inf")
    for where, i in sorted((depth_of(item), i) for i, item in enumerate(slices)):
        if where - last > tolerance:
            groups.append([])
        groups[-1].append(slices[i])
        last = where
    return groups


def places(images: Sequence[Header], tolerance: float) -> list[list[Header]]:
    """Images grouped by place as `by_depth` does, if repeats of a place may differ by rounding.

    Args:
        images: of one orientation.
        tolerance: fraction of the largest distance between neighbours that repeats may differ by, if their places
            are then evenly spaced and otherwise are not.
    """
    depth_of = depth_in(images)
    exact = by_depth(images, depth_of)
    firsts = [depth_of(place[0]) for place in exact]
    gaps = [after - before for before, after in pairwise(firsts)]
    if not gaps or min(gaps) > tolerance * max(gaps):
        return exact
    joined = by_depth(images, depth_of, tolerance * max(gaps))
    return joined if is_even([depth_of(place[0]) for place in joined], 2 * tolerance) else exact


def place_numbers(found: Iterable[Sequence[Header]]) -> dict[int, int]:
    """Number of the place of each image, by the `id` of its header.

    Args:
        found: images by place (`places`).
    """
    return {id(header): number for number, place in enumerate(found) for header in place}


def is_even(depths: Sequence[float], tolerance: float) -> bool:
    """Whether ascending depths are evenly spaced within a fraction of their median distance."""
    gaps = [after - before for before, after in pairwise(depths)]
    if not gaps:
        return True
    usual = median(gaps)
    return all(abs(gap - usual) <= tolerance * usual for gap in gaps)


def spacing_defect(positions: Sequence[Vector], orientation: Vector, tolerance: float) -> str:
    """What is wrong with the distances between slices in ascending order, or an empty string.

    Slices that are each shifted in-plane by the same amount, as under a tilted gantry, are well spaced: the volume is
    then read as if they were not shifted.

    Args:
        positions: at least two, no two in the same place.
        orientation: of all of them.
        tolerance: largest deviation of a distance or an in-plane shift, as a fraction of the median distance.
    """
    depths = [depth(position, orientation) for position in positions]
    gaps = [after - before for before, after in pairwise(depths)]
    usual = median(gaps)
    steps = [max(1, round(gap / usual)) for gap in gaps]
    end = count_from(orientation)
    for i, (gap, step) in enumerate(zip(gaps, steps, strict=True), start=1):
        if abs(gap / usual - step) > tolerance * step:
            return (
                f"its slices are unevenly spaced: slices {i} and {i + 1}, counted from the {end}, are "
                f"{gap:.2f} mm apart instead of the usual {usual:.2f} mm"
            )
    if lost := {after: step - 1 for after, step in enumerate(steps, start=1) if step > 1}:
        return _name_missing(lost, end)
    return _in_plane_defect(positions, tolerance * usual, end)


def _name_missing(lost: dict[int, int], end: str) -> str:
    count = sum(lost.values())
    what = "1 slice is" if count == 1 else f"{count} slices are"
    after = f"slice{'s' * (len(lost) > 1)} {listed(map(str, lost))}"
    return f"{what} missing after {after}, counted from the {end}"


def _in_plane_defect(positions: Sequence[Vector], limit: float, end: str) -> str:
    steps = [[q - p for p, q in zip(a, b, strict=True)] for a, b in pairwise(positions)]
    usual = [median(step[axis] for step in steps) for axis in range(3)]
    for i, step in enumerate(steps, start=1):
        if max(abs(s - u) for s, u in zip(step, usual, strict=True)) > limit:
            return (
                f"slices {i} and {i + 1}, counted from the {end}, are shifted in-plane relative to each other"
            )
    return ""
