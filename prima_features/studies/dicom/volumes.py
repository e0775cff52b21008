"""The volumes that a part of a series holds: slices of the same place are repeats."""

from collections.abc import Sequence

from prima_features.studies.dicom.copies import have_same_pixels
from prima_features.studies.dicom.geometry import by_depth, count_from, depth
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.rules import Rejection
from prima_features.studies.dicom.split import Part, acquisition_order

Volume = tuple[Header, ...]
"""Slices in ascending order (`geometry.depth`), or one block of a multi-frame file."""


def find_volumes(part: Part) -> list[Volume] | Rejection:
    """Volumes of a part by ascending b-value, then in the order acquired.

    Classic files do not say which volume a slice belongs to, but the first repeats of all places are the
    first volume. A volume can lack slices where the acquisition was broken off.
    """
    if part[0].block:
        return [(header,) for header in sorted(part, key=lambda one: (b_group(one), acquisition_order(one)))]
    volumes: list[Volume] = []
    for b in sorted(set(map(b_group, part))):
        repeats = _find_repeats([header for header in part if b_group(header) == b])
        if isinstance(repeats, Rejection):
            return repeats
        volumes += repeats
    return volumes


def b_group(header: Header) -> int:
    """b-value in s/mm2, rounded to tens: makers add the imaging gradients' share. None counts as 0."""
    return 10 * round((header.b_value or 0) / 10)


def _find_repeats(slices: Sequence[Header]) -> list[Volume] | Rejection:
    orientation = slices[0].orientation
    places = by_depth(slices, lambda header: depth(header.position, orientation))
    repeated = [place for place in places if len(place) > 1]
    if all(map(have_same_pixels, repeated)):
        return [tuple(place[0] for place in places)]
    if len(repeated) < len(places) / 2:
        number = 1 + places.index(repeated[0])
        return Rejection(
            f"{len(repeated[0])} files with different pixels lie in the place of slice {number}, "
            f"counted from the {count_from(orientation)}",
            hint="export the series again, or remove the files that do not belong to it",
            defect=True,
        )
    ordered = [sorted(place, key=acquisition_order) for place in places]
    longest = max(map(len, ordered))
    return [tuple(place[k] for place in ordered if k < len(place)) for k in range(longest)]
