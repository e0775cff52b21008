"""Writing small DICOM files of every kind, for the finder to find."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
AXIAL = [1, 0, 0, 0, 1, 0]
SAGITTAL = [0, 1, 0, 0, 0, -1]
CORONAL = [1, 0, 0, 0, 0, -1]
STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
SERIES_UID = "1.2.826.0.1.3680043.8.498.2"

Private = tuple[int, str, int, str, object]
"""Group, private creator, element, VR, value."""


def make_slice(value: int = 100, private: Sequence[Private] = (), **elements: object) -> Dataset:
    """A data set of one axial 8 x 8 slice; `elements` replace its own, None removes one."""
    data = Dataset()
    own = {
        "SOPClassUID": MR_IMAGE,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": SERIES_UID,
        "Modality": "MR",
        "PatientID": "MRN-4711",
        "PatientName": "Doe^Jane",
        "SeriesNumber": 7,
        "SeriesDescription": "AX FLAIR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "InstanceNumber": 1,
        "ImageOrientationPatient": AXIAL,
        "ImagePositionPatient": [0, 0, 0],
        "Rows": 8,
        "Columns": 8,
        "PixelSpacing": [1, 1],
        "SliceThickness": 3,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    } | elements
    for keyword, element in own.items():
        if element is not None:
            setattr(data, keyword, element)
    for group, creator, offset, vr, element in private:
        data.private_block(group, creator, create=True).add_new(offset, vr, element)
    if own["Rows"] is not None and "PixelData" not in elements:
        data.PixelData = np.full((data.Rows, data.Columns, data.SamplesPerPixel), value, np.uint16).tobytes()
        data["PixelData"].VR = "OW"
    return data


def write(path: Path, data: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = transfer_syntax
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def write_slice() -> Callable[..., Path]:
    """Writes one slice: `write_slice(path, value, private, SeriesNumber=3, ...)`."""

    def write_one(
        path: Path, *args: object, transfer_syntax: str = ExplicitVRLittleEndian, **elements: object
    ) -> Path:
        return write(path, make_slice(*args, **elements), transfer_syntax)

    return write_one


@pytest.fixture
def write_stack() -> Callable[..., list[Path]]:
    """Writes `count` slices 3 mm apart from the feet up, numbered from `first`; None removes an element."""

    def write_all(folder: Path, count: int = 6, first: int = 1, **elements: object) -> list[Path]:
        start = len(list(folder.glob("*"))) if folder.exists() else 0
        return [
            write(
                folder / f"IM{start + i:04d}",
                make_slice(
                    **{"value": 100 + i, "InstanceNumber": first + i, "ImagePositionPatient": [0, 0, 3 * i]}
                    | elements
                ),
            )
            for i in range(count)
        ]

    return write_all
