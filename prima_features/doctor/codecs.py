"""Compressed DICOM: a known picture is decoded the way that scans are read."""

from __future__ import annotations

import base64
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.doctor.check import Check, Setup, failed, passed

if TYPE_CHECKING:
    import SimpleITK as sitk

ROWS, COLUMNS = np.mgrid[:16, :16]
PICTURE = (16 * ROWS * COLUMNS + ROWS + COLUMNS).astype(np.uint16)
"""(16, 16), 0 to 3630: what the frames in codecs.toml show."""
_N_SLICES = 6
_REINSTALL_SITK = (
    "run pip install --force-reinstall SimpleITK, or decompress the scans first (dcmdjpeg, gdcmconv)"
)
_REINSTALL_DCM2NIIX = "run pip install --force-reinstall dcm2niix"


def codecs(setup: Setup) -> Iterator[Check]:
    """Each compression through SimpleITK, as classic slices are read."""
    from prima_features.errors import SeriesError
    from prima_features.studies.study import DicomSlices
    from prima_features.volumes.dicom import read_slices, temporary_folder

    for codec, frame in frames().items():
        name = f"codec {codec}"
        with temporary_folder() as folder:
            file = write_slice(folder / "slice.dcm", *frame)
            try:
                values = _values(read_slices(DicomSlices(((file,),))))
            except SeriesError as error:
                yield failed(name, str(error), _REINSTALL_SITK)
                continue
        if np.array_equal(values, PICTURE[None]):
            yield passed(name, "SimpleITK restores the original voxels")
        else:
            yield failed(name, "SimpleITK does not restore the original voxels", _REINSTALL_SITK)


def dcm2niix(setup: Setup) -> Iterator[Check]:
    """dcm2niix, which unpacks mosaics, on a compressed series."""
    from dcm2niix import bin as program

    from prima_features.errors import SeriesError
    from prima_features.studies.study import DicomFrames, NiftiImage
    from prima_features.volumes.dicom import temporary_folder, unpack_frames
    from prima_features.volumes.nifti import read_nifti

    version_output = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    version = (
        version_output.stdout.strip().splitlines()[-1] if version_output.stdout.strip() else "unknown version"
    )
    with temporary_folder() as folder:
        slices = [write_slice(folder / f"{i}.dcm", *frames()["JPEG 2000"], i) for i in range(_N_SLICES)]
        try:
            values = _values(read_nifti(NiftiImage(unpack_frames(DicomFrames(tuple(slices)), folder))).image)
        except SeriesError as error:
            yield failed("dcm2niix", f"{version}: {error}", _REINSTALL_DCM2NIIX)
            return
    if np.array_equal(np.sort(values.ravel()), np.sort(np.tile(PICTURE.ravel(), _N_SLICES))):
        yield passed("dcm2niix", f"{version}: it converts a compressed series correctly")
    else:
        yield failed("dcm2niix", f"{version}: it changes the voxels it converts", _REINSTALL_DCM2NIIX)


def frames() -> dict[str, tuple[str, bytes]]:
    """Transfer syntax UID and compressed frame of each codec."""
    listed = tomllib.loads(files(__package__).joinpath("codecs.toml").read_text(encoding="utf-8"))
    return {
        codec: (entry["transfer_syntax"], base64.b64decode(entry["frame"])) for codec, entry in listed.items()
    }


def write_slice(path: Path, transfer_syntax: str, frame: bytes, index: int = 0) -> Path:
    """Write one slice of a synthetic MR series."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, MRImageStorage

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.1.1.{index + 1}")
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.1", "1.2.1.1"
    data.Modality, data.SeriesNumber, data.InstanceNumber = "MR", 1, index + 1
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3 * index]
    data.PixelSpacing, data.SliceThickness = [1, 1], 3
    data.Rows, data.Columns = PICTURE.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelData = encapsulate([frame])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)
    return path


def _values(image: sitk.Image) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image)
