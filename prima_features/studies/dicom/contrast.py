"""What distinguishes images of one series that lie in the same places: echo, component, image type, timing.

Values that differ by rounding are one value, and a missing value agrees with all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prima_features.studies.dicom.geometry import alike
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.kinds import component

Values = tuple[object, ...]
"""One value for each contrast, None where a file does not say."""

_MEANINGLESS = frozenset(
    (
        "",
        "ORIGINAL",
        "DERIVED",
        "PRIMARY",
        "SECONDARY",
        "NONE",
        "OTHER",
        "UNSPECIFIED",
        "MFSPLIT",
        "FFE",
        "SE",
    )
)
"""Words of ImageType that archives and viewers rewrite, or that say nothing of what the image shows."""


_LETTERS = frozenset(("W", "F"))
"""Water and fat of Dixon imaging, by Philips; other letters are complex components or mean nothing."""


@dataclass(frozen=True)
class _Number:
    """A number that distinguishes images if it differs by more than rounding."""

    read: Callable[[Header], float | None]
    least: float
    """Differences up to this are rounding."""
    fraction: float
    """And differences up to this fraction of the value."""
    show: str


_SAME_ECHO = (0.05, 0.01)
"""Echo times that differ by less than this many ms, or this fraction, are one: scanners write three decimals,
anonymisers and archives fewer, and multi-echo sequences space their echoes by 0.5 ms and more."""
_ECHO = _Number(lambda header: header.echo_time or None, *_SAME_ECHO, "echo time {:g} ms")
_SEQUENCE = (
    _Number(lambda header: header.inversion_time or None, 5, 0.1, "inversion time {:g} ms"),
    _Number(lambda header: header.flip_angle or None, 0.5, 0.1, "flip angle {:g}"),
    _Number(lambda header: header.repetition_time or None, 5, 0.2, "repetition time {:g} ms"),
)
_FEW = 3


def by_contrast(images: Sequence[Header]) -> list[list[Header]]:
    """Images grouped by what distinguishes them, in the order given.

    A file in which values are missing joins the one group that it does not contradict; if there are several, it is
    of a group of its own.
    """
    return _grouped(
        images,
        [component(header) or None for header in images],
        [_words(header) or None for header in images],
        [header.echo_number or None for header in images],
        [header.ge.is_magnitude if header.ge else None for header in images],
        _clusters(images, _ECHO),
    )


def by_sequence(images: Sequence[Header]) -> list[list[Header]]:
    """Images grouped by inversion time, flip angle and repetition time, as `by_contrast` groups them.

    A time that differs from slice to slice distinguishes nothing.
    """
    columns = [_clusters(images, number) for number in _SEQUENCE]
    few = [column for column in columns if len(set(column) - {None}) <= _FEW]
    return _grouped(images, *few) if few else [list(images)]


def _grouped(images: Sequence[Header], *columns: Sequence[object]) -> list[list[Header]]:
    rows: list[Values] = list(zip(*columns, strict=True))
    different = list(dict.fromkeys(rows))
    if len(different) == 1:
        return [list(images)]
    joined = _join_missing(different)
    groups: dict[Values, list[Header]] = {}
    for header, row in zip(images, rows, strict=True):
        groups.setdefault(joined[row], []).append(header)
    return list(groups.values())


def differences(groups: Sequence[Sequence[Header]]) -> str:
    """What distinguishes groups, for a person: `echo time 4.92 ms and echo time 7.38 ms`; may be empty."""
    for number in (_ECHO, *_SEQUENCE):
        values = _clusters([group[0] for group in groups], number)
        if len(set(values) - {None}) > 1:
            return " and ".join(
                number.show.format(value) for value in dict.fromkeys(values) if value is not None
            )
    for show in (
        lambda group: component(group[0]).lower(),
        lambda group: " ".join(sorted(_words(group[0]))).lower(),
    ):
        shown = dict.fromkeys(filter(None, map(show, groups)))
        if len(shown) > 1:
            return " and ".join(shown)
    return ""


def _words(header: Header) -> frozenset[str]:
    """Words of ImageType that say what is shown, such as WATER or TRACEW, without the complex component."""
    return frozenset(
        word for word in header.image_type if word in _LETTERS or (len(word) > 1 and word not in _MEANINGLESS)
    )


def _clusters(images: Sequence[Header], number: _Number) -> list[float | None]:
    """For each image the first of the run of values that differ from its own by rounding only."""
    found = [number.read(header) for header in images]
    first = alike((value for value in found if value is not None), number.least, number.fraction)
    return [None if value is None else first[value] for value in found]


def _join_missing(rows: list[Values]) -> dict[Values, Values]:
    """For each row the group it belongs to; rows without missing values come first."""
    groups: list[Values] = []
    chosen: dict[Values, int] = {}
    for row in sorted(rows, key=lambda row: row.count(None)):
        fits = [i for i, group in enumerate(groups) if _agree(row, group)]
        if len(fits) == 1:
            group = groups[fits[0]]
            groups[fits[0]] = tuple(b if a is None else a for a, b in zip(group, row, strict=True))
            chosen[row] = fits[0]
        else:
            chosen[row] = len(groups)
            groups.append(row)
    return {row: groups[i] for row, i in chosen.items()}


def _agree(a: Values, b: Values) -> bool:
    return all(p is None or q is None or p == q for p, q in zip(a, b, strict=True))
