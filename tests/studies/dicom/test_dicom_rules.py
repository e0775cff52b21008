"""What is left out for what its headers say it is, each with a reason a radiographer would give."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.dicom.rules import TimeSeries

WriteStack = Callable[..., list[Path]]

GE = {"Manufacturer": "GE MEDICAL SYSTEMS", "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]}

LEFT_OUT: dict[str, tuple[dict[str, object], str]] = {
    "CT": ({"Modality": "CT"}, "its modality is CT, not MR"),
    "report": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22", "Modality": "SR", "Rows": None},
        "it is a structured report, not an image",
    ),
    "presentation state": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1", "Modality": "PR", "Rows": None},
        "it is a presentation state, not an image",
    ),
    "segmentation": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"},
        "it is a segmentation, not an image",
    ),
    "segmentation marked MR": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
        "it is a segmentation, not an image",
    ),
    "PDF": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "DOC", "Rows": None},
        "it is an encapsulated document, not an image",
    ),
    "spectrum": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2", "Rows": None},
        "it is a spectrum, not an image",
    ),
    "no picture": ({"Rows": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "it contains no image"),
    "colour": (
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        "its images are in colour",
    ),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "its images are in colour"),
    "localizer by type": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "it is a localizer"),
    "localizer by name": ({"SeriesDescription": "3-plane loc"}, "it is a localizer"),
    "scout by name": ({"SeriesDescription": "AAHead_Scout_32ch"}, "it is a localizer"),
    "survey by name": ({"SeriesDescription": "Survey_SHC"}, "it is a localizer"),
    "phase by type": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        "it is a phase image, not a magnitude image",
    ),
    "Philips phase": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]},
        "it is a phase image, not a magnitude image",
    ),
    "phase by component": ({"ComplexImageComponent": "PHASE"}, "it is a phase image, not a magnitude image"),
    "Philips weighted phase": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "SW_P_FFE", "SW_P", "FFE"]},
        "it is a phase image, not a magnitude image",
    ),
    "Philips imaginary": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "I_FFE", "I", "FFE"]},
        "it is a phase image, not a magnitude image",
    ),
    "Philips field map": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "B0 MAP", "B0", "UNSPECIFIED"]},
        "it is a field map, not an anatomical image",
    ),
    "Philips field map as real part": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "T1", "FIELD_MAP"], "ComplexImageComponent": "REAL"},
        "it is a field map, not an anatomical image",
    ),
    "GE field map": (
        {"SeriesDescription": "B0map", **GE, "private": [(0x0043, "GEMS_PARM_01", 0x30, "SS", 0)]},
        "it is a field map, not an anatomical image",
    ),
    "GE phase": (
        {"private": [(0x0043, "GEMS_PARM_01", 0x2F, "SS", 1)]},
        "it is a phase image, not a magnitude image",
    ),
    "Philips phase by its private element": (
        {
            "private": [(0x2005, "Philips MR Imaging DD 001", 0x11, "CS", "P")],
            "ImageType": ["ORIGINAL", "PRIMARY"],
        },
        "it is a phase image, not a magnitude image",
    ),
    "phase by its unit": ({"RescaleType": "milliradials"}, "it is a phase image, not a magnitude image"),
    "velocity by its unit": ({"RescaleType": "cm/s"}, "it is a phase image, not a magnitude image"),
    "field map by its unit": ({"RescaleType": "Hz"}, "it is a field map, not an anatomical image"),
    "BOLD by name": ({"SeriesDescription": "rest_BOLD_SBRef"}, "it shows brain function or perfusion"),
    "perfusion map": (
        {"ImageType": ["DERIVED", "PRIMARY", "ASL", "RCBF"]},
        "it shows brain function or perfusion",
    ),
    "screenshots": (
        {"ImagePositionPatient": None, "ImageOrientationPatient": None},
        "it has no slice positions or orientations, like a screenshot",
    ),
    "zeroed orientation": (
        {"ImageOrientationPatient": [0] * 6},
        "it has no slice positions or orientations, like a screenshot",
    ),
}

STAY: dict[str, dict[str, object]] = {
    "ADC": {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], "SeriesDescription": "dADC map"},
    "trace": {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]},
    "b1000 alone": {"DiffusionBValue": 1000.0, "SeriesDescription": "ep2d_diff_b1000"},
    "real part": {"ComplexImageComponent": "REAL", "ImageType": ["ORIGINAL", "PRIMARY", "R", "IR"]},
    "examination named for perfusion": {"ProtocolName": "Brain with perfusion and fMRI, 3 plane loc"},
    "location in a word": {"SeriesDescription": "AX T2 BLOCK"},
    "reformat": {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    "Philips weighted magnitude": {"ImageType": ["ORIGINAL", "PRIMARY", "SW_M_FFE", "SW_M", "FFE"]},
    "GE magnitude of a field map": {
        **GE,
        "SeriesDescription": "B0map",
        "private": [(0x0043, "GEMS_PARM_01", 0x30, "SS", 2)],
    },
    "GE with the mark of field maps": {**GE, "private": [(0x0043, "GEMS_PARM_01", 0x30, "SS", 0)]},
    "values without a unit": {"RescaleType": "US"},
    "ADC by its unit": {"RescaleType": "mm2/s"},
    "magnitude by GE": {"private": [(0x0043, "GEMS_PARM_01", 0x2F, "SS", 0)]},
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_is_no_anatomy_is_left_out_with_its_reason(
    tmp_path: Path, write_stack: WriteStack, case: str
) -> None:
    elements, reason = LEFT_OUT[case]
    write_stack(tmp_path, 6, **elements)
    found = find_dicom(tmp_path)
    assert not found.studies
    assert [item.error for item in found.left_out] == [reason]
    assert not found.left_out[0].defect


@pytest.mark.parametrize("case", STAY)
def test_what_shows_anatomy_or_diffusion_stays(tmp_path: Path, write_stack: WriteStack, case: str) -> None:
    write_stack(tmp_path, 6, **STAY[case])
    found = find_dicom(tmp_path)
    assert [len(study.series) for study in found.studies] == [1]
    assert not found.left_out


def test_slices_in_three_planes_are_a_localizer(tmp_path: Path, write_stack: WriteStack) -> None:
    for axis, orientation in enumerate(([0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [1, 0, 0, 0, 1, 0])):
        for i in range(5):
            position = np.eye(3)[axis] * 5.0 * i
            write_stack(
                tmp_path, 1, ImageOrientationPatient=orientation, ImagePositionPatient=position.tolist()
            )
    found = find_dicom(tmp_path)
    assert not found.studies
    assert [item.error for item in found.left_out] == [
        "its slices have three or more orientations, like a localizer"
    ]


def test_stacks_of_few_slices_are_left_out_unless_asked_for(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 4)
    (left_out,) = find_dicom(tmp_path).left_out
    assert left_out.error == "it has 4 slices, fewer than 5"
    assert left_out.hint == "use --min-slices 4 to embed it"
    assert find_dicom(tmp_path, DicomOptions(min_slices=4)).studies


def test_another_modality_is_found_when_asked_for(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 6, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    assert find_dicom(tmp_path, DicomOptions(modality="ct")).studies


def test_function_and_perfusion_are_found_when_asked_for(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 6, SeriesDescription="relCBF")
    assert find_dicom(tmp_path, DicomOptions(time_series="first")).studies


def test_a_report_within_a_series_of_images_is_left_out_alone(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    write_stack(tmp_path, 6)
    write_stack(tmp_path, 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", Rows=None)
    found = find_dicom(tmp_path)
    assert [len(series.files) for series in found.studies[0].series] == [6]
    assert [item.error for item in found.left_out] == ["it is a structured report, not an image"]


@pytest.mark.parametrize("sequence", ["B0map", "3db0map", "B0rf"])
@pytest.mark.parametrize("option", ["skip", "first", "mean"])
def test_a_field_map_and_its_magnitude_in_one_series_give_the_magnitude(
    tmp_path: Path, write_stack: WriteStack, sequence: str, option: TimeSeries
) -> None:
    for flag in (0, 2):
        private = [
            (0x0019, "GEMS_ACQU_01", 0x9C, "LO", sequence),
            (0x0043, "GEMS_PARM_01", 0x30, "SS", flag),
        ]
        write_stack(tmp_path, 6, first=1 + 3 * flag, value=100 * (flag + 1), private=private, **GE)
    found = find_dicom(tmp_path, DicomOptions(time_series=option))
    (series,) = found.studies[0].series
    assert {int(pydicom.dcmread(file).pixel_array.flat[0]) for file in series.files} == {300}
    assert [item.error for item in found.left_out] == ["it is a field map, not an anatomical image"]


def test_a_field_map_that_cannot_be_told_from_its_magnitude_is_a_defect(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    for volume in range(2):
        write_stack(tmp_path, 6, first=1 + 6 * volume, value=volume + 1, SeriesDescription="Ax B0 map", **GE)
    found = find_dicom(tmp_path, DicomOptions(time_series="first"))
    assert not found.studies
    assert [item.defect for item in found.left_out] == [True]


@pytest.mark.parametrize(("polarity", "stays"), [(0, True), (1, False), (2, False), (3, False)])
def test_reversed_volumes_of_ge_are_a_defect(
    tmp_path: Path, write_stack: WriteStack, polarity: int, stays: bool
) -> None:
    private = [
        (0x0019, "GEMS_ACQU_01", 0x9C, "LO", "epi_pepolar"),
        (0x0019, "GEMS_ACQU_01", 0xB3, "DS", float(polarity)),
    ]
    write_stack(tmp_path, 6, private=private, **GE)
    found = find_dicom(tmp_path)
    assert bool(found.studies) == stays
    assert [item.defect for item in found.left_out] == [True] * (not stays)


def test_a_mosaic_without_its_private_header_is_a_defect(scans: Path, tmp_path: Path) -> None:
    (source, *_) = sorted((scans / "dicom/05_siemens_mosaic_sag").iterdir())
    data = pydicom.dcmread(source)
    for element in list(data):
        if element.tag.group == 0x0029:
            del data[element.tag]
    data.save_as(tmp_path / "mosaic")
    (left_out,) = find_dicom(tmp_path).left_out
    assert "mosaic without its private header" in left_out.error
    assert left_out.defect
