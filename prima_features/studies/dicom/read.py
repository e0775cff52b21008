"""Reading one file's headers with pydicom."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.files.safe import UnsafeFileError
from prima_features.studies.dicom import diffusion, frames, kinds, mosaic, values
from prima_features.studies.dicom.bounds import MOST_FRAMES, PIXEL_GROUPS, BoundedFile, read_data_set
from prima_features.studies.dicom.files import Kind, sniff_stream
from prima_features.studies.dicom.geometry import is_orientation
from prima_features.studies.dicom.header import Block, GeImage, Header
from prima_features.studies.dicom.unusable import Unusable
from prima_features.studies.labels import nfc

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.tag import BaseTag

_GE_COMPONENT = diffusion.PrivateElement(0x0043102F, "GEMS_PARM_01")
_GE_SEQUENCE = diffusion.PrivateElement(0x0019109C, "GEMS_ACQU_01")
_GE_POLARITY = diffusion.PrivateElement(0x001910B3, "GEMS_ACQU_01")
_GE_MAP = diffusion.PrivateElement(0x00431030, "GEMS_PARM_01")
_GE_COMPONENTS: dict[float | None, str] = {0: "MAGNITUDE", 1: "PHASE", 2: "REAL", 3: "IMAGINARY"}
_PHILIPS_COMPONENT = diffusion.PrivateElement(0x20051011, "Philips MR Imaging DD 001")
_PHILIPS_COMPONENTS = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}
_NATIVE = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes without compression."""
_DIRECTORY = "1.2.840.10008.1.3.10"
"""MediaStorageSOPClassUID of a DICOMDIR, which lists files and holds no image."""
_TAGS: list[values.Tag] = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDate"),
    *("Modality", "StudyDescription", "SeriesDescription", "ProtocolName", "SeriesNumber", "InstanceNumber"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime", "TriggerTime"),
    *("ImageType", "ComplexImageComponent", "AcquisitionContrast", "ScanningSequence", "SequenceName"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "Manufacturer"),
    *("ImageOrientationPatient", "ImagePositionPatient", "EchoTime", "EchoNumbers", "FrameOfReferenceUID"),
    *("PatientName", "PatientBirthDate", "PatientSex", "SliceThickness", "SpacingBetweenSlices"),
    *("RepetitionTime", "InversionTime", "FlipAngle", "AcquisitionDateTime", "RescaleType", "BitsAllocated"),
    *_PHILIPS_COMPONENT.tags,
    *(*_GE_COMPONENT.tags, *_GE_MAP.tags, *_GE_SEQUENCE.tags, *_GE_POLARITY.tags),
    *(*diffusion.TAGS, *frames.TAGS, *mosaic.TAGS),
]
"""Elements that are read. Nothing else of a file is looked at."""


def read_headers(file: Path) -> list[Header] | Unusable:
    """Headers of a file: one of a slice, several of a file of several frames."""
    try:
        with BoundedFile(
            file
        ) as stream:  # once: to open a file on a network disk takes longer than to read it
            data = _read(stream, sniff_stream(stream))
            # Where pydicom stopped: the group of the pixel data, little-endian or big-endian, or the end of the file.
            is_whole = stream.is_deflated or stream.read(2) in PIXEL_GROUPS
            n_bytes = os.fstat(stream.fileno()).st_size - stream.tell()
            if stream.is_deflated:  # reading it says more
                n_bytes = 1 << 62
    except OSError:
        return Unusable.UNREADABLE
    if isinstance(data, Unusable):
        return data
    if values.text(data.file_meta, "MediaStorageSOPClassUID") == _DIRECTORY:
        return Unusable.DIRECTORY
    header = _header(file, data)
    if not _has_pixels(header, data, is_whole, n_bytes):
        header = replace(header, has_pixels=False)
    return _slices(header, data) if header.study_uid and header.series_uid else Unusable.NO_UIDS


def _has_pixels(header: Header, data: "FileDataset", is_whole: bool, n_bytes: int) -> bool:
    # Of compressed files, and of those of one frame, reading the series says more.
    if not is_whole or header.n_frames == 1:
        return is_whole
    if values.text(data.file_meta, "TransferSyntaxUID") not in _NATIVE:
        return True
    bits = max(values.whole(data, "BitsAllocated") or 8, 8)
    return header.n_frames * header.rows * header.columns * bits // 8 <= n_bytes


def _read(stream: BoundedFile, kind: Kind) -> "FileDataset | Unusable":
    if kind in (Kind.GZIPPED, Kind.OTHER):
        return Unusable.GZIPPED if kind is Kind.GZIPPED else Unusable.NOT_DICOM
    try:
        data, _ = read_data_set(stream, _tags(), force=kind is Kind.BARE)
        frames_declared = values.whole(data, "NumberOfFrames") or 1
        return data if frames_declared <= MOST_FRAMES else Unusable.OUT_OF_BOUNDS
    except UnsafeFileError:
        return Unusable.OUT_OF_BOUNDS
    except values.malformed():
        return Unusable.DAMAGED


@cache
def _tags() -> "list[BaseTag]":
    return [values.base_tag(tag) for tag in _TAGS]


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning of odd values: it quotes them, and they can name the patient."""
    from pydicom import config

    logger = logging.getLogger("pydicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _slices(header: Header, data: "Dataset") -> list[Header]:
    if block := mosaic.read_mosaic(data, header.image_type, header.file):
        return [replace(header, block=block)]
    if found := frames.read_frames(header, data):
        return found
    return [replace(header, block=Block(header.n_frames)) if header.n_frames > 1 else header]


def _header(file: Path, data: "Dataset") -> Header:
    def text(tag: values.Tag) -> str:
        return values.text(data, tag)

    def whole(tag: values.Tag) -> int | None:
        return values.whole(data, tag)

    orientation = values.numbers(data, "ImageOrientationPatient", 6)
    return Header(
        file=file,
        sop_class=text("SOPClassUID"),
        sop_uid=text("SOPInstanceUID"),
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        patient_id=nfc(text("PatientID")),  # one name may be composed or decomposed
        patient_name=text("PatientName"),
        birth_date=text("PatientBirthDate"),
        sex=text("PatientSex"),
        study_date=text("StudyDate"),
        frame_of_reference=text("FrameOfReferenceUID"),
        modality=text("Modality").upper(),
        study_description=text("StudyDescription"),
        description=text("SeriesDescription"),
        protocol=text("ProtocolName"),
        series_number=whole("SeriesNumber"),
        instance_number=whole("InstanceNumber"),
        acquisition=whole("AcquisitionNumber"),
        temporal_position=whole("TemporalPositionIdentifier"),
        time=" ".join(map(text, ("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "TriggerTime"))),
        image_type=values.words(data, "ImageType"),
        component=_component(data),
        contrast=text("AcquisitionContrast").upper(),
        sequence=f"{text('ScanningSequence')} {text('SequenceName')}",
        rows=whole("Rows") or 0,
        columns=whole("Columns") or 0,
        is_colour=(whole("SamplesPerPixel") or 1) > 1 or text("PhotometricInterpretation") == "PALETTE COLOR",
        n_frames=whole("NumberOfFrames") or 1,
        pixel_spacing=values.numbers(data, "PixelSpacing", 2),
        thickness=values.number(data, "SliceThickness"),
        slice_spacing=values.number(data, "SpacingBetweenSlices"),
        orientation=orientation if is_orientation(orientation) else (),
        position=values.numbers(data, "ImagePositionPatient", 3),
        echo_time=values.number(data, "EchoTime"),
        echo_number=whole("EchoNumbers"),
        repetition_time=values.number(data, "RepetitionTime"),
        inversion_time=values.number(data, "InversionTime"),
        flip_angle=values.number(data, "FlipAngle"),
        b_value=diffusion.b_value(data),
        ge=_ge_image(data),
    )


def _component(data: "Dataset") -> str:
    """Part of a complex image by any element that says so; what is no magnitude counts where they disagree."""
    return kinds.least_magnitude(
        values.text(data, "ComplexImageComponent").upper(),
        _GE_COMPONENTS.get(_GE_COMPONENT.number(data), ""),
        _PHILIPS_COMPONENTS.get(_PHILIPS_COMPONENT.text(data).upper(), ""),
        kinds.component_of_unit(values.text(data, "RescaleType")),
    )


def _ge_image(data: "Dataset") -> GeImage | None:
    manufacturer = values.text(data, "Manufacturer").upper()
    if manufacturer and not manufacturer.startswith("GE"):
        return None
    pulse_sequence = _GE_SEQUENCE.text(data).lower()
    flag = _GE_MAP.number(data)
    if not pulse_sequence and flag is None:
        return None
    polarity = _GE_POLARITY.number(data) if "epi_pepolar" in pulse_sequence else None
    is_magnitude = {0: False, 2: True}.get(-1 if flag is None else int(flag))
    return GeImage(pulse_sequence, is_magnitude, None if polarity is None else int(polarity))
