"""What voxels show: images, masks, label maps and maps of fractions."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from images import put_volume

from prima_features.studies.nifti import find_nifti
from prima_features.studies.voxels import classify, classify_file, open_nifti

X, Y, Z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 44, 36)), indexing="ij")
RADIUS = X**2 + Y**2 + Z**2
RNG = np.random.default_rng(0)
IMAGE = np.clip(np.where(RADIUS < 0.8, 600 + 300 * np.sin(6 * X), 0) + RNG.normal(0, 20, X.shape), 0, None)
REGIONS = np.where(RADIUS < 0.8, 1 + (X > 0) + 2 * (Y > 0) + 4 * (Z > 0) + 8 * (RADIUS < 0.3), 0)
SOFT = np.clip((0.8 - RADIUS) / 0.3, 0, 1)


@pytest.mark.parametrize(
    ("name", "values", "scaling", "shows"),
    [
        ("noise of a scan", IMAGE.astype(np.int16), (1, 0), "image"),
        ("8 bits", (IMAGE / IMAGE.max() * 255).astype(np.uint8), (1, 0), "image"),
        ("16 grey levels", (IMAGE / IMAGE.max() * 16).astype(np.uint8), (1, 0), "image"),
        ("normalised to 0 to 1", (IMAGE / IMAGE.max()).astype(np.float32), (1, 0), "image"),
        ("a skull-stripped scan", np.where(RADIUS < 0.6, IMAGE, 0).astype(np.float32), (1, 0), "image"),
        ("normalised and stripped", np.where(RADIUS < 0.6, IMAGE / IMAGE.max(), 0), (1, 0), "image"),
        ("0 and 1", (RADIUS < 0.6).astype(np.uint8), (1, 0), "mask"),
        ("0 and 255", (RADIUS < 0.6) * np.float32(255), (1, 0), "mask"),
        ("0, 1 and 2", ((RADIUS < 0.6) + (RADIUS < 0.3)).astype(np.float64), (1, 0), "mask"),
        ("0 and 0.9", np.where(RADIUS < 0.6, 0.9, 0), (1, 0), "mask"),
        ("tumour labels 0 1 2 4", np.choose(np.digitize(RADIUS, [0.1, 0.3, 0.5]), [4, 2, 1, 0]), (1, 0), "labels"),
        ("17 regions", REGIONS.astype(np.int32), (1, 0), "labels"),
        ("regions as floats", REGIONS.astype(np.float32) * 1000, (1, 0), "labels"),
        ("probabilities", SOFT.astype(np.float32), (1, 0), "fractions"),
        ("probabilities in 8 bits", np.rint(SOFT * 255).astype(np.uint8), (1 / 255, 0), "fractions"),
        ("a constant", np.full(X.shape, 7, np.int16), (1, 0), "image"),
        ("not a number", np.where(RADIUS < 0.6, IMAGE, np.nan), (1, 0), "image"),
    ],
)  # fmt: skip
def test_voxels_say_what_they_show(
    name: str, values: np.ndarray, scaling: tuple[float, float], shows: str
) -> None:
    assert classify(values, scaling) == shows


@pytest.mark.parametrize("levels", [4, 8, 16, 64, 256])
@pytest.mark.parametrize("name", ["FLAIR", "T2w_axial_2mm", "avg152T1_2mm", "dwi_b0_3mm"])
def test_real_scans_with_few_grey_levels_are_images_down_to_eight(
    scans: Path, name: str, levels: int
) -> None:
    values = np.asanyarray(nib.load(scans / f"nifti/{name}.nii.gz").dataobj)[::2, ::2, ::2].astype(float)
    coarse = np.clip(np.floor(values / np.percentile(values, 99.9) * levels), 0, levels - 1).astype(np.uint8)
    assert classify(coarse) == ("image" if levels >= 8 else "labels")


def test_real_scans_are_images_and_their_lesion_mask_is_not(scans: Path) -> None:
    shown = {path.name: classify_file(open_nifti(path)) for path in (scans / "nifti").rglob("*.nii*")}
    assert shown.pop("FLAIR_lesion_mask.nii.gz") == "labels"
    assert set(shown.values()) == {"image"}
    assert len(shown) == 15


def test_masks_without_a_telling_name_and_tissue_maps_are_left_out(tmp_path: Path) -> None:
    for name, values in {
        "p/T1.nii.gz": IMAGE.astype(np.int16),
        "p/hd_bet.nii.gz": (RADIUS < 0.6).astype(np.uint8),
        "p/c1T1.nii": SOFT.astype(np.float32),
        "p/aparc_atlas.nii.gz": REGIONS.astype(np.int16),
        "q/T1_scaled.nii": (IMAGE / IMAGE.max()).astype(np.float32),
        "r/map_alone.nii": SOFT.astype(np.float32),
    }.items():
        put_volume(tmp_path / name, values)
    found = find_nifti(tmp_path)
    assert [series.source for study in found.studies for series in study.series] == [
        *("p/T1.nii.gz", "q/T1_scaled.nii", "r/map_alone.nii")
    ]
    assert [(item.series, item.defect) for item in found.left_out] == [
        *(("p/aparc_atlas.nii.gz", False), ("p/c1T1.nii", False), ("p/hd_bet.nii.gz", False))
    ]


def test_a_map_on_another_grid_than_the_image_is_kept(tmp_path: Path) -> None:
    put_volume(tmp_path / "p/T1.nii", IMAGE.astype(np.int16))
    put_volume(tmp_path / "p/c1.nii", SOFT.astype(np.float32), np.diag([-1, -1, 3, 1]))
    assert len(find_nifti(tmp_path).studies[0].series) == 2


def test_headers_that_claim_too_much_are_not_believed(tmp_path: Path) -> None:
    content = bytearray(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes())
    content[40:56] = np.array([3, 32767, 32767, 32767, 1, 1, 1, 1], "<i2").tobytes()
    (tmp_path / "large.nii").write_bytes(content)
    assert classify_file(open_nifti(tmp_path / "large.nii")) == "image"
    content[108:112] = np.float32(2e9).tobytes()
    (tmp_path / "far.nii").write_bytes(content)
    assert classify_file(open_nifti(tmp_path / "far.nii")) == "image"


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ([7, 32767, 32767, 32767, 32767, 32767, 32767, 32767], "volumes, which is implausible"),
        ([5, 32, 32, 8, 32767, 32767, 1, 1], "volumes, which is implausible"),
        ([30000, 32, 32, 8, 1, 1, 1, 1], "dimensions|damaged"),
        ([-3, 32, 32, 8, 1, 1, 1, 1], "dimensions|damaged"),
    ],
)
def test_a_damaged_header_is_no_time_series(dim: list[int], message: str, tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header["dim"], header["magic"], header["vox_offset"] = dim, b"n+1", 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4))
    with pytest.raises(ValueError, match=message):
        open_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("order", ["<", ">"])
def test_headers_of_both_versions_and_byte_orders_are_read(kind: type, order: str, tmp_path: Path) -> None:
    header = kind(endianness=order)
    header.set_data_shape((4, 5, 6))
    header.set_data_dtype(np.int16)
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + bytes(4) + np.arange(120, dtype=f"{order}i2").tobytes())
    opened = open_nifti(path)  # vox_offset is 0, as some writers leave it
    assert opened.shape == (4, 5, 6)
    assert opened.first_volume().ravel("F").tolist() == list(range(120))
    path.write_bytes(header.binaryblock[:-1])
    with pytest.raises(ValueError, match="ends within its NIfTI header"):
        open_nifti(path)
