"""What an image shows, told from its headers: localizer, phase, diffusion, function or perfusion."""

import re
from functools import lru_cache

from prima_features.studies.dicom.header import Header

_LEAST_B = 10.0
"""s/mm2; UIH writes what the imaging gradients themselves amount to, 1.25, into its b=0 images."""

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
"""Words of ImageType for a component; Philips adds the kind of sequence (`P_FFE`) and `SW_` for weighted ones."""
_COMPONENTS = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}
_LEAST_FIRST = ("FIELD_MAP", "PHASE", "IMAGINARY", "REAL", "MAGNITUDE")
_ANGLE = re.compile(r"(milli)?radi(an|al)s?|m?rad|deg(rees?)?|[cm]?m/s")
"""RescaleType of phase images (`milliradials`: Philips) and velocity maps."""
_DIRECT_MAP = re.compile(r"(?<![a-z])(3d)?b0[ _-]?(map|rf)(?![a-z])")
"""GE's sequences that save a field map in Hz and its magnitude as two volumes of one series."""


def is_localizer(header: Header) -> bool:
    """Whether the scanner or the operator calls it a localizer, scout or survey."""
    return "LOCALIZER" in header.image_type or bool(_LOCALIZER_NAME.search(_name(header)))


def component(header: Header) -> str:
    """FIELD_MAP, PHASE, IMAGINARY, REAL or MAGNITUDE, by all that a file says; empty if it says nothing.

    Where elements disagree, what is no magnitude counts.
    """
    if header.ge and header.ge.is_magnitude is False and is_direct_map(header):
        return "FIELD_MAP"
    return _component(header.image_type, header.component)


@lru_cache(maxsize=1024)
def _component(image_type: tuple[str, ...], written: str) -> str:
    found = {_COMPONENTS[match[1]] for match in map(_COMPONENT.fullmatch, image_type) if match}
    found.add(written)
    if _PHASE_TYPES & set(image_type):
        found.add("IMAGINARY" if "IMAGINARY" in image_type else "PHASE")
    if _FIELD_MAP_TYPES & set(image_type):
        found.add("FIELD_MAP")
    return least_magnitude(*found)


def least_magnitude(*written: str) -> str:
    """Of several components that files state the one that is least a magnitude; empty if they state none."""
    return next(filter(written.__contains__, _LEAST_FIRST), "")


def component_of_unit(unit: str) -> str:
    """PHASE or FIELD_MAP if the unit of an image's values (RescaleType) is one of angles, velocities or frequencies."""
    word = unit.strip().lower()
    if _ANGLE.fullmatch(word):
        return "PHASE"
    return "FIELD_MAP" if word in ("hz", "hertz") else ""


def is_phase(header: Header) -> bool:
    """Whether it shows the phase of the signal, its imaginary part, or a map made from them.

    The real part counts as an image: inversion recovery is read from it.
    """
    return component(header) in ("PHASE", "IMAGINARY")


def is_direct_map(header: Header) -> bool:
    """Whether it is of one of GE's sequences that save a field map and its magnitude as one series."""
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
    # GE writes the whole examination's name into ProtocolName (`brain with perfusion`), so that it says
    # nothing of a series that has a name of its own.
    return (header.description or header.protocol).lower()
