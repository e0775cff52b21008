"""Every real DICOM scan ends in a series or in a reason that a radiographer would agree with."""

import json
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from prima_features.encoders.prima.prepare import read_volume
from prima_features.errors import SeriesError
from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.study import DicomFrames, DicomSlices, Series
from prima_features.volumes.dicom import read_slices

SLICES, FRAMES = DicomSlices, DicomFrames
XA30 = "dicom/01_siemens_xa30_enhanced_study"
SMALL = "dicom/06_small_series"
FEW = "it has 4 slices, fewer than 5"
FUNCTION = "it shows brain function or perfusion"

EXPECTED: dict[str, list[tuple[str, type, int]] | str] = {
    f"{XA30}/5_anat-T1w_acq-tfl": [("anat_T1w_acq_tfl", SLICES, 1)],
    f"{XA30}/6_anat-T1w_acq-tfl": [("anat_T1w_acq_tfl", SLICES, 1)],
    f"{XA30}/8_gre_field_mapping": [("gre_field_mapping", SLICES, 1), ("gre_field_mapping", SLICES, 1)],
    f"{XA30}/9_gre_field_mapping": "it is a phase image, not a magnitude image",
    f"{XA30}/10_DWI_dir80_PA": [("DWI_dir80_PA", SLICES, 1)],
    f"{XA30}/11_DWI_dir80_PA": [("DWI_dir80_PA_ADC-DWI_dir80_PA-Protocol", SLICES, 1)],
    f"{XA30}/12_DWI_dir80_PA": [("DWI_dir80_PA_TRACEW-DWI_dir80_PA-Protocol", SLICES, 1)],
    f"{XA30}/13_DWI_dir80_PA": [("DWI_dir80_PA_FA-DWI_dir80_PA-Protocol", SLICES, 1)],
    f"{XA30}/14_DWI_dir80_PA": "its images are in colour",
    f"{XA30}/16_DWI_dir80_PA": [("DWI_dir80_PA_TENSOR_B0-DWI_dir80_PA-Protocol", SLICES, 1)],
    f"{XA30}/25_asl_2d_tra": "it is a time series of 7 volumes",
    f"{XA30}/27_asl_2d_tra": FUNCTION,
    f"{XA30}/28_asl_2d_tra": FUNCTION,
    f"{XA30}/99_Phoenix_Document": "it is a structured report, not an image",
    "dicom/02_uih_study/t1_gre_fsp_3d_sag_j2k": [("t1_gre_fsp_3d_sag", SLICES, 160)],
    "dicom/02_uih_study/dti_tra_dir16_PA_rot": [
        ("dti_tra_dir16_PA_rot_SaveBySlc-dti_tra_dir16_PA_rot-Protocol", FRAMES, 1)
    ],
    "dicom/03_ge_epi_classic": "it is a time series of 3 volumes",
    "dicom/04_canon_dti_b0": [("DTI_AP_ortho", SLICES, 40)],
    "dicom/05_siemens_mosaic_sag": "it is a time series of 2 volumes",
    f"{SMALL}/siemens_anatomical_001": FEW,
    f"{SMALL}/generic_anatomical_001": FEW,
    f"{SMALL}/generic_anatomical_001_implicit": FEW,
    f"{SMALL}/generic_compressed_jpeg_001": FEW,
    f"{SMALL}/generic_compressed_j2k_001": FEW,
    f"{SMALL}/generic_compressed_rle_001": FEW,
    f"{SMALL}/generic_compressed_jpegls_001": FEW,
    f"{SMALL}/generic_rgb_001": "its images are in colour",
    f"{SMALL}/philips_enhanced_anatomical_001": [("UNK", SLICES, 1)],
    f"{SMALL}/failing_slicecount_001": "it has 2 slices, fewer than 5",
    "broken/dicom_series_missing_slice": "1 slice is missing after slice 20, counted from the feet",
    "broken/dicom/MR_small.dcm": "it has 1 slice, fewer than 5",
    "broken/dicom/MR_small_bigendian.dcm": "it has 1 slice, fewer than 5",
    "broken/dicom/test-SR.dcm": "it is a structured report, not an image",
    "broken/dicom/image_dfl.dcm": "its modality is OT, not MR",
    "broken/nifti": "it has another format, and the source is read as DICOM",
}
"""Each scan with its series as (name, how it is stored, number of files), or the reason it is left out."""


def outline(series: tuple[Series, ...]) -> list[tuple[str, type, int]]:
    return [(one.stored_name, type(one.image), len(one.files)) for one in series]


def copy_alone(scan: Path, folder: Path) -> Path:
    """A file in a folder of its own: among its neighbours it would stand for a series."""
    if scan.is_dir():
        return scan
    (folder / scan.name).symlink_to(scan)
    return folder


@pytest.mark.parametrize("case", EXPECTED)
def test_every_scan_ends_in_a_series_or_a_reason(scans: Path, tmp_path: Path, case: str) -> None:
    found = find_dicom(copy_alone(scans / case, tmp_path))
    expected = EXPECTED[case]
    if isinstance(expected, str):
        assert not found.studies
        assert [item.error for item in found.left_out] == [expected]
    else:
        assert [outline(study.series) for study in found.studies] == [expected]
        assert not found.left_out


def test_the_folder_of_broken_files_is_told_file_by_file_and_never_raises(scans: Path) -> None:
    found = find_dicom(scans / "broken" / "dicom")
    assert not found.studies
    assert {item.series for item in found.left_out} == {
        "1 file that is not DICOM",
        "1 gzip-compressed DICOM file",
        "1 DICOM file without UIDs",
        "1 Demonstration of SR Features",
        "series without a number",
        "3 images of series 1",
        "series 1",
    }


def test_one_study_of_many_folders_is_one_study_in_the_order_of_its_series(scans: Path) -> None:
    (study,) = find_dicom(scans / XA30).studies
    assert study.description == "Cheng test"
    assert [one.name.split("-")[0] for one in study.series] == [
        *("anat_T1w_acq_tfl", "anat_T1w_acq_tfl", "gre_field_mapping", "gre_field_mapping", "DWI_dir80_PA"),
        *("DWI_dir80_PA_ADC", "DWI_dir80_PA_TRACEW", "DWI_dir80_PA_FA", "DWI_dir80_PA_TENSOR_B0"),
    ]


def test_diffusion_in_files_of_a_volume_each_keeps_the_file_of_the_lowest_b_value(scans: Path) -> None:
    for case, file in (
        (f"{XA30}/10_DWI_dir80_PA", "0001_"),
        ("dicom/02_uih_study/dti_tra_dir16_PA_rot", "00000001"),
    ):
        ((series,),) = (study.series for study in find_dicom(scans / case).studies)
        assert series.files[0].name.startswith(file)


def test_the_volumes_hidden_in_a_classic_time_series_are_found(scans: Path) -> None:
    folder = scans / "dicom/03_ge_epi_classic"
    ((series,),) = (study.series for study in find_dicom(folder, DicomOptions(time_series="mean")).studies)
    assert isinstance(series.image, DicomSlices)
    numbers = [[int(file.stem[-5:]) for file in stack] for stack in series.image.stacks]
    assert numbers == [list(range(1 + 15 * volume, 16 + 15 * volume)) for volume in range(3)]


def test_all_mosaics_of_a_time_series_are_averaged_when_asked_for(scans: Path) -> None:
    folder = scans / "dicom/05_siemens_mosaic_sag"
    ((series,),) = (study.series for study in find_dicom(folder, DicomOptions(time_series="mean")).studies)
    assert isinstance(series.image, DicomFrames)
    assert (len(series.image.files), series.image.volumes) == (2, (0, 1))


@pytest.mark.parametrize("compression", ["jpeg", "j2k", "jpegls"])
def test_compressed_slices_are_read_alike_to_the_bit(scans: Path, compression: str) -> None:
    folders = [scans / SMALL / f"generic_compressed_{name}_001" for name in (compression, "rle")]
    read, expected = (
        sitk.GetArrayFromImage(read_slices(series.image))
        for folder in folders
        for study in find_dicom(folder, DicomOptions(min_slices=4)).studies
        for series in study.series
        if isinstance(series.image, DicomSlices)
    )
    assert read.shape == (4, 256, 256)
    assert (read == expected).all()


def test_the_golden_study_is_found_in_the_order_of_its_golden_files(golden: Path) -> None:
    expected = json.loads((golden / "study_a.json").read_text())
    (study,) = find_dicom(golden / "study_a").studies
    assert study.description == expected["description"]
    assert [one.name for one in study.series] == [one["name"] for one in expected["series"]]
    for found, one in zip(study.series, expected["series"], strict=True):
        files = sorted((golden / "study_a" / one["folder"]).iterdir())
        downwards = one["folder"] == "001_t1_sag"  # its files run from left to right
        assert list(found.files) == (files[::-1] if downwards else files)


def test_mosaics_that_dcm2niix_scales_wrongly_are_refused(scans: Path, tmp_path: Path) -> None:
    for k, file in enumerate(sorted((scans / "dicom/05_siemens_mosaic_sag").iterdir())):
        data = pydicom.dcmread(file)
        data.RescaleSlope, data.RescaleIntercept = str(1 + k), "0"
        data.save_as(tmp_path / f"{k}")
    ((series,),) = (study.series for study in find_dicom(tmp_path, DicomOptions(time_series="mean")).studies)
    with pytest.raises(SeriesError, match="dcm2niix changes the values"):
        read_volume(series)


def test_a_mosaic_cut_short_is_refused(scans: Path, tmp_path: Path) -> None:
    file = min((scans / "dicom/05_siemens_mosaic_sag").iterdir())
    (tmp_path / "cut").write_bytes(file.read_bytes()[:-1000])
    ((series,),) = (study.series for study in find_dicom(tmp_path, DicomOptions(time_series="mean")).studies)
    with pytest.raises(SeriesError, match="is truncated"):
        read_volume(series)
