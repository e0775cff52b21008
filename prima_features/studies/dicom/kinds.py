"""What an image shows, by its header: localizer, phase, diffusion, function or perfusion; and what distinguishes images
of one series in the same places: echo, component, image type, timing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from prima_features.studies.dicom.header import Header, grouped

_LEAST_B = 10.0
"""s/mm2; UIH writes the b-value of the imaging gradients themselves, 1.25, into its b=0 images."""

# `(?<![a-z])` and not `\b`, because names run `t2_3plane_loc1`.
_LOCALIZER_NAME = re.compile(
    r"scout|locali[sz]er|(?<![a-z])(loc|survey|planscan|(3|three)[ _-]?pl(ane)?)(?![a-z])"
)
_FUNCTION_NAME = re.compile(
    r"(?<![a-z])(fmri|bold|asl|pc?asl|casl|perf(usion)?|pwi|dsc|r?(el)?cb[fv]|mtt|ttp|tmax)(?![a-z])"
)
_DIFFUSION_NAME = re.compile(r"(?<![a-z])(dwi|dti|diff(usion)?|e?adc|tracew?)(?![a-z])|ep2d_diff|ep_b\d")
_DIFFUSION_MAP_NAME = re.compile(r"(?<![a-z])(e?adc|tracew?|fa)(?![a-z])")

_ECHO_PLANAR = re.compile(r"(?<![a-z])ep(?![a-z])|\*?ep(fid|se)|epi")
_FUNCTION_TYPES = {"FMRI", "BOLD", "ASL", "PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX"}
_DIFFUSION_MAP_TYPES = {"ADC", "EADC", "FA", "TRACE", "TRACEW"}
_PHASE_TYPES = {"PHASE", "PHASE MAP", "PHASE_MAP", "PHASEMAP", "VELOCITY MAP", "VELOCITY_MAP", "IMAGINARY"}
_FIELD_MAP_TYPES = {"B0 MAP", "B0_MAP", "B0MAP", "FIELD MAP", "FIELD_MAP", "FIELDMAP", "FIELDMAPHZ"}
_COMPONENT = re.compile(r"(?:SW_)?([MPRI])(?:_[A-Z0-9]+)?")
"""Words of ImageType that name a component; Philips adds the kind of sequence (`P_FFE`) and `SW_` for weighted ones."""
COMPONENTS = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}
_LEAST_FIRST = ("FIELD_MAP", "PHASE", "IMAGINARY", "REAL", "MAGNITUDE")
_ANGLE = re.compile(r"(milli)?radi(an|al)s?|m?rad|deg(rees?)?|[cm]?m/s")
"""RescaleType of phase images (`milliradials`: Philips) and velocity maps."""
_DIRECT_MAP = re.compile(r"(?<![a-z])(3d)?b0[ _-]?(map|rf)(?![a-z])")
"""GE's sequences that save a field map in Hz and its magnitude image as two volumes of one series."""


def is_localizer(header: Header) -> bool:
    """Whether the scanner or the operator calls it a localizer, scout or survey."""
    return "LOCALIZER" in header.image_type or bool(_LOCALIZER_NAME.search(_name(header)))


def component(header: Header) -> str:
    """FIELD_MAP, PHASE, IMAGINARY, REAL or MAGNITUDE, by all elements of a file; empty if none states it.

    If elements disagree, the one that is not MAGNITUDE counts.
    """
    if header.ge and header.ge.is_magnitude is False and is_direct_map(header):
        return "FIELD_MAP"
    return _component(header.image_type, header.component)


@lru_cache(maxsize=1024)
def _component(image_type: tuple[str, ...], written: str) -> str:
    found = {COMPONENTS[match[1]] for match in map(_COMPONENT.fullmatch, image_type) if match}
    found.add(written)
    if _PHASE_TYPES & set(image_type):
        found.add("IMAGINARY" if "IMAGINARY" in image_type else "PHASE")
    if _FIELD_MAP_TYPES & set(image_type):
        found.add("FIELD_MAP")
    return least_magnitude(*found)


def least_magnitude(*written: str) -> str:
    """The first of several stated components in the order of `_LEAST_FIRST`; empty if none is stated."""
    return next(filter(written.__contains__, _LEAST_FIRST), "")


def component_of_unit(unit: str) -> str:
    """PHASE or FIELD_MAP if the unit of an image's values (RescaleType) is one of angles, velocities or frequencies."""
    word = unit.strip().lower()
    if _ANGLE.fullmatch(word):
        return "PHASE"
    return "FIELD_MAP" if word in ("hz", "hertz") else ""


def is_phase(header: Header) -> bool:
    """Whether it shows the phase of the signal, its imaginary part, or a map computed from them.

    The real part is not a phase image: inversion recovery is read from it.
    """
    return component(header) in ("PHASE", "IMAGINARY")


def is_direct_map(header: Header) -> bool:
    """Whether it is from one of GE's sequences that save a field map and its magnitude image as one series."""
    sequence = header.ge.pulse_sequence if header.ge else ""
    return bool(_DIRECT_MAP.search(f"{_name(header)} {sequence}"))


def is_function(header: Header) -> bool:
    """Whether it shows brain function or perfusion: BOLD, ASL, contrast passage, or a map of them."""
    types = set(header.image_type) | {header.contrast}
    return bool(_FUNCTION_TYPES & types or _FUNCTION_NAME.search(_name(header)))


def is_echo_planar(header: Header) -> bool:
    """Whether it was acquired by echo-planar imaging."""
    return bool(_ECHO_PLANAR.search(header.sequence.lower()))


def is_diffusion(header: Header) -> bool:
    """Whether it belongs to a diffusion acquisition: weighted, b=0, or a map made from them."""
    return bool(
        (header.b_value or 0) >= _LEAST_B
        or "DIFFUSION" in (header.contrast, *header.image_type)
        or _DIFFUSION_MAP_TYPES & set(header.image_type)
        or _DIFFUSION_NAME.search(_name(header) + " " + header.sequence.lower())
    )


def is_diffusion_map(header: Header) -> bool:
    """Whether an image of a diffusion acquisition is computed from others: ADC, trace, FA."""
    return bool(_DIFFUSION_MAP_TYPES & set(header.image_type) or _DIFFUSION_MAP_NAME.search(_name(header)))


def _name(header: Header) -> str:
    # GE writes the name of the whole examination into ProtocolName (`brain with perfusion`), which says nothing about
    # a series that has its own name.
    return (header.description or header.protocol).lower()


# ---- what distinguishes images in the same places ----

Values = tuple[object, ...]
"""One value per contrast; None if a file does not state it."""

_MEANINGLESS = frozenset((
    "", "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "NONE", "OTHER", "UNSPECIFIED", "MFSPLIT", "FFE", "SE",
))  # fmt: skip
"""Words of ImageType that archives and viewers rewrite, or that do not describe what the image shows."""
_LETTERS = frozenset(("W", "F"))
"""Water and fat of Dixon imaging, by Philips; other letters are complex components or mean nothing."""


@dataclass(frozen=True)
class _Number:
    """A number that distinguishes images if it differs by more than rounding."""

    read: Callable[[Header], float | None]
    least: float
    """Differences up to this are rounding."""
    fraction: float
    """And differences up to this fraction of the smaller value."""
    show: str


_SAME_ECHO = (0.05, 0.01)
"""Echo times that differ by less than this many ms, or this fraction, are equal: scanners write three decimals,
anonymisers and archives fewer, and multi-echo sequences space their echoes by 0.5 ms and more."""
_ECHO = _Number(lambda header: header.echo_time or None, *_SAME_ECHO, "echo time {:g} ms")
_SEQUENCE = (
    _Number(lambda header: header.inversion_time or None, 5, 0.1, "inversion time {:g} ms"),
    _Number(lambda header: header.flip_angle or None, 0.5, 0.1, "flip angle {:g}"),
    _Number(lambda header: header.repetition_time or None, 5, 0.2, "repetition time {:g} ms"),
)
_FEW = 3


def by_contrast(images: Sequence[Header]) -> list[list[Header]]:
    """Images grouped by component, image type and echo, in the order given.

    Values that differ by rounding are equal. A file in which values are missing joins the one group that it does not
    contradict; if there are several, it gets its own group.
    """
    return _by_columns(
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
    return _by_columns(images, *few) if few else [list(images)]


def differences(groups: Sequence[Sequence[Header]]) -> str:
    """What distinguishes groups, for messages: `echo time 4.92 ms and echo time 7.38 ms`; may be empty."""
    firsts = [group[0] for group in groups]
    columns = [
        [number.show.format(value) for value in _clusters(firsts, number) if value is not None]
        for number in (_ECHO, *_SEQUENCE)
    ]
    columns.append([component(header).lower() for header in firsts])
    columns.append([" ".join(sorted(_words(header))).lower() for header in firsts])
    for column in columns:
        if len(different := dict.fromkeys(filter(None, column))) > 1:
            return " and ".join(different)
    return ""


def _words(header: Header) -> frozenset[str]:
    """Words of ImageType that describe what is shown, such as WATER or TRACEW, without the complex component."""
    return frozenset(
        word for word in header.image_type if word in _LETTERS or (len(word) > 1 and word not in _MEANINGLESS)
    )


def _clusters(images: Sequence[Header], number: _Number) -> list[float | None]:
    """For each image the first of the run of values that differ from their neighbours by rounding only."""
    found = [number.read(header) for header in images]
    known = sorted({value for value in found if value is not None})
    first = dict(zip(known, known, strict=True))
    for before, value in pairwise(known):
        if value - before <= max(number.least, number.fraction * before):
            first[value] = first[before]
    return [None if value is None else first[value] for value in found]


def _by_columns(images: Sequence[Header], *columns: Sequence[object]) -> list[list[Header]]:
    """Images grouped by one value from each column, missing ones joined."""
    rows: list[Values] = list(zip(*columns, strict=True))
    different = list(dict.fromkeys(rows))
    if len(different) == 1:
        return [list(images)]
    joined = _join_missing(different)
    groups = grouped(zip(images, rows, strict=True), lambda pair: joined[pair[1]])
    return [[header for header, _ in group] for group in groups]


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
