"""What a NIfTI file's slices are, and which files are refused with which reason."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, Series
from prima_features.tokens import cut
from prima_features.volumes import ReadOptions, Volume, read_volume
from prima_features.volumes.nifti import find_slice_axis


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None, **header: object) -> Path:
    image = nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def save_singular(path: Path) -> None:
    """nibabel does not write a singular affine, so the header's bytes are edited."""
    image = nib.Nifti1Image(brain(), np.eye(4))
    image.header.set_sform(np.eye(4), 1)
    image.to_filename(path)
    row_y = 296  # offset of srow_y in a NIfTI-1 header
    content = bytearray(path.read_bytes())
    content[row_y : row_y + 16] = bytes(16)
    path.write_bytes(content)


def read(path: Path, slice_axis: str | None = None, **source: object) -> Volume:
    image = NiftiImage(path, **source)
    return read_volume(Series("any", image), options=ReadOptions(slice_axis=slice_axis))


def brain(shape: tuple[int, ...] = (40, 50, 12), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save(tmp_path / "scan.nii.gz", brain())


def test_a_volume_is_lps_and_256_in_plane(scan: Path) -> None:
    volume = read(scan)
    assert volume.values.shape == (12, 256, 256)
    assert volume.values.dtype == np.int16
    assert volume.plane == "axial"
    assert volume.spacing == pytest.approx((5.0, 2.0 * 50 / 256, 2.0 * 40 / 256))
    # The file is RAS: its last voxel is right-anterior-superior-most, which LPS stores first in plane.
    assert volume.values[-1, 0, 0] == brain()[-1, -1, -1]


@pytest.mark.parametrize("code", ["LPS", "RAS", "LAI", "PSR", "SAL", "IPR", "ASL"])
def test_the_order_of_storage_changes_nothing(tmp_path: Path, code: str) -> None:
    reference = nib.Nifti1Image(brain((40, 50, 12)), np.diag([2.0, 2.0, 5.0, 1.0]))
    change = nib.orientations.ornt_transform(
        nib.io_orientation(reference.affine), nib.orientations.axcodes2ornt(code)
    )
    nib.save(reference, tmp_path / "reference.nii")
    nib.save(reference.as_reoriented(change), tmp_path / "turned.nii")
    expected, turned = read(tmp_path / "reference.nii"), read(tmp_path / "turned.nii")
    np.testing.assert_array_equal(turned.values, expected.values)
    assert turned.slice_axis == expected.slice_axis
    assert turned.spacing == pytest.approx(expected.spacing)


@pytest.mark.parametrize("name", ["RAS", "LAS", "LPI", "PSR", "AIL", "SLA"])
def test_a_template_stored_six_ways_gives_the_same_tokens_along_one_axis(scans: Path, name: str) -> None:
    folder = scans / "nifti" / "orientations"
    expected, found = cut(read(folder / "RAS.nii.gz", "S")), cut(read(folder / f"{name}.nii.gz", "S"))
    np.testing.assert_array_equal(found.coord, expected.coord)
    np.testing.assert_array_equal(found.values, expected.values)
    if name in ("LAS", "LPI"):  # stored along the same axis: no option is needed
        np.testing.assert_array_equal(cut(read(folder / f"{name}.nii.gz")).values, expected.values)


@pytest.mark.parametrize(
    ("sizes", "dim_info", "orientation", "axis"),
    [
        ((1.0, 1.0, 1.0), None, (), 2),
        ((1.0, 1.0, 1.19), None, (), 2),
        ((4.0, 1.0, 1.0), None, (), 0),
        ((1.0, 4.0, 3.9), None, (), 2),
        ((1.0, 1.0, 4.0), 1, (), 1),
        # dcm2niix turns 3-D acquisitions and leaves dim_info naming the third axis.
        ((1.0, 0.5, 0.5), 2, (), 0),
        ((1.0, 1.0, 1.0), 2, (0, 1, 0, 0, 0, -1), 0),
        ((1.0, 1.0, 1.0), None, (1, 0, 0, 0, 0, -1), 1),
    ],
)
def test_the_slice_axis_is_the_first_thing_that_is_known(
    sizes: tuple[float, ...], dim_info: int | None, orientation: tuple[float, ...], axis: int
) -> None:
    image = nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.diag([*sizes, 1.0]))
    image.header.set_dim_info(slice=dim_info)
    assert find_slice_axis(image, orientation=orientation)[0] == axis
    for wanted, expected in (("L", 0), ("P", 1), ("S", 2)):
        assert find_slice_axis(image, wanted, orientation) == (expected, "option")


def test_the_b0_volumes_are_averaged(tmp_path: Path) -> None:
    values = np.stack([brain(seed=i) for i in range(3)], axis=-1)
    path = save(tmp_path / "dwi.nii.gz", values)
    mean = save(tmp_path / "mean.nii.gz", values[..., [0, 2]].mean(axis=-1).astype(np.float32))
    np.testing.assert_array_equal(read(path, volumes=(0, 2)).values, read(mean).values)
    np.testing.assert_array_equal(
        read(path, volumes=(1,)).values, read(save(tmp_path / "one.nii", values[..., 1])).values
    )


def test_big_endian_nifti2_and_scaled_voxels_read_alike(tmp_path: Path, scan: Path) -> None:
    big = nib.Nifti1Image(brain(), np.diag([2.0, 2.0, 5.0, 1.0])).as_reoriented([[0, 1], [1, 1], [2, 1]])
    nib.save(nib.Nifti1Image(brain().astype(">i2"), big.affine), tmp_path / "big.nii")
    nib.save(nib.Nifti2Image(brain(), big.affine), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        np.testing.assert_array_equal(read(tmp_path / name).values, read(scan).values)
    scaled = nib.Nifti1Image(brain(), big.affine)
    scaled.header.set_slope_inter(0.5, 1.0)
    scaled.to_filename(tmp_path / "scaled.nii")
    assert read(tmp_path / "scaled.nii").values.dtype == np.float64


REFUSED = {
    "empty.nii.gz": (lambda path, whole: path.write_bytes(b""), "empty"),
    "truncated.nii.gz": (lambda path, whole: path.write_bytes(whole[: len(whole) // 2]), "ends too early"),
    "truncated.nii": (lambda path, whole: path.write_bytes(gzip.decompress(whole)[:5000]), "end before"),
    "header.nii": (lambda path, whole: path.write_bytes(gzip.decompress(whole)[:352]), "end before"),
    "half_header.nii": (lambda path, whole: path.write_bytes(gzip.decompress(whole)[:100]), "header"),
    "text.nii.gz": (lambda path, whole: path.write_text("this is no image at all"), "not NIfTI"),
    "bad_crc.nii.gz": (lambda path, whole: path.write_bytes(whole[:-8] + b"\0" * 8), "damaged"),
    "two_d.nii": (lambda path, whole: save(path, brain((40, 50))), "2-D"),
    "one_slice.nii": (lambda path, whole: save(path, brain((40, 50, 1))), "not a volume"),
    "four_slices.nii": (lambda path, whole: save(path, brain((40, 50, 4))), "4 slices, fewer than 5"),
    "five_d.nii": (lambda path, whole: save(path, brain((8, 8, 8, 2, 3))), "5 dimensions"),
    "complex.nii": (lambda path, whole: save(path, brain().astype(np.complex64)), "complex"),
    "constant.nii": (lambda path, whole: save(path, np.full((20, 20, 20), 7, np.int16)), "the value 7"),
    "singular.nii": (lambda path, whole: save_singular(path), "singular"),
    "nan.nii": (
        lambda path, whole: save(path, np.where(brain() > 450, np.nan, 1.0).astype(np.float32)),
        "NaN",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_holds_no_usable_volume_is_refused_with_the_reason(
    tmp_path: Path, scan: Path, name: str
) -> None:
    make, reason = REFUSED[name]
    path = tmp_path / name
    make(path, scan.read_bytes())
    with pytest.raises(SeriesError, match=reason) as caught:
        read(path)
    assert str(tmp_path) not in str(caught.value)


def test_colour_is_refused(tmp_path: Path) -> None:
    voxels = np.zeros((10, 10, 10), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(SeriesError, match="colour"):
        read(save(tmp_path / "rgb.nii", voxels))


def test_a_header_that_claims_20000_slices_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((512, 512, 20000))
    header.set_sform(np.diag([1.0, 1.0, 1.0, 1.0]), 1)
    path = tmp_path / "claims.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + b"\0" * 4))  # 42 GB are claimed, 4 bytes are there
    with pytest.raises(SeriesError, match="20000 slices give 320000 subvolumes"):
        read(path)
