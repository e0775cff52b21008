"""Philips images that dcm2niix converted have the values of their DICOM series."""

import json
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dcm2niix import bin as dcm2niix
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from prima_features.encoders.prima.prepare import read_volume
from prima_features.studies.dicom import find_dicom
from prima_features.studies.nifti import find_nifti
from prima_features.studies.study import SidecarScale
from prima_features.volumes import Volume
from prima_features.volumes.display import RESTORED, UNKNOWN, to_display

STORED = np.random.default_rng(0).integers(0, 3000, (6, 20, 24)).astype(np.uint16)


def scale(precise: bool | None, rs: float, ri: float, ss: float, **other: float) -> SidecarScale:
    return SidecarScale("Philips", precise, rs, ri, ss, **other)


@pytest.mark.parametrize(
    ("rs", "ri", "ss"), [(1.23663, 0.0, 0.00813673), (2.0, -100.0, 0.5), (0.7, 3.0, 40.0)]
)
@pytest.mark.parametrize("rewritten", [True, False])
def test_values_of_either_scale_come_out_as_display_values(
    rs: float, ri: float, ss: float, rewritten: bool
) -> None:
    display = STORED * rs + ri
    for precise in (True, False):
        slope, intercept = (1 / ss, ri / (rs * ss)) if precise else (rs, ri)
        values = STORED * slope + intercept
        header = (1.0, 0.0) if rewritten else (slope, intercept)
        found, flags = to_display(values, scale(precise, rs, ri, ss), *header)
        np.testing.assert_allclose(found, display, rtol=1e-6)
        assert flags == (() if np.array_equal(values, display) else (RESTORED,))


def test_the_header_decides_if_the_sidecar_leaves_it_open() -> None:
    rs, ss = 1.5, 0.01
    for precise in (None, False, True):
        for slope in (rs, 1 / ss):
            found, _ = to_display(STORED * slope, scale(precise, rs, 0, ss), slope, 0)
            np.testing.assert_allclose(found, STORED * rs)
    real_world = scale(True, rs, 2.0, ss, real_world_slope=3.0, real_world_intercept=7.0)
    np.testing.assert_allclose(to_display(STORED * 3.0 + 7, real_world, 3.0, 7.0)[0], STORED * rs + 2)


def test_whole_display_values_are_whole_numbers_as_in_dicom() -> None:
    found, _ = to_display(STORED / np.float32(0.3), scale(True, 2.0, 0.0, 0.3))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, 2 * STORED)


@pytest.mark.parametrize(
    ("given", "slope", "top", "flagged"),
    [
        (SidecarScale(), 1.0, 3000, False),
        (SidecarScale(), 1.0, 1, False),
        (SidecarScale(), 1.0, 30, True),
        (SidecarScale(), 122.9, 3000, True),
        (SidecarScale("Siemens"), 1.0, 30, False),
        (SidecarScale("Philips"), 0.02, 30, True),
        (scale(None, 1.2, 0.0, 0.01), 1.0, 3000, True),
    ],
)
def test_a_scale_that_nothing_states_is_flagged(
    given: SidecarScale, slope: float, top: float, flagged: bool
) -> None:
    values = STORED * (top / STORED.max())
    found, flags = to_display(values, given, slope)
    assert flags == ((UNKNOWN,) if flagged else ())
    np.testing.assert_array_equal(found, values)


@pytest.fixture(scope="module")
def philips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Philips series of 24 slices, smooth enough that values can be compared."""
    folder = tmp_path_factory.mktemp("philips")
    y, x = np.mgrid[:64, :64]
    for k in range(24):
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2.3", "1.2.3.4", "MR"
        data.Manufacturer, data.SeriesDescription, data.SeriesNumber = "Philips Medical Systems", "T1w", 3
        data.PatientID, data.InstanceNumber, data.ImageType = "P", k + 1, ["ORIGINAL", "PRIMARY", "M", "FFE"]
        data.Rows = data.Columns = 64
        data.PixelSpacing, data.SliceThickness, data.SpacingBetweenSlices = [3, 3], 5, 5
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-95, -97, 5 * k - 60]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.RescaleSlope, data.RescaleIntercept = "0.2442", "0"
        block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.0123)
        data.PixelData = (2000 + 1500 * np.sin(x / 7 + k) * np.cos(y / 9)).astype("<u2").tobytes()
        data["PixelData"].VR = "OW"
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


def only_volume(found: object) -> Volume:
    ((series,),) = (study.series for study in found.studies)  # type: ignore[attr-defined]
    return read_volume(series)


@pytest.mark.parametrize(("option", "flags"), [("y", (RESTORED,)), ("n", ())])
def test_a_philips_series_equals_what_dcm2niix_makes_of_it(
    tmp_path: Path, philips: Path, option: str, flags: tuple[str, ...]
) -> None:
    command = [dcm2niix, "-z", "n", "-f", "T1w", "-p", option, "-o", str(tmp_path), str(philips)]
    subprocess.run(command, check=True, capture_output=True)
    expected, volume = only_volume(find_dicom(philips)), only_volume(find_nifti(tmp_path / "T1w.nii"))
    np.testing.assert_allclose(volume.values, expected.values, rtol=1e-5, atol=1e-3)
    assert volume.flags == flags
    (tmp_path / "T1w.json").unlink()
    assert UNKNOWN in only_volume(find_nifti(tmp_path / "T1w.nii")).flags


def test_fields_that_are_no_numbers_count_as_missing(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(STORED.transpose(2, 1, 0), np.diag([2, 2, 5, 1])), tmp_path / "a.nii")
    fields = {
        "PhilipsRescaleSlope": "1.2",
        "PhilipsScaleSlope": [1],
        "UsePhilipsFloatNotDisplayScaling": None,
    }
    (tmp_path / "a.json").write_text(json.dumps(fields))
    ((series,),) = (study.series for study in find_nifti(tmp_path / "a.nii").studies)
    assert series.image.scale == SidecarScale()
