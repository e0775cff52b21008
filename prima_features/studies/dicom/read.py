"""Reading the headers of one file with pydicom: records of its slices, or why there are none."""

import dataclasses
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prima_features.files.disk import check_disk
from prima_features.files.safe import UnsafeFileError
from prima_features.studies.dicom import frames, kinds, values
from prima_features.studies.dicom.bounds import MOST_FRAMES, PIXEL_GROUPS, BoundedFile, read_data_set
from prima_features.studies.dicom.header import Block, GeImage, Header, is_orientation
from prima_features.studies.dicom.regular import MOSAICS, read_reduced, reduce_header
from prima_features.studies.dicom.values import PrivateElement
from prima_features.studies.files import DicomKind, is_dicom, sniff_stream
from prima_features.studies.labels import nfc

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

NATIVE = frozenset(("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"))
"""Transfer syntaxes without compression. Files without a meta header have none."""
_DIRECTORY = "1.2.840.10008.1.3.10"
"""MediaStorageSOPClassUID of a DICOMDIR, which lists files and contains no image."""

_GE_COMPONENT = PrivateElement(0x0043102F, "GEMS_PARM_01")
_GE_SEQUENCE = PrivateElement(0x0019109C, "GEMS_ACQU_01")
_GE_POLARITY = PrivateElement(0x001910B3, "GEMS_ACQU_01")
_GE_MAP = PrivateElement(0x00431030, "GEMS_PARM_01")
_GE_COMPONENTS: dict[float | None, str] = {0: "MAGNITUDE", 1: "PHASE", 2: "REAL", 3: "IMAGINARY"}
_PHILIPS_COMPONENT = PrivateElement(0x20051011, "Philips MR Imaging DD 001")
_MOSAICS = {
    MOSAICS[0]: PrivateElement(0x0019100A, "SIEMENS MR HEADER"),
    MOSAICS[1]: PrivateElement(0x00651050, "Image Private Header"),
}
"""Element with the number of slices in a mosaic, by the word of ImageType for it. (A mosaic is one file with a volume,
its slices laid out as tiles of one image.)"""
_CSA = PrivateElement(0x00291010, "SIEMENS CSA HEADER")
"""Siemens' image header. Only it states whether the slices run along or against the normal."""
_PRIVATE = (_PHILIPS_COMPONENT, _GE_COMPONENT, _GE_MAP, _GE_SEQUENCE, _GE_POLARITY, *_MOSAICS.values())
_TAGS: tuple[values.Tag, ...] = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDate"),
    *("Modality", "StudyDescription", "SeriesDescription", "ProtocolName", "SeriesNumber", "InstanceNumber"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime", "TriggerTime"),
    *("ImageType", "ComplexImageComponent", "AcquisitionContrast", "ScanningSequence", "SequenceName"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "Manufacturer"),
    *("ImageOrientationPatient", "ImagePositionPatient", "EchoTime", "EchoNumbers", "FrameOfReferenceUID"),
    *("PatientName", "PatientBirthDate", "PatientSex", "SliceThickness", "SpacingBetweenSlices"),
    *("RepetitionTime", "InversionTime", "FlipAngle", "AcquisitionDateTime", "RescaleType", "BitsAllocated"),
    *(tag for element in _PRIVATE for tag in element.tags),
    *values.B_VALUE_TAGS,
    *frames.TAGS,
)
"""Elements that are read. No other element of a file is used."""
_TIMES = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "TriggerTime")
_OWN = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", *_TIMES)
"""Elements that differ between the slices of a series."""
_SERIES_KEPT = 4096
"""Different headers, apart from `_OWN`, that are kept in memory."""


class Unusable(Enum):
    """Why a file gives no header: (name of one file, name of several, reason, hint, whether it is a defect)."""

    NOT_DICOM = ("file that is not DICOM", "files that are not DICOM", "the source is read as DICOM", "")
    OTHER_FORMAT = (
        "image or archive in another format",
        "images and archives in other formats",
        "it has another format, and the source is read as DICOM",
        "embed it separately",
    )
    GZIPPED = (
        "gzip-compressed DICOM file",
        "gzip-compressed DICOM files",
        "compressed files are not opened",
        "unpack with gunzip",
        True,
    )
    UNREADABLE = (
        "file or folder that cannot be opened",
        "files or folders that cannot be opened",
        "permission denied, or a broken link",
        "check permissions and links",
        True,
    )
    DAMAGED = (
        "damaged DICOM file",
        "damaged DICOM files",
        "the header cannot be read",
        "copy or export again",
        True,
    )
    OUT_OF_BOUNDS = (
        "DICOM file with an implausible header",
        "DICOM files with an implausible header",
        "the header is larger or more deeply nested than in any scan",
        "leave it out, or export again",
        True,
    )
    NO_UIDS = (
        "DICOM file without UIDs",
        "DICOM files without UIDs",
        "a StudyInstanceUID and a SeriesInstanceUID are needed to distinguish series",
        "anonymise with a tool that replaces UIDs instead of removing them",
        True,
    )
    DIRECTORY = ("DICOMDIR", "DICOMDIRs", "it lists files and contains no image", "")

    def __init__(self, one: str, many: str, reason: str, hint: str, is_defect: bool = False):
        self.one = one
        self.many = many
        self.reason = reason
        self.hint = hint
        self.is_defect = is_defect


def read_headers(file: Path) -> list[Header] | Unusable:
    """Headers of a file: one of a slice, several of a multi-frame file; or why there are none."""
    try:
        with BoundedFile(file) as stream:  # opened once: on a network disk that takes longer than reading
            if (regular := _read_regular(file, stream)) is not None:
                return regular
            data = _read(stream, sniff_stream(stream))
            # Where pydicom stopped: the group of the pixel data, little-endian or big-endian, or the end of the file.
            is_whole = stream.is_deflated or stream.read(2) in PIXEL_GROUPS
            n_bytes = os.fstat(stream.fileno()).st_size - stream.tell()
            if stream.is_deflated:  # only reading the pixels shows whether they are complete
                n_bytes = 1 << 62
    except OSError:
        return Unusable.UNREADABLE
    if isinstance(data, Unusable):
        return data
    if values.text(data.file_meta, "MediaStorageSOPClassUID") == _DIRECTORY:
        return Unusable.DIRECTORY
    header = _header(file, data)
    if not _has_pixels(header, data, is_whole, n_bytes):
        header = dataclasses.replace(header, has_pixels=False)
    return _slices(header, data) if header.study_uid and header.series_uid else Unusable.NO_UIDS


def _read_regular(file: Path, stream: BoundedFile) -> list[Header] | Unusable | None:
    """As `read_headers`, for a regular file of one slice; None for any other file."""
    reduced = reduce_header(stream, _TAGS, _OWN)
    shared = None if reduced is None else _read_shared(reduced.shared)
    if reduced is None or shared is None:
        return None
    fields, encodings = shared
    if not (fields["study_uid"] and fields["series_uid"]):
        return Unusable.NO_UIDS
    uid, instance, position, *times = (reduced.own.get(tag) for tag in values.base_tags(_OWN))
    own: dict[str, Any] = {
        "file": file,
        "sop_uid": uid.text(encodings) if uid else "",
        "instance_number": next(map(int, instance.numbers(1, encodings)), None) if instance else None,
        "position": position.numbers(3, encodings) if position else (),
        "time": " ".join([time.text(encodings) if time else "" for time in times]),
    }
    return [Header(**fields | own)]


@lru_cache(maxsize=_SERIES_KEPT)
def _read_shared(content: bytes) -> tuple[dict[str, Any], values.Encodings] | None:
    """Fields of the header of a reduced file, and its character sets; None if pydicom cannot read it."""
    try:
        data = read_reduced(content, _TAGS)
        header = _header(Path(), data)
    except values.malformed():
        return None
    return {
        field.name: getattr(header, field.name) for field in dataclasses.fields(header)
    }, values.encodings(data)


def is_dicomdir(file: Path) -> bool:
    """Whether a file is the directory of a DICOM disc (PS3.10 section 8), by its name or its class."""
    if not is_dicom(file):
        return False
    with quiet_pydicom():
        return file.name.upper() == "DICOMDIR" or read_headers(file) is Unusable.DIRECTORY


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning about odd values: the warnings quote them, and they can name the patient."""
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


def _read(stream: BoundedFile, kind: DicomKind) -> "FileDataset | Unusable":
    if kind in (DicomKind.GZIPPED, DicomKind.OTHER):
        return Unusable.GZIPPED if kind is DicomKind.GZIPPED else Unusable.NOT_DICOM
    try:
        data, _ = read_data_set(stream, _TAGS, force=kind is DicomKind.BARE)
        frames_declared = values.whole(data, "NumberOfFrames") or 1
        return data if frames_declared <= MOST_FRAMES else Unusable.OUT_OF_BOUNDS
    except UnsafeFileError:
        return Unusable.OUT_OF_BOUNDS
    except values.malformed():
        return Unusable.DAMAGED


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
        time=" ".join(map(text, _TIMES)),
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
        b_value=values.b_value(data),
        ge=_ge_image(data),
    )


def _has_pixels(header: Header, data: "FileDataset", is_whole: bool, n_bytes: int) -> bool:
    # Compressed files and those of one frame are checked when the series is read.
    if not is_whole or header.n_frames == 1:
        return is_whole
    if values.text(data.file_meta, "TransferSyntaxUID") not in NATIVE:
        return True
    bits = max(values.whole(data, "BitsAllocated") or 8, 8)
    return header.n_frames * header.rows * header.columns * bits // 8 <= n_bytes


def _slices(header: Header, data: "Dataset") -> list[Header]:
    if block := _mosaic(data, header.image_type, header.file):
        return [dataclasses.replace(header, block=block)]
    if found := frames.read_frames(header, data):
        return found
    return [dataclasses.replace(header, block=Block(header.n_frames)) if header.n_frames > 1 else header]


def _mosaic(data: "Dataset", image_type: tuple[str, ...], file: Path) -> Block | None:
    """The volume in a mosaic, or None if the file is not a mosaic."""
    for kind, element in _MOSAICS.items():
        if kind in image_type:
            number = element.number(data)
            return Block(
                n_slices=None if number is None else int(number),
                is_mosaic=True,
                is_described=kind != "MOSAIC" or _has_csa_header(file),
            )
    return None


def _has_csa_header(file: Path) -> bool:
    """Reads the file once more: the header is long, and not needed for other images."""
    import pydicom

    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_CSA.tags), force=True)
        return _CSA.has_value(data)
    except values.malformed() as error:
        check_disk(error, (file,))
        return False


def _component(data: "Dataset") -> str:
    """Component of a complex image, by any element but ImageType."""
    return kinds.least_magnitude(
        values.text(data, "ComplexImageComponent").upper(),
        _GE_COMPONENTS.get(_GE_COMPONENT.number(data), ""),
        kinds.COMPONENTS.get(_PHILIPS_COMPONENT.text(data).upper(), ""),
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
