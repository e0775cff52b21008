"""Every public scan ends in an embedding, or in a reason that a radiographer would agree with."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings

ENHANCED = "dicom/01_siemens_xa30_enhanced_study"
SMALL = "dicom/06_small_series"

EMBEDDED = {
    f"{ENHANCED}/5_anat-T1w_acq-tfl": 1,
    f"{ENHANCED}/6_anat-T1w_acq-tfl": 1,
    f"{ENHANCED}/8_gre_field_mapping": 2,  # one an echo
    f"{ENHANCED}/10_DWI_dir80_PA": 1,  # its b=0 volume
    f"{ENHANCED}/11_DWI_dir80_PA": 1,  # ADC
    f"{ENHANCED}/12_DWI_dir80_PA": 1,  # trace
    f"{ENHANCED}/13_DWI_dir80_PA": 1,  # FA
    f"{ENHANCED}/16_DWI_dir80_PA": 1,
    "dicom/02_uih_study/dti_tra_dir16_PA_rot": 1,
    "dicom/02_uih_study/t1_gre_fsp_3d_sag_j2k": 1,
    "dicom/04_canon_dti_b0": 1,
    f"{SMALL}/philips_enhanced_anatomical_001": 1,
    "nifti/FLAIR.nii.gz": 1,
    "nifti/T2w_axial_2mm.nii.gz": 1,
    "nifti/avg152T1_2mm.nii.gz": 1,
    "nifti/dwi_b0_3mm.nii.gz": 1,
    "nifti/nibabel_anatomical.nii": 1,
    "nifti/nibabel_standard.nii.gz": 1,
    **{f"nifti/orientations/{name}.nii.gz": 1 for name in ("RAS", "LAS", "LPI", "PSR", "AIL", "SLA")},
}
"""Case, and how many series are embedded."""

LEFT_OUT = {
    f"{ENHANCED}/9_gre_field_mapping": "it is a phase image, not a magnitude image",
    f"{ENHANCED}/14_DWI_dir80_PA": "its images are in colour",
    f"{ENHANCED}/25_asl_2d_tra": "it is a time series of 7 volumes",
    f"{ENHANCED}/27_asl_2d_tra": "it shows brain function or perfusion",
    f"{ENHANCED}/28_asl_2d_tra": "it shows brain function or perfusion",
    f"{ENHANCED}/99_Phoenix_Document": "it is a structured report, not an image",
    "dicom/03_ge_epi_classic": "it is a time series of 3 volumes",
    "dicom/05_siemens_mosaic_sag": "it is a time series of 2 volumes",
    f"{SMALL}/siemens_anatomical_001": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_anatomical_001": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_anatomical_001_implicit": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_compressed_jpeg_001": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_compressed_j2k_001": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_compressed_rle_001": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_compressed_jpegls_001": "it has 4 slices, fewer than 5",
    f"{SMALL}/generic_rgb_001": "its images are in colour",
    f"{SMALL}/failing_slicecount_001": "it has 2 slices, fewer than 5",
    # One slice in several encodings, and a truncated copy of it with the same UIDs.
    "broken/dicom/MR_small.dcm": "2 images with different pixels have the position of slice 1",
    "broken/dicom/MR_small_RLE.dcm": "2 images with different pixels have the position of slice 1",
    "broken/dicom/MR_small_bigendian.dcm": "2 images with different pixels have the position of slice 1",
    "broken/dicom/MR_small_jp2klossless.dcm": "2 images with different pixels have the position of slice 1",
    "broken/dicom/MR_truncated.dcm": "2 images with different pixels have the position of slice 1",
    "broken/dicom/no_meta.dcm": "not NIfTI (.nii, .nii.gz), DICOM or a manifest",
    "broken/dicom/meta_missing_tsyntax.dcm": "a StudyInstanceUID and a SeriesInstanceUID are needed",
    "broken/dicom/test-SR.dcm": "it is a structured report, not an image",
    "broken/dicom/image_dfl.dcm": "its modality is OT, not MR",
    "broken/dicom/zipMR.gz": "compressed files are not opened",
    "broken/dicom_series_missing_slice": "1 slice is missing after slice 20, counted from the feet",
    "broken/nifti/empty.nii.gz": "the file is empty",
    "broken/nifti/truncated.nii.gz": "its compressed data is damaged or truncated",
    "broken/nifti/not_gzip.nii.gz": "its content is not NIfTI",
    "broken/nifti/nan_slices.nii.gz": "23% of its voxels are NaN or infinite",
    "nifti/FLAIR_lesion_mask.nii.gz": "its name says that it is a mask or a segmentation",
    "nifti/nibabel_example4d.nii.gz": "it has 2 volumes, such as a time series",
    "nifti/nibabel_example_nifti2.nii.gz": "it has 2 volumes, such as a time series",
    "nifti/nibabel_functional.nii": "it has 20 volumes, such as a time series",
    "bids/asl001": "its content is not NIfTI",
    "bids/ds000001-fmriprep": "the file is empty",
    "bids/ds005": "the file is empty",
    "bids/ds006": "the file is empty",
    "bids/ds007": "the file is empty",
    "bids/dwi_deriv": "the file is empty",
    "bids/genetics_ukbb": "the file is empty",
    "bids/micr_SPIM": "microscopy, not MRI",
    "bids/pheno004": "the file is empty",
    "bids/qmri_mp2rage": "the file is empty",
    "bids/synthetic": "the file contains fewer voxels than its header declares",
}
"""Case, and why nothing of it is embedded."""


@pytest.mark.parametrize("case", EMBEDDED)
def test_a_usable_scan_is_embedded(case: str, scans: Path, tmp_path: Path) -> None:
    assert main(["embed", str(scans / case), str(tmp_path / "out.h5")]) == 0
    assert read_embeddings(tmp_path / "out.h5").n_series == EMBEDDED[case]


@pytest.mark.parametrize("case", LEFT_OUT)
def test_an_unusable_scan_is_named_with_its_reason(
    case: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(scans / case), str(tmp_path / "out.h5")]) == 4
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert LEFT_OUT[case] in last
    assert list(tmp_path.iterdir()) == []


def test_every_scan_is_in_the_table(scans: Path) -> None:
    known = {*EMBEDDED, *LEFT_OUT}
    cases = [path for path in scans.rglob("*") if path.is_file() and path.name != "SOURCES.md"]
    for path in cases:
        below = path.relative_to(scans)
        assert known & {str(below), *map(str, below.parents)}, below


def test_one_bad_scan_does_not_stop_a_folder(scans: Path, tmp_path: Path) -> None:
    assert main(["embed", str(scans / "nifti"), str(tmp_path / "out.h5"), "--time-series", "first"]) == 3
    file = read_embeddings(tmp_path / "out.h5")
    assert file.n_studies == 9
    failed = file.failures[file.failures["stage"] == "read"]
    assert failed["study"].tolist() == ["sub-nibabelfunctional"]


def test_an_image_that_does_not_say_which_side_is_left_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = np.random.default_rng(0).integers(0, 900, (32, 32, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([4.0, 4, 8, 1])), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[252:256] = bytes(4)  # qform_code and sform_code
    (tmp_path / "a.nii").write_bytes(content)
    assert (
        main(["embed", str(tmp_path / "a.nii"), str(tmp_path / "out.h5"), "--no-report", "--workers", "0"])
        == 0
    )
    assert "1 series: the file does not say which side is left" in caplog.text
