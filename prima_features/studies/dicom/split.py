"""Splitting a series where its images cannot be slices of one volume."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from prima_features.studies.dicom.geometry import orientations, plane, same_orientation
from prima_features.studies.dicom.header import Header

Part = list[Header]
"""Images of one orientation, matrix, pixel size, echo and kind; at least one."""


def split(series: Sequence[Header]) -> list[Part]:
    """Parts of a series, in the order of their first instance numbers."""
    known = orientations(header.orientation for header in series)
    parts: dict[object, Part] = defaultdict(list)
    for header in series:
        turned = next(i for i, one in enumerate(known) if same_orientation(one, header.orientation))
        parts[turned, *_grouping(header)].append(header)
    return sorted(parts.values(), key=lambda part: min(map(acquisition_order, part)))


def _grouping(header: Header) -> tuple[object, ...]:
    return (
        header.block is None,
        header.rows,
        header.columns,
        tuple(round(size, 3) for size in header.pixel_spacing),
        header.echo_number,
        None if header.echo_time is None else round(header.echo_time, 2),
        header.image_type,
        header.component,
    )


def acquisition_order(header: Header) -> tuple[int | str, ...]:
    """Sorts by when an image was acquired as far as its numbers tell; never by its file's name."""
    return (
        header.temporal_position or 0,
        header.acquisition or 0,
        header.instance_number or 0,
        header.time,
        header.block.index if header.block else 0,
        header.sop_uid,
    )


def is_three_plane(series: Sequence[Header]) -> bool:
    """Whether slices lie in three or more orientations of different planes, as those of localizers do."""
    known = [one for one in orientations(header.orientation for header in series) if one]
    return len(known) > 2 and len({plane(one) for one in known}) > 1


_DIFFERENCES: tuple[Callable[[Header], str], ...] = (
    lambda header: f"echo time {header.echo_time:g} ms" if header.echo_time else "",
    lambda header: plane(header.orientation) if header.orientation else "",
    lambda header: f"{header.columns} x {header.rows}",
    lambda header: " ".join(header.image_type[2:]).lower(),
)


def describe(part: Part, parts: Sequence[Part]) -> str:
    """What tells a part of a series from the others, e.g. `part 2, echo time 80 ms`; empty for one part."""
    if len(parts) == 1:
        return ""
    telling = [show(part[0]) for show in _DIFFERENCES if len({show(other[0]) for other in parts}) > 1]
    number = 1 + next(i for i, other in enumerate(parts) if other is part)
    return ", ".join([f"part {number}", *filter(None, telling)])
