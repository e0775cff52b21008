"""One study as classic DICOM, one file per slice (PS3.3 section A.4, MR Image)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from prima_features.synthetic.output.header import image_orientation, image_type
from prima_features.synthetic.protocol import Settings
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.render import Rendered
from prima_features.synthetic.subject import Subject

_ROOT = "1.2.826.0.1.3680043.10.1561."
"""Prefix of the UIDs; what follows is a hash of seed, subject, series and slice."""
_FIRST_DAY = date(2021, 1, 4)


def patient_id(subject: Subject) -> str:
    """Such as `SYN3-0007`."""
    return f"SYN{subject.seed}-{subject.id}"


def study_uid(subject: Subject, settings: Settings = "usual", session: str = "") -> str:
    """The same each time a study is written."""
    return _uid(subject, "study", settings, *_named(session))


def study_day(subject: Subject, days: int = 0) -> date:
    """Date of the study that is some days after the subject's first one."""
    first = int(generator(subject.seed, subject.index, "day").integers(1400))
    return _FIRST_DAY + timedelta(days=first + days)


def write_dicom(
    folder: Path,
    subject: Subject,
    series: Sequence[Rendered],
    settings: Settings = "usual",
    session: str = "",
    days: int = 0,
) -> None:
    """Write a study's series, each into a folder of its own.

    Args:
        folder: of the cohort.
        subject: at the visit.
        series: of the study.
        settings: name of the scanner settings.
        session: label of the visit, such as `ses-01`; empty if there is one visit.
        days: since the first visit.
    """
    day = study_day(subject, days)
    for rendered in series:
        scan = rendered.scan
        place = folder.joinpath(patient_id(subject), *_named(session), f"{scan.number:03d}_{scan.sequence}")
        place.mkdir(parents=True)
        data = _series(subject, rendered, day, settings, session)
        for index in range(scan.n_slices):
            _write_slice(data, rendered, index, place / f"{index + 1:04d}.dcm")


def _uid(subject: Subject, *parts: object) -> str:
    return generate_uid(_ROOT, entropy_srcs=[str(part) for part in (subject.seed, subject.index, *parts)])


def _named(session: str) -> tuple[str, ...]:
    return (session,) if session else ()


def _series(subject: Subject, rendered: Rendered, day: date, settings: Settings, session: str) -> FileDataset:
    """What all slices share."""
    scan = rendered.scan
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    contrast = scan.contrast_dose > 0
    fields: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": image_type(scan),
        "SOPClassUID": MRImageStorage,
        "StudyDate": day.strftime("%Y%m%d"),
        "SeriesDate": day.strftime("%Y%m%d"),
        "StudyTime": "100000",
        "AcquisitionTime": f"10{scan.number:02d}00",
        "AccessionNumber": "",
        "Modality": "MR",
        "Manufacturer": scan.manufacturer,
        "ManufacturerModelName": scan.model,
        "InstitutionName": f"synthetic {subject.site}",
        "ReferringPhysicianName": "",
        "StudyDescription": "MRI BRAIN",
        "SeriesDescription": scan.description,
        "PatientName": f"Synthetic^Brain {subject.id}",
        "PatientID": patient_id(subject),
        "PatientBirthDate": (day - timedelta(days=round(subject.age * 365.25))).strftime("%Y%m%d"),
        "PatientSex": subject.sex,
        "PatientAge": f"{int(subject.age):03d}Y",
        "BodyPartExamined": "BRAIN",
        "ScanningSequence": "EP" if scan.b_value else "GR" if scan.three_d else "SE",
        "SequenceVariant": "SP" if scan.three_d else "SK",
        "MRAcquisitionType": "3D" if scan.three_d else "2D",
        "SliceThickness": _number(scan.thickness),
        "RepetitionTime": _number(scan.tr),
        "EchoTime": _number(scan.te),
        "InversionTime": _number(scan.ti) if scan.ti else None,
        "MagneticFieldStrength": _number(scan.field_strength),
        "SpacingBetweenSlices": _number(scan.slice_distance),
        "ProtocolName": scan.protocol,
        "ContrastBolusAgent": "GADOLINIUM" if contrast else None,
        "DiffusionBValue": scan.b_value or None,
        "PatientPosition": "HFS",
        "StudyInstanceUID": study_uid(subject, settings, session),
        "SeriesInstanceUID": _uid(subject, "series", scan, *_named(session)),
        "FrameOfReferenceUID": _uid(subject, "frame", settings, *_named(session)),
        "PositionReferenceIndicator": "",
        "StudyID": "1",
        "SeriesNumber": scan.number,
        "ImageOrientationPatient": [_number(v) for v in image_orientation(rendered.affine)],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": scan.matrix[1],
        "Columns": scan.matrix[0],
        "PixelSpacing": [_number(scan.spacing[1]), _number(scan.spacing[0])],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
    }
    _set(data, {name: value for name, value in fields.items() if value is not None})
    return data


def _set(data: Dataset, fields: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names of series with signs that vendors use and DICOM does not
        for name, value in fields.items():
            setattr(data, name, value)


def _write_slice(data: FileDataset, rendered: Rendered, index: int, path: Path) -> None:
    uid = UID(f"{data.SeriesInstanceUID[:56]}.{index + 1}")
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
    data.InstanceNumber = index + 1
    place = np.diag([-1.0, -1.0, 1.0]) @ (rendered.affine @ [0, 0, index, 1])[:3]
    data.ImagePositionPatient = [_number(v) for v in place]
    data.PixelData = np.ascontiguousarray(rendered.volume[:, :, index].T).astype("<i2").tobytes()
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)


def _number(value: float) -> str:
    """A decimal string of at most 16 characters."""
    return f"{value + 0.0:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e7 else f"{value:.8g}"
