"""What is left out for what its headers say it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.kinds import component, is_direct_map, is_localizer, is_phase


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
"""Starts of the SOPClassUIDs (PS3.4 annex B.5) of what lies in a study beside images, longest first."""

_IMAGES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128")
"""The same of images that may be embedded: CT, MR, PET."""

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
    """Leave out what is no grey image of the modality asked for."""
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
    """Headers with the modality asked for where it is missing, if other slices state that and no other."""
    stated = {header.modality for header in series if header.orientation} - {""}
    if stated != {modality.upper()}:
        return list(series)
    return [
        header if header.modality or not header.orientation else replace(header, modality=modality.upper())
        for header in series
    ]


def reject_modalities(series: Sequence[Header], modality: str) -> Rejection | None:
    """Why slices of several modalities are not embedded: a series has one (PS3.3 C.7.3.1), and a volume all of its
    slices."""
    slices = [header for header in series if header.orientation and header.position and header.rows]
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
    """Leave out images that do not say where they lie."""
    mosaics = [header.block for header in part if header.block and header.block.is_mosaic]
    n_lost = sum(not (header.orientation and header.position) for header in part)
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
    """Of a series of which some slices say where they lie: the others are lost, and are no screenshots."""
    return Rejection(
        f"{n_lost} of its {n} slices have no position or orientation",
        hint="export the series again",
        defect=True,
    )
