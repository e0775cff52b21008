"""What an image shows, told from its headers: localizer, phase, diffusion, function or perfusion."""

import re

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

_FUNCTION_TYPES = {"FMRI", "BOLD", "ASL", "PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX"}
_DIFFUSION_MAP_TYPES = {"ADC", "EADC", "FA", "TRACE", "TRACEW"}
_PHASE_TYPES = {"P", "PHASE", "PHASE MAP", "PHASEMAP", "VELOCITY MAP", "B0 MAP", "I", "IMAGINARY"}


def is_localizer(header: Header) -> bool:
    """Whether the scanner or the operator calls it a localizer, scout or survey."""
    return "LOCALIZER" in header.image_type or bool(_LOCALIZER_NAME.search(_name(header)))


def is_phase(header: Header) -> bool:
    """Whether it shows the phase of the signal, its imaginary part, or a map made from them.

    The real part counts as an image: inversion recovery is read from it.
    """
    return header.component in ("PHASE", "IMAGINARY") or bool(_PHASE_TYPES & set(header.image_type))


def is_function(header: Header) -> bool:
    """Whether it shows brain function or perfusion: BOLD, ASL, contrast passage, or a map of them."""
    types = set(header.image_type) | {header.contrast}
    return bool(_FUNCTION_TYPES & types or _FUNCTION_NAME.search(_name(header)))


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
