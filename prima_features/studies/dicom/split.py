"""Splitting an acquisition into parts: by geometry first, then by contrast where images fill the same places."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from prima_features.studies.dicom.header import (
    Header,
    Vector,
    acquisition_order,
    depth_in,
    grouped,
    is_even,
    normal,
    orientations,
    place_numbers,
    places,
    plane,
    same_orientation,
)
from prima_features.studies.dicom.kinds import by_contrast, by_sequence, component, differences, is_diffusion
from prima_features.studies.dicom.rules import Rejection

_SAME_SIZE = 0.005
"""Pixel sizes that differ by a smaller fraction are equal: 0.4883 mm is also written 0.488."""
_SAME_BLOCK = 10.0
"""mm. Mosaics whose origins are farther apart are different images; prospective motion correction moves them by
less."""
_SAME_THICKNESS = 0.1
_PARALLEL = 0.9999
"""Least cosine between the normals of parallel slices."""
_FEW_KINDS = 3
_FEW_NAMES = 8
"""Images of one Dixon acquisition with separate names: water, fat, in and out of phase, and maps from them."""


@dataclass(frozen=True)
class Part:
    """Images of one geometry and contrast: one volume, or several that fill the same places."""

    images: list[Header]
    """At least one."""
    rejection: Rejection | None = None
    """Why the images cannot be separated from those of other parts."""


def split(images: Sequence[Header], tolerance: float) -> list[Part]:
    """Parts of an acquisition, in the order of their first instance numbers.

    Args:
        images: of one acquisition.
        tolerance: for the distance between slices, as a fraction of it.
    """
    groups = _by_geometry(images)
    rejections = _reject_incomplete(groups, tolerance)
    parts = [
        Part(part.images, rejections.get(i, part.rejection))
        for i, group in enumerate(groups)
        for part in _by_contrast(group, tolerance)
    ]
    return sorted(parts, key=lambda part: min(map(acquisition_order, part.images)))


def _reject_incomplete(groups: Sequence[list[Header]], tolerance: float) -> dict[int, Rejection]:
    """Groups of different geometry that are parallel and only together fill evenly spaced places, each once.

    No acquisition does this: headers were edited, or files overwritten by another image. Each group alone may be evenly
    spaced, and would be accepted as a volume.
    """
    rejections: dict[int, Rejection] = {}
    for (i, one), (k, other) in combinations(enumerate(groups), 2):
        if one[0].block or other[0].block or not _are_parallel(one[0], other[0]):
            continue
        if not all(header.position for header in chain(one, other)):
            continue
        depths = sorted(map(depth_in(one), chain(one, other)))
        if depths[-1] > depths[0] and is_even(depths, tolerance):
            rejection = Rejection(
                f"its slices form one volume but differ in {_geometry_difference(one[0], other[0])}",
                hint="export the series again: headers were edited, or files overwritten by those of another image",
                defect=True,
            )
            rejections |= {i: rejection, k: rejection}
    return rejections


def _are_parallel(a: Header, b: Header) -> bool:
    """Whether slices have the same normal, in either direction."""
    if not (a.orientation and b.orientation):
        return False
    cosine = sum(p * q for p, q in zip(normal(a.orientation), normal(b.orientation), strict=True))
    return abs(cosine) > _PARALLEL


def _geometry_difference(a: Header, b: Header) -> str:
    if (a.rows, a.columns) != (b.rows, b.columns):
        return f"size ({a.columns} x {a.rows} and {b.columns} x {b.rows} pixels)"
    return (
        "pixel size" if same_orientation(a.orientation, b.orientation) else "the direction of rows or columns"
    )


def _by_geometry(images: Sequence[Header]) -> list[list[Header]]:
    """Images grouped by orientation, matrix and pixel size, within tolerances."""
    known = orientations(header.orientation for header in images)
    sizes = _pixel_sizes(images)

    def geometry(header: Header) -> tuple[object, ...]:
        turned = next(i for i, one in enumerate(known) if same_orientation(one, header.orientation))
        n_slices = header.block.n_slices if header.block else 0
        size = sizes[header.pixel_spacing]
        return header.block is None, n_slices, header.rows, header.columns, turned, size

    groups = grouped(images, geometry)
    return [part for group in groups for part in (_by_origin(group) if group[0].block else [group])]


def _pixel_sizes(images: Sequence[Header]) -> dict[tuple[float, ...], int]:
    """A number for each pixel size, the same for all that differ by rounding only. Missing sizes get -1, or the number
    of the only size."""
    firsts: list[tuple[float, ...]] = []
    numbers: dict[tuple[float, ...], int] = {}
    for size in dict.fromkeys(header.pixel_spacing for header in images if header.pixel_spacing):
        same = (i for i, first in enumerate(firsts) if _alike(size, first))
        numbers[size] = next(same, len(firsts))
        if numbers[size] == len(firsts):
            firsts.append(size)
    numbers[()] = 0 if len(firsts) == 1 else -1
    return numbers


def _alike(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(abs(p - q) <= _SAME_SIZE * max(abs(p), abs(q)) for p, q in zip(a, b, strict=True))


def _by_origin(blocks: Sequence[Header]) -> list[list[Header]]:
    """Volumes grouped by their origin."""
    groups: list[tuple[Vector, list[Header]]] = []
    for header in blocks:
        near = (
            group
            for other, group in groups
            if all(abs(p - q) <= _SAME_BLOCK for p, q in zip(other, header.position, strict=False))
        )
        if group := next(near, None):
            group.append(header)
        else:
            groups.append((header.position, [header]))
    return [group for _, group in groups]


def _by_contrast(images: list[Header], tolerance: float) -> list[Part]:
    groups = by_contrast(images)
    if images[0].block or not all(header.has_place for header in images):
        return [Part(group) for group in groups]
    groups = [image for group in groups for image in _separate_images(group, tolerance)]
    return _reject_mixtures(groups, tolerance) if len(groups) > 1 else [Part(groups[0])]


def _separate_images(images: list[Header], tolerance: float) -> list[list[Header]]:
    """Images separated by component, ImageType, timing or SeriesDescription, if each kind fills a place at most once
    and one fills all; otherwise all together. A component that is missing differs from one that is stated.

    Descriptions that differ only in numbers, as in time series, are equal.
    """
    n_places = len(places(images, tolerance))
    if n_places == len(images) or any(map(is_diffusion, images)):
        return [images]
    for kinds, most in (
        (grouped(images, component), _FEW_KINDS),
        (grouped(images, lambda header: header.image_type), _FEW_KINDS),
        (by_sequence(images), _FEW_KINDS),
        (grouped(images, described), _FEW_NAMES),
    ):
        if 1 < len(kinds) <= most:
            counts = [len(places(kind, tolerance)) for kind in kinds]
            if n_places in counts and counts == list(map(len, kinds)):
                return kinds
    return [images]


def described(header: Header) -> str:
    """SeriesDescription for comparisons: without case and spacing, and with every number as 0."""
    return " ".join(re.sub(r"\d+", "0", header.description.casefold()).split())


def _reject_mixtures(groups: Sequence[list[Header]], tolerance: float) -> list[Part]:
    """Groups of one geometry that differ in contrast, each with a rejection if it is not a separate volume.

    Every group must fill the same places as the others, or places elsewhere. Groups that only together fill the places
    of one volume are a mixture: files of one were lost or overwritten by the other's.
    """
    every = [header for group in groups for header in group]
    found = places(every, tolerance)
    place_of = place_numbers(found)
    filled = [frozenset(place_of[id(header)] for header in group) for group in groups]
    largest = {one for one in filled if not any(one < other for other in filled)}
    depths = [depth_in(every)(found[i][0]) for i in sorted(frozenset().union(*largest))]
    together = len(largest) > 1 and is_even(depths, tolerance)
    parts = []
    for group, one in zip(groups, filled, strict=True):
        crossing = any(one & other and not one <= other and not other <= one for other in filled)
        holder = next(
            (
                i
                for i, other in enumerate(filled)
                if one < other and not _differ_in_thickness(group, groups[i])
            ),
            None,
        )
        rejection = None
        if crossing or (together and one in largest):
            rejection = _mixed(groups, len(one), len(found))
        elif holder is not None:
            rejection = _mixed([groups[holder], group], len(one), len(filled[holder]))
        parts.append(Part(group, rejection))
    return parts


def _mixed(groups: Sequence[list[Header]], count: int, n_places: int) -> Rejection:
    what = differences(groups)
    return Rejection(
        f"it has {count} of the {n_places} slices of its volume, and the others differ from them"
        + (f" ({what})" if what else ""),
        hint="export the series again: files are missing, or were overwritten by those of another image",
        defect=True,
    )


def _differ_in_thickness(a: Sequence[Header], b: Sequence[Header]) -> bool:
    p, q = a[0].thickness or 0, b[0].thickness or 0
    return abs(p - q) > _SAME_THICKNESS * max(p, q) and min(p, q) > 0


def is_three_plane(series: Sequence[Header]) -> bool:
    """Whether slices have three or more orientations in different planes, as those of localizers."""
    known = [one for one in orientations(header.orientation for header in series) if one]
    return len(known) > 2 and len({plane(one) for one in known}) > 1


_DIFFERENCES: tuple[Callable[[Header], str], ...] = (
    lambda header: f"echo time {header.echo_time:g} ms" if header.echo_time else "",
    lambda header: plane(header.orientation) if header.orientation else "",
    lambda header: f"{header.columns} x {header.rows}",
    lambda header: " ".join(header.image_type[2:]).lower(),
)


def describe(part: Part, parts: Sequence[Part]) -> str:
    """What distinguishes a part of a series from the others, e.g. `part 2, echo time 80 ms`; empty for one part."""
    if len(parts) == 1:
        return ""
    first = part.images[0]
    distinct = [show(first) for show in _DIFFERENCES if len({show(other.images[0]) for other in parts}) > 1]
    number = 1 + next(i for i, other in enumerate(parts) if other is part)
    return ", ".join([f"part {number}", *filter(None, distinct)])
