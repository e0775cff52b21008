"""Which images are embedded and which are left out: the user's options, and the rules with their reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from prima_features.errors import UsageError
from prima_features.studies.dicom.header import Header, Volume, b_group, depth, spacing_defect
from prima_features.studies.dicom.kinds import (
    component,
    is_diffusion_map,
    is_direct_map,
    is_function,
    is_localizer,
    is_phase,
)
from prima_features.studies.study import TimeSeries


@dataclass(frozen=True)
class DicomOptions:
    """Options of the DICOM finder. Raises UsageError if one is invalid."""

    modality: str = "MR"
    """Modality (0008,0060) of the images that are embedded; others are left out."""
    min_slices: int = 5
    """Stacks of fewer slices are left out."""
    time_series: TimeSeries = "skip"
    """What to do with BOLD, ASL and perfusion series: leave them out, or embed their first volume or their mean."""
    slice_tolerance: float = 0.05
    """Largest deviation of a distance between neighbouring slices, or of a slice's in-plane shift, from the stack's
    median, as a fraction of the median distance. Scanners write positions with two to four decimals, so thin slices
    deviate by a few percent; a missing slice deviates by 100 percent. (dcm2niix allows 0.2 mm; ITK's 1e-6 mm warns
    about rounding, InsightSoftwareConsortium/ITK#1607.)"""

    def __post_init__(self) -> None:
        if not self.modality:
            raise UsageError("the modality is empty: give one, such as MR")
        if self.min_slices < 1:
            raise UsageError(f"the minimum number of slices must be 1 or more, not {self.min_slices}")
        if self.time_series not in get_args(TimeSeries):
            choices = ", ".join(get_args(TimeSeries))
            raise UsageError(f"the treatment of time series must be one of {choices}, not {self.time_series}")
        if not 0 < self.slice_tolerance < 0.5:
            raise UsageError(
                f"the slice tolerance must be between 0 and 0.5 (a fraction of the slice distance), not "
                f"{self.slice_tolerance}"
            )


@dataclass(frozen=True)
class Rejection:
    """Why something is not embedded: the last fields of a Failure."""

    reason: str
    hint: str = ""
    defect: bool = False


_OBJECTS = {
    "1.2.840.10008.5.1.4.1.1.88.59": "a selection of key images",
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.5": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66": "raw data or a registration",
    "1.2.840.10008.5.1.4.1.1.104.": "an encapsulated document",
    "1.2.840.10008.5.1.4.1.1.481.": "a radiotherapy object",
    "1.2.840.10008.5.1.4.1.1.4.2": "a spectrum",
}
"""Prefixes of the SOPClassUIDs (PS3.4 annex B.5) of objects in a study that are not images, longest first."""

_IMAGES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128")
"""Prefixes for images that may be embedded: CT, MR, PET."""

_MODALITIES = frozenset((
    "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CFM", "CR", "CT", "CTPROTOCOL", "DG", "DMS", "DOC", "DX", "ECG",
    "EEG", "EMG", "EOG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN",
    "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA",
    "PLAN", "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD",
    "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US",
    "VA", "XA", "XAPROTOCOL", "XC", "AS", "CD", "CF", "CP", "CS", "DD", "DF", "DM", "DS", "EC", "FA", "FS", "LP",
    "MA", "MS", "OPR", "ST", "VF",
))  # fmt: skip
"""Defined terms of Modality (PS3.3 C.7.3.1.1.1), retired ones included."""


def reject_object(header: Header, modality: str) -> Rejection | None:
    """Leave out everything but greyscale images of the selected modality."""
    for start, name in _OBJECTS.items():
        if header.sop_class.startswith(start):
            return Rejection(f"it is {name}, not an image")
    if not header.has_pixels and header.sop_class.startswith(_IMAGES):
        return Rejection(
            "its files have no pixel data or are truncated",
            hint="copy or export the series again",
            defect=True,
        )
    if header.modality != modality.upper():
        if header.modality not in _MODALITIES:  # free text there may name a patient
            what = "no DICOM modality code" if header.modality else "missing"
            return Rejection(f"its modality is {what}, not {modality}")
        return Rejection(
            f"its modality is {header.modality}, not {modality}",
            f"use --modality {header.modality} to embed it",
        )
    if not header.rows:
        return Rejection("it contains no image")
    if header.is_colour:
        return Rejection("its images are in colour")
    return None


def complete_modality(series: Sequence[Header], modality: str) -> list[Header]:
    """Headers with the selected modality filled in if it is missing and all other slices state it."""
    stated = {header.modality for header in series if header.orientation} - {""}
    if stated != {modality.upper()}:
        return list(series)
    return [
        header if header.modality or not header.orientation else replace(header, modality=modality.upper())
        for header in series
    ]


def reject_modalities(series: Sequence[Header], modality: str) -> Rejection | None:
    """Leave out slices of several modalities: a series has one (PS3.3 C.7.3.1), and a volume needs all its slices."""
    slices = [header for header in series if header.has_place and header.rows]
    stated = {header.modality for header in slices if not any(map(header.sop_class.startswith, _OBJECTS))}
    if len(stated) < 2 or modality.upper() not in stated:
        return None
    known = " and ".join(sorted(stated & _MODALITIES))
    return Rejection(
        f"its slices have different modalities ({known})",
        hint="export the series again: headers were edited",
        defect=True,
    )


def reject_kind(header: Header) -> Rejection | None:
    """Leave out localizers, phase images and field maps."""
    if is_localizer(header):
        return Rejection("it is a localizer")
    if component(header) == "FIELD_MAP":
        return Rejection("it is a field map, not an anatomical image")
    if is_direct_map(header) and not (header.ge and header.ge.is_magnitude):
        return Rejection(
            "it is a field map or its magnitude image, and its headers do not state which",
            hint="export the series again with private elements",
            defect=True,
        )
    if header.ge and header.ge.polarity:
        return Rejection(
            "its sequence (epi_pepolar) reverses the phase encoding and stores the reversed volumes upside down",
            hint="convert the series to BIDS with dcm2niix and embed that",
            defect=True,
        )
    if is_phase(header):
        return Rejection("it is a phase image, not a magnitude image")
    return None


def reject_geometry(part: Sequence[Header]) -> Rejection | None:
    """Leave out images without positions or orientations."""
    mosaics = [header.block for header in part if header.block and header.block.is_mosaic]
    n_lost = sum(not header.has_place for header in part)
    if not mosaics and 0 < n_lost < len(part):
        return lacks_positions(n_lost, len(part))
    if not mosaics and n_lost:
        return Rejection("it has no slice positions or orientations, like a screenshot")
    if not all(mosaic.is_described for mosaic in mosaics):
        return Rejection(
            "it is a Siemens mosaic without its private header, which gives the slice direction",
            hint="export or anonymise again and keep the element group (0029,xxxx)",
            defect=True,
        )
    return None


def lacks_positions(n_lost: int, n: int) -> Rejection:
    """Leave out slices without positions in a series that has slices with positions: these are not screenshots."""
    return Rejection(
        f"{n_lost} of its {n} slices have no position or orientation",
        hint="export the series again",
        defect=True,
    )


def choose_volumes(
    volumes: Sequence[Volume], n_acquired: int, options: DicomOptions, diffusion: bool
) -> list[list[Volume]] | Rejection:
    """Volumes to embed, one list per image; the volumes of one list are averaged.

    Of diffusion series, the first volume of the lowest b-value is kept; of diffusion maps, such as the trace, one
    volume per b-value. Other series with several volumes are time series, and so are single volumes of function or
    perfusion (a reference scan, a map of blood flow).

    Args:
        volumes: complete ones, by ascending b-value, then in the order of acquisition.
        n_acquired: number of volumes, including those that lack slices.
        options: what is embedded.
        diffusion: whether any image of the part, including volumes that lack slices, is diffusion-weighted.
    """
    if diffusion:
        firsts = {b_group(volume[0]): volume for volume in reversed(volumes)}
        return [[firsts[b]] for b in sorted(firsts)] if is_diffusion_map(volumes[0][0]) else [[volumes[0]]]
    if options.time_series == "skip":
        return _reject_time_series(volumes[0][0], n_acquired) or [[volumes[0]]]
    if options.time_series == "first":
        return [[volumes[0]]]
    return [list(volumes)]


def _reject_time_series(first: Header, n_acquired: int) -> Rejection | None:
    hint = "use --time-series first or mean to embed it"
    if n_acquired > 1:
        return Rejection(f"it is a time series of {n_acquired} volumes", hint)
    if is_function(first):
        return Rejection("it shows brain function or perfusion", hint)
    return None


def reject_stack(volume: Volume, options: DicomOptions) -> Rejection | None:
    """Leave out stacks with too few, missing or unevenly spaced slices."""
    block = volume[0].block
    n_slices = block.n_slices if block else len(volume)
    if n_slices is not None and n_slices < options.min_slices:
        count = f"{n_slices} {'slice' if n_slices == 1 else 'slices'}"
        return Rejection(
            f"it has {count}, fewer than {options.min_slices}",
            hint=f"use --min-slices {n_slices} to embed it",
        )
    if block or len(volume) == 1:
        return None
    orientation = volume[0].orientation
    ordered = sorted(
        (header.position for header in volume), key=lambda position: depth(position, orientation)
    )
    if defect := spacing_defect(ordered, orientation, options.slice_tolerance):
        return Rejection(defect, hint="export the whole series again", defect=True)
    return None
