"""The volumes in a part of a series: images in the same place are repeats."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

from prima_features.studies.dicom.copies import are_copies, distinct
from prima_features.studies.dicom.header import (
    Header,
    Volume,
    acquisition_order,
    b_group,
    count_from,
    depth_in,
    grouped,
    place_numbers,
    places,
)
from prima_features.studies.dicom.kinds import (
    by_sequence,
    differences,
    is_diffusion,
    is_echo_planar,
    is_function,
)
from prima_features.studies.dicom.rules import Rejection

_THICK = 1.5
_SAME_PLACE = 1.0
"""mm that repeats of a slice may be shifted sideways, unless the volumes are a time series."""


@dataclass(frozen=True)
class Volumes:
    """The volumes of a part."""

    complete: list[Volume]
    """Volumes without missing slices compared with the others, by ascending b-value, then in the order acquired."""
    n_copies: int = 0
    """Files that repeat a slice with the same pixels."""
    n_incomplete: int = 0
    """Volumes that lack slices, except a last one that was interrupted."""
    n_acquired: int = 0
    """All volumes, also those that lack slices."""


def find_volumes(images: Sequence[Header], tolerance: float) -> Volumes | Rejection:
    """Volumes of a part, or why its images cannot be separated into volumes.

    Classic files do not state which volume a slice belongs to. Volumes are separated by the first of time, acquisition
    number, series and instance number that gives each volume one image in every place.

    Args:
        images: of one geometry and contrast.
        tolerance: for the distance between slices, as a fraction of it.
    """
    if images[0].block:
        blocks = sorted(images, key=lambda one: (b_group(one), acquisition_order(one)))
        return Volumes([(header,) for header in blocks], n_acquired=len(blocks))
    if rejection := _several_scans(images):
        return rejection
    by_b: dict[int, list[Header]] = defaultdict(list)
    for header in images:
        by_b[b_group(header)].append(header)
    found = places(images, tolerance)
    place_of = place_numbers(found)
    if len(by_b) > 1 and not any(
        len({place_of[id(header)] for header in one}) == len(found) for one in by_b.values()
    ):
        return Rejection(
            f"no b-value has all {len(found)} slices",
            hint="export the whole series again",
            defect=True,
        )
    volumes: list[Volume] = []
    n_copies = n_incomplete = n_acquired = 0
    for b in sorted(by_b):
        repeats = _find_repeats(by_b[b], place_of, len(found))
        if isinstance(repeats, Rejection):
            return repeats
        complete = [volume for volume in repeats.complete if len(volume) == len(found)]
        n_incomplete += repeats.n_incomplete + len(repeats.complete) - len(complete)
        n_copies += repeats.n_copies
        n_acquired += repeats.n_acquired
        if not volumes and not complete:
            return Rejection(
                f"its volume with the lowest b-value has {len(repeats.complete[0])} of {len(found)} slices",
                hint="export the whole series again",
                defect=True,
            )
        volumes += complete
    return _mixture(volumes) or Volumes(volumes, n_copies, n_incomplete, n_acquired)


def _find_repeats(images: list[Header], place_of: dict[int, int], n_places: int) -> Volumes | Rejection:
    """Volumes of one b-value."""

    def place(header: Header) -> int:
        return place_of[id(header)]

    by_place: dict[int, list[Header]] = defaultdict(list)
    for header in images:
        by_place[place(header)].append(header)
    repeated = [by_place[i] for i in sorted(by_place) if len(by_place[i]) > 1]
    if not repeated:
        return Volumes([_stack(images, place)], n_acquired=1)
    if all(map(are_copies, repeated)):
        only = tuple(by_place[i][0] for i in sorted(by_place))
        return Volumes([only], len(images) - len(by_place), n_acquired=1)
    if separated := _separate(images, place):
        complete = [_stack(one, place) for one in separated if len(one) == len(by_place)]
        interrupted = _is_interrupted(separated[-1], complete[0], place)
        n_incomplete = len(separated) - len(complete) - interrupted
        return Volumes(complete, n_incomplete=n_incomplete, n_acquired=len(separated))
    once = {i: distinct(sharing) for i, sharing in by_place.items()}
    if all(len(sharing) == 1 for sharing in once.values()):
        return Volumes([tuple(once[i][0] for i in sorted(once))], len(images) - len(once), n_acquired=1)
    number = 1 + min(i for i, sharing in once.items() if len(sharing) > 1)
    return Rejection(
        f"{len(once[number - 1])} images with different pixels have the position of slice {number}, counted from the "
        f"{count_from(images[0].orientation)}, and their headers do not say which belong together",
        hint="export the series again, or remove the files that do not belong to it",
        defect=True,
    )


Place = Callable[[Header], int]


def _stack(images: Sequence[Header], place: Place) -> Volume:
    return tuple(sorted(images, key=place))


def _is_interrupted(last: Sequence[Header], complete: Volume, place: Place) -> bool:
    """Whether a volume has the slices that are acquired first and lacks the later ones."""
    ran, whole = (
        [place(header) for header in sorted(one, key=acquisition_order)] for one in (last, complete)
    )
    return len(ran) < len(whole) and ran == whole[: len(ran)]


_MARKS: tuple[Callable[[Header], Hashable], ...] = (
    lambda header: header.temporal_position,
    lambda header: header.acquisition,
    lambda header: (header.temporal_position, header.acquisition),
    lambda header: header.series_uid,
    lambda header: header.time,
    lambda header: header.sop_uid,
)
"""Values that can be equal in all slices of a volume and differ between volumes."""
_ORDERS: tuple[Callable[[Header], tuple[int | str, ...]], ...] = (
    lambda header: (header.temporal_position or 0, header.acquisition or 0, header.instance_number or 0),
    lambda header: (header.instance_number or 0,),
    lambda header: (header.time,),
)
"""Values that can increase from one volume to the next."""


def _separate(images: list[Header], place: Place) -> list[list[Header]]:
    """Images by volume in the order acquired, or an empty list if nothing separates them.

    At least half of the volumes have an image in every place.
    """
    n_places = len(set(map(place, images)))
    candidates = chain(
        (_by_mark(images, mark) for mark in _MARKS),
        (_in_runs(images, place, order) for order in _ORDERS),
        [_place_by_place(images, place)],
    )
    best: list[list[Header]] = []
    n_best = 0.0
    for volumes in candidates:
        if len(volumes) < 2 or any(len(set(map(place, one))) < len(one) for one in volumes):
            continue
        share = sum(len(one) == n_places for one in volumes) / len(volumes)
        if share > n_best and 2 * len(volumes[-1]) >= n_places:
            best, n_best = volumes, share
        if share == 1:
            break
    return best if n_best >= 0.5 else _file_by_file(images, place)


def _file_by_file(images: Sequence[Header], place: Place) -> list[list[Header]]:
    """The volumes of each multi-frame file, separated file by file. Empty if those of one file cannot be."""
    files = _by_mark([header for header in images if header.frame is not None], lambda header: header.sop_uid)
    if len(files) < 2 or sum(map(len, files)) < len(images):
        return []
    separated = [
        [file] if len(set(map(place, file))) == len(file) else _separate(file, place) for file in files
    ]
    return [volume for volumes in separated for volume in volumes] if all(separated) else []


def _by_mark(images: Sequence[Header], mark: Callable[[Header], Hashable]) -> list[list[Header]]:
    return sorted(grouped(images, mark), key=lambda group: min(map(acquisition_order, group)))


def _in_runs(
    images: Sequence[Header], place: Place, order: Callable[[Header], tuple[int | str, ...]]
) -> list[list[Header]]:
    """Images in order, split when a place repeats. Empty unless all volumes visit the places in the same order."""
    ordered = sorted(images, key=order)
    runs: list[list[Header]] = []
    seen: set[int] = set()
    for before, header in zip([None, *ordered], ordered, strict=False):
        if before is None or place(header) in seen:
            if before is not None and order(before) == order(header):
                return []
            runs.append([])
            seen.clear()
        runs[-1].append(header)
        seen.add(place(header))
    # Slices with equal keys, such as those acquired at one time, have no order among themselves.
    visits = [
        [place(header) for header in sorted(run, key=lambda header: (order(header), place(header)))]
        for run in runs
    ]
    if any(visit != visits[0][: len(visit)] for visit in visits):
        return []
    # A run that lacks slices can start in the previous volume: only a monotonic sequence excludes that.
    steady = visits[0] in (sorted(visits[0]), sorted(visits[0], reverse=True))
    return runs if steady or len(runs[-1]) == len(runs[0]) else []


def _place_by_place(images: Sequence[Header], place: Place) -> list[list[Header]]:
    """All repeats of a place are numbered before those of the next, as Philips does."""
    ordered = sorted(images, key=lambda header: header.instance_number or 0)
    if len({header.instance_number for header in images}) < len(images):
        return []
    by_place: dict[int, list[Header]] = {}
    for before, header in zip([None, *ordered], ordered, strict=False):
        if place(header) in by_place and before is not None and place(before) != place(header):
            return []
        by_place.setdefault(place(header), []).append(header)
    repeats = list(by_place.values())
    if len(set(map(len, repeats))) > 1:
        return []
    return [list(volume) for volume in zip(*repeats, strict=True)]


_SCANS: dict[str, Callable[[Header], str]] = {
    "frames of reference": lambda header: header.frame_of_reference,
    "dates": lambda header: header.study_date,
}
"""Values that all files of a series share (PS3.3 C.7.4.1), unless an anonymiser wrote one per file."""
_LEAST_STACK = 5
_FEW_SCANS = 4


def _several_scans(images: Sequence[Header]) -> Rejection | None:
    """Why images that look like one series belong to several scans, or to several patients."""
    for what, mark in _SCANS.items():
        scans = _by_mark([header for header in images if mark(header)], mark)
        if 1 < len(scans) <= _FEW_SCANS and len(scans) < len(images):
            return Rejection(
                f"its slices have {len(scans)} {what}, and may belong to several scans or patients",
                hint="export each scan as a separate series",
                defect=True,
            )
    return None


def _mixture(volumes: Sequence[Volume]) -> Rejection | None:
    """Why complete volumes nevertheless belong to several scans."""
    first = volumes[0]
    kinds = by_sequence(first)
    if len(kinds) > 1:
        what = differences(kinds)
        return Rejection(
            f"its slices were acquired with different settings{f' ({what})' if what else ''}",
            hint="export the series again: files may have been overwritten by those of another image",
            defect=True,
        )
    moving = is_function(first[0]) or is_diffusion(first[0]) or is_echo_planar(first[0])
    pairs = ((a, b) for other in volumes[1:] for a, b in zip(first, other, strict=True))
    if not moving and any(_shift(a, b) > _SAME_PLACE for a, b in pairs):
        return Rejection(
            "its slices belong to several stacks that are shifted in-plane relative to each other",
            hint="export each scan as a separate series",
            defect=True,
        )
    if _is_two_stacks(first):
        return Rejection(
            "its slices could be one volume or two interleaved or adjacent stacks",
            hint="export each scan as a separate series",
            defect=True,
        )
    return None


def _shift(a: Header, b: Header) -> float:
    return max(abs(p - q) for p, q in zip(a.position, b.position, strict=True))


def _is_two_stacks(volume: Volume) -> bool:
    """Whether every other slice, or each half, is a separate stack.

    Slices of interleaved stacks are thicker than their distance. (So are those of interpolated volumes, which no number
    separates into two.)
    """
    if len(volume) < 2 * _LEAST_STACK:
        return False
    if _are_thick(volume) and any(_is_cut(volume, mark, volume[::2], volume[1::2]) for mark in _STACKS):
        return True
    half = (len(volume) + 1) // 2
    repeats = {header.instance_number for header in volume[:half]} & {
        header.instance_number for header in volume[half:]
    }
    return len(repeats) >= half - 1 and any(
        _is_cut(volume, mark, volume[:half], volume[half:]) for mark in _STACKS[:3]
    )


_STACKS: tuple[Callable[[Header], tuple[int | str, ...]], ...] = (
    lambda header: (header.temporal_position or 0,),
    lambda header: (header.acquisition or 0,),
    lambda header: (header.series_uid,),
    lambda header: (header.instance_number or 0,),
    lambda header: (header.time,),
    lambda header: header.image_type,
)


def _are_thick(volume: Volume) -> bool:
    """Whether the stated distance or thickness of slices is larger than their actual distance."""
    where = depth_in(volume)
    gap = (where(volume[-1]) - where(volume[0])) / (len(volume) - 1)
    stated = [header.slice_spacing or header.thickness or 0 for header in volume]
    return median(stated) >= _THICK * gap


def _is_cut(
    volume: Volume, mark: Callable[[Header], tuple[int | str, ...]], one: Volume, other: Volume
) -> bool:
    """Whether a number is lower in all slices of one stack than in those of the other, or is repeated in both."""
    a, b = [mark(header) for header in one], [mark(header) for header in other]
    return max(a) < min(b) or max(b) < min(a) or (len(set(a)) == len(a) > 1 and a[: len(b)] == b)
