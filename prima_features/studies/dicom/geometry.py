"""Where slices lie: all in the patient's coordinates, LPS, in mm (PS3.3 C.7.6.2.1.1)."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import TypeVar

Vector = tuple[float, ...]
"""A position or direction (x, y, z), or an orientation: the directions of a row and of a column. Empty
where the file does not say."""

T = TypeVar("T")

_SAME_DIRECTION = 1e-3
"""Orientations whose components differ by less (0.06 degrees) are one: files round differently."""
_SAME_DEPTH = 0.01
"""Slices closer than this, in mm, lie in the same place."""
_PLANES = ("sagittal", "coronal", "axial")
_ENDS = ("right", "front", "feet")
"""Where each axis starts."""


def is_orientation(vector: Vector) -> bool:
    """Whether the directions of row and column span a plane; anonymisers write zeros."""
    return len(vector) == 6 and sum(part**2 for part in _cross(vector[:3], vector[3:])) > 0.5


def same_orientation(a: Vector, b: Vector) -> bool:
    """Whether two slices are parallel and turned alike."""
    return len(a) == len(b) and all(abs(p - q) < _SAME_DIRECTION for p, q in zip(a, b, strict=True))


def orientations(slices: Iterable[Vector]) -> list[Vector]:
    """The different orientations among those of slices, in the order they are met."""
    found: list[Vector] = []
    for orientation in slices:
        if not any(same_orientation(orientation, known) for known in found):
            found.append(orientation)
    return found


def normal(orientation: Vector) -> Vector:
    """The direction across the slices: rows times columns."""
    return _cross(orientation[:3], orientation[3:])


def slice_axis(orientation: Vector) -> int:
    """0, 1 or 2: the axis of x, y, z that the normal of the slices follows most closely."""
    across = normal(orientation)
    return max(range(3), key=lambda axis: abs(across[axis]))


def plane(orientation: Vector) -> str:
    """The anatomical plane nearest to the slices."""
    return _PLANES[slice_axis(orientation)]


def count_from(orientation: Vector) -> str:
    """The end of the patient where slices in ascending order start."""
    return _ENDS[slice_axis(orientation)]


def depth(position: Vector, orientation: Vector) -> float:
    """Distance along the slices' normal, turned so that the axis it follows most closely ascends."""
    across = normal(orientation)
    sign = 1.0 if across[slice_axis(orientation)] > 0 else -1.0
    return sign * sum(p * q for p, q in zip(position, across, strict=True))


def by_depth(
    slices: Sequence[T], depth_of: Callable[[T], float], tolerance: float = _SAME_DEPTH
) -> list[list[T]]:
    """Slices grouped by where they lie, in ascending order; neighbours within `tolerance` mm share a place."""
    groups: list[list[T]] = []
    last = float("-inf")
    for where, i in sorted((depth_of(item), i) for i, item in enumerate(slices)):
        if where - last > tolerance:
            groups.append([])
        groups[-1].append(slices[i])
        last = where
    return groups


def places(slices: Sequence[T], depth_of: Callable[[T], float], tolerance: float) -> list[list[T]]:
    """Slices grouped by place as `by_depth` does, where repeats of a place may differ by rounding.

    Args:
        slices: of one orientation.
        depth_of: their depths in mm.
        tolerance: fraction of the largest distance between neighbours that repeats may differ by, if their places
            are then evenly spaced and otherwise are not.
    """
    exact = by_depth(slices, depth_of)
    firsts = [depth_of(place[0]) for place in exact]
    gaps = [after - before for before, after in pairwise(firsts)]
    if not gaps or min(gaps) > tolerance * max(gaps):
        return exact
    joined = by_depth(slices, depth_of, tolerance * max(gaps))
    return joined if is_even([depth_of(place[0]) for place in joined], 2 * tolerance) else exact


def alike(numbers: Iterable[float], least: float, fraction: float) -> dict[float, float]:
    """For each number the first of the run of numbers that differ from their neighbours by rounding only.

    Args:
        numbers: in any order.
        least: differences up to this are rounding.
        fraction: and differences up to this fraction of the smaller number.
    """
    known = sorted(set(numbers))
    first = dict(zip(known, known, strict=True))
    for before, number in pairwise(known):
        if number - before <= max(least, fraction * before):
            first[number] = first[before]
    return first


def is_even(depths: Sequence[float], tolerance: float) -> bool:
    """Whether ascending depths are evenly spaced within a fraction of their median distance."""
    gaps = [after - before for before, after in pairwise(depths)]
    if not gaps:
        return True
    usual = median(gaps)
    return all(abs(gap - usual) <= tolerance * usual for gap in gaps)


def spacing_defect(positions: Sequence[Vector], orientation: Vector, tolerance: float) -> str:
    """What is wrong with the distances between slices in ascending order, or an empty string.

    Slices that are each shifted sideways by the same amount, as under a tilted gantry, are well spaced:
    the volume is then read as if they were not.

    Args:
        positions: at least two, no two in the same place.
        orientation: of all of them.
        tolerance: fraction of the median distance that a distance or a sideways shift may stray.
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
    return _sideways_defect(positions, tolerance * usual, end)


def _name_missing(lost: dict[int, int], end: str) -> str:
    count = sum(lost.values())
    what = "1 slice is" if count == 1 else f"{count} slices are"
    places = list(map(str, lost))
    after = f"slice {places[0]}" if len(places) == 1 else f"slices {', '.join(places[:-1])} and {places[-1]}"
    return f"{what} missing after {after}, counted from the {end}"


def _sideways_defect(positions: Sequence[Vector], limit: float, end: str) -> str:
    steps = [[q - p for p, q in zip(a, b, strict=True)] for a, b in pairwise(positions)]
    usual = [median(step[axis] for step in steps) for axis in range(3)]
    for i, step in enumerate(steps, start=1):
        if max(abs(s - u) for s, u in zip(step, usual, strict=True)) > limit:
            return (
                f"slices {i} and {i + 1}, counted from the {end}, are shifted in-plane relative to each other"
            )
    return ""


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
