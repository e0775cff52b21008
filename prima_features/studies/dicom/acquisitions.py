"""Acquisitions: the files of one series, or of several if an export wrote several SeriesInstanceUIDs for one scan.

Some scanners and archives write another SeriesInstanceUID for each volume of a time series or a diffusion acquisition
(Siemens XA classic export), for each place of a slice (Canon), or for each file (anonymisers).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prima_features.studies.dicom.header import (
    Header,
    depth_in,
    grouped,
    is_even,
    place_numbers,
    places,
    same_orientation,
)
from prima_features.studies.dicom.kinds import (
    by_contrast,
    by_sequence,
    is_diffusion,
    is_echo_planar,
    is_function,
    is_localizer,
)
from prima_features.studies.dicom.rules import Rejection

_FEW_VOLUMES = 3
"""At least so many equal volumes with one number, or of echo-planar, functional or diffusion imaging, are one run."""
_MANY_VOLUMES = 6
"""At least so many equal volumes of any kind with one name are one run: nobody repeats a scan that often."""
_LEAST_PIECES = 5


@dataclass(frozen=True)
class Acquisition:
    """Files that are judged together."""

    headers: list[Header]
    """At least one."""
    rejection: Rejection | None = None
    """Why they cannot be separated."""


_Series = list[Header]


def find_acquisitions(headers: Sequence[Header], tolerance: float) -> list[Acquisition]:
    """Acquisitions of one study, in the order of the files.

    Series are joined only if number, name, geometry and frame of reference agree: volumes if they repeat the same
    places, slices if together they tile one volume.

    Args:
        headers: of one study.
        tolerance: for the distance between slices, as a fraction of it.
    """
    series = grouped(headers, lambda header: header.series_uid)
    found: list[Acquisition] = []
    alone: list[_Series] = []
    for same_number in grouped(series, lambda one: (one[0].series_number, *_name(one[0]))):
        if len(same_number) == 1 or same_number[0][0].series_number is None:
            alone += same_number
        else:
            for alike in _of_one_geometry(same_number):
                joined, rest = _join(alike, tolerance)
                found += joined
                alone += rest
    for same_name in grouped(alone, lambda one: _name(one[0])):
        for alike in _of_one_geometry(same_name) if len(same_name) > 1 else [same_name]:
            joined, rest = _join_across_numbers(alike, tolerance) if len(alike) > 1 else ([], alike)
            found += [*joined, *map(Acquisition, rest)]
    order = {id(header): i for i, header in enumerate(headers)}
    return sorted(found, key=lambda one: order[id(one.headers[0])])


def _name(header: Header) -> tuple[str, str]:
    return " ".join(header.description.casefold().split()), " ".join(header.protocol.casefold().split())


def _of_one_geometry(series: Sequence[_Series]) -> list[list[_Series]]:
    """Series grouped by orientation, matrix, modality, and whether they consist of slices or of blocks."""
    groups: list[list[_Series]] = []
    unlike: list[list[_Series]] = []
    for one in series:
        for group in groups:
            if _match(group[0][0], one):
                group.append(one)
                break
        else:  # a series that does not match itself, for example without positions, is not joined
            (groups if _match(one[0], one) else unlike).append([one])
    return groups + unlike


def _match(first: Header, series: _Series) -> bool:
    return all(
        header.rows == first.rows
        and header.columns == first.columns
        and (header.block is None) == (first.block is None)
        and header.modality == first.modality
        and header.has_place
        and same_orientation(first.orientation, header.orientation)
        for header in series
    )


def _share_a_frame(series: Sequence[_Series]) -> bool:
    """Whether positions are comparable: one frame of reference, or one per series, as anonymisers write."""
    frames = {header.frame_of_reference for one in series for header in one} - {""}
    return len(frames) < 2 or len(frames) == len(series) == sum(map(len, series))


def _join(series: list[_Series], tolerance: float) -> tuple[list[Acquisition], list[_Series]]:
    """Join series of one number, name and geometry. Returns acquisitions, and series that are not joined."""
    if len(series) == 1 or not series[0][0].position or not _share_a_frame(series):
        return [], series
    images = [header for one in series for header in one]
    filled = _filled(series, tolerance)
    if sum(map(len, filled)) == len(frozenset().union(*filled)):
        return _join_pieces(series, images, filled, tolerance)
    joined: list[Acquisition] = []
    alone: list[_Series] = []
    for same_places in grouped(range(len(series)), lambda i: filled[i]):
        group = [series[i] for i in same_places]
        if len(group) > 1 and _are_run(group, _FEW_VOLUMES):
            joined.append(Acquisition([header for one in group for header in one]))
        else:
            alone += group
    return joined, alone


def _join_pieces(
    series: list[_Series], images: list[Header], filled: list[frozenset[int]], tolerance: float
) -> tuple[list[Acquisition], list[_Series]]:
    """Join series that fill different places if these tile one volume."""
    depths = [depth_in(images)(place[0]) for place in places(images, tolerance)]
    if images[0].block or not is_even(depths, tolerance):
        return [], series
    if all(len(one) == 1 for one in filled):
        return [Acquisition(images)], []
    if len(by_contrast(images)) > 1:
        return [], series
    numbers = [header.instance_number for header in images]
    if None not in numbers and len(set(numbers)) == len(numbers):
        return [Acquisition(images)], []
    if max(map(len, filled)) < _LEAST_PIECES:
        return [Acquisition(images)], []
    return [
        Acquisition(
            images,
            Rejection(
                f"{len(series)} series share its number and name: they could be slices of one volume or "
                f"separate scans",
                hint="export the series again under one SeriesInstanceUID, or give each scan its own series number",
                defect=True,
            ),
        )
    ], []


def _join_across_numbers(series: list[_Series], tolerance: float) -> tuple[list[Acquisition], list[_Series]]:
    """Join series of one name and geometry with different or missing numbers, if they are certainly one run."""
    if not series[0][0].position or is_localizer(series[0][0]):
        return [], series
    filled = _filled(series, tolerance)
    slabs = [one for one, where in zip(series, filled, strict=True) if len(where) == 1 and not one[0].block]
    if len(slabs) >= _LEAST_PIECES and _share_a_frame(slabs):
        images = [header for one in slabs for header in one]
        rejection = _piece_defect(images, tolerance)
        if not rejection or len(images) == len(slabs):
            rest = [one for one in series if not any(one is other for other in slabs)]
            return [Acquisition(images, rejection)], rest
    joined: list[Acquisition] = []
    alone: list[_Series] = []
    for alike in _alike_in_contrast(series, filled):
        if len(alike) > 1 and _share_a_frame(alike) and _are_run(alike, _MANY_VOLUMES):
            joined.append(Acquisition([header for one in alike for header in one]))
        else:
            alone += alike
    return joined, alone


def _piece_defect(images: list[Header], tolerance: float) -> Rejection | None:
    found = places(images, tolerance)
    depths = [depth_in(images)(place[0]) for place in found]
    if len(found) >= _LEAST_PIECES and len(set(map(len, found))) == 1 and is_even(depths, tolerance):
        return None
    return Rejection(
        f"its {len(images)} slices each have their own SeriesInstanceUID and do not form one volume",
        hint="export the series again under one SeriesInstanceUID",
        defect=True,
    )


def _alike_in_contrast(series: list[_Series], filled: list[frozenset[int]]) -> list[list[_Series]]:
    """Series of one volume each, grouped by places, contrast and timing; each other series is its own group."""
    images = [one[0] for one in series]
    label: dict[int, tuple[int, int]] = {}
    for i, group in enumerate(by_contrast(images)):
        for k, part in enumerate(by_sequence(group)):
            label.update({id(header): (i, k) for header in part})
    places_of = {id(one): one_filled for one, one_filled in zip(series, filled, strict=True)}
    return grouped(
        series,
        lambda one: (
            label[id(one[0])],
            places_of[id(one)],
            "" if len(one) == len(places_of[id(one)]) else one[0].series_uid,
        ),
    )


def _are_run(series: list[_Series], many: int) -> bool:
    """Whether series that repeat the same places are volumes of one run."""
    first = series[0][0]
    if is_localizer(first):
        return False
    if len(series) >= many:
        return True
    runs = is_function(first) or is_diffusion(first) or is_echo_planar(first)
    numbers = {one[0].series_number for one in series}
    return runs and (len(series) >= _FEW_VOLUMES or len(numbers) == 1 or "MFSPLIT" in first.image_type)


def _filled(series: list[_Series], tolerance: float) -> list[frozenset[int]]:
    """For each series the places that it fills; volumes of multi-frame files fill one."""
    images = [header for one in series for header in one]
    if images[0].block:
        return [frozenset({0})] * len(series)
    place_of = place_numbers(places(images, tolerance))
    return [frozenset(place_of[id(header)] for header in one) for one in series]
