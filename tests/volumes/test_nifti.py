"""What a NIfTI file's slices are, and which files are refused with which reason."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.subvolumes import cut
from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import ReadOptions, Volume
from prima_features.volumes.nifti_geometry import Geometry, find_slice_axis, in_plane_order


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


SLICE_AXES = {
    "nothing known": ((1, 1, 1), (64, 64, 64), "RAS", None, (), (2, "guess")),
    "two axes of nearly one size": ((1, 4, 3.9), (64, 64, 64), "RAS", None, (), (2, "guess")),
    "thick slices": ((4, 1, 1), (64, 64, 64), "RAS", None, (), (0, "voxel-size")),
    "slices thicker by a tenth": ((1.1, 1, 1), (64, 64, 64), "RAS", 2, (), (0, "voxel-size")),
    "slices thinner than pixels": ((1, 0.9, 1), (64, 64, 64), "RAS", 2, (), (1, "voxel-size")),
    "three sizes": ((2.385, 2.39, 2.366), (64, 79, 67), "RAS", None, (), (2, "guess")),
    "dim_info against voxel sizes": ((1, 1, 4), (64, 64, 64), "RAS", 1, (), (1, "header")),
    # dcm2niix turns 3-D acquisitions, and leaves dim_info naming the third axis.
    "turned by dcm2niix, thick": ((1, 0.5, 0.5), (64, 64, 64), "RAS", 2, (), (0, "voxel-size")),
    "turned by dcm2niix, sagittal": ((1, 1, 1), (176, 256, 256), "RAS", 2, (), (0, "guess-matrix")),
    "turned by dcm2niix, coronal": ((1, 1, 1), (256, 192, 256), "RAS", 2, (), (1, "guess-matrix")),
    "turned by dcm2niix, axial": ((1, 1, 1), (256, 256, 176), "RAS", 2, (), (2, "header")),
    "sagittal, rectangular field": ((1, 1, 1), (160, 240, 256), "RAS", None, (), (0, "guess-matrix")),
    "cubes are no puzzle if dcm2niix left them": ((1, 1, 1), (64, 64, 64), "PSR", None, "dcm2niix", (2, "header")),
    "dcm2niix has turned a cube": ((1, 1, 1), (64, 64, 64), "RAS", None, "dcm2niix", (2, "guess")),
    "a template": ((2, 2, 2), (91, 109, 91), "LAS", None, (), (2, "guess")),
    "cropped to the brain": ((1, 1, 1), (124, 160, 140), "RAS", None, (), (2, "guess")),
    "left by dcm2niix as acquired": ((1, 1, 1), (256, 256, 176), "PSR", 2, (), (2, "header")),
    "stored as acquired, no dim_info": ((1, 1, 1), (176, 256, 256), "PSR", None, (), (2, "guess")),
    "a sidecar": ((1, 1, 1), (64, 64, 64), "RAS", 2, (0, 1, 0, 0, 0, -1), (0, "sidecar")),
    "another sidecar": ((1, 1, 4), (64, 64, 64), "RAS", 2, (1, 0, 0, 0, 0, -1), (1, "sidecar")),
    "a sidecar of zeros": ((1, 1, 4), (64, 64, 64), "RAS", None, (0.0,) * 6, (2, "voxel-size")),
    "a sidecar of slices oblique to the voxels": (
        (1, 1, 1), (64, 64, 64), "RAS", None, (1, 0, 0, 0, 0.6, 0.8), (1, "guess"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLICE_AXES)
def test_the_slice_axis_is_the_first_thing_that_is_known(name: str) -> None:
    sizes, shape, codes, slice_dim, orientation, expected = SLICE_AXES[name]
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), shape)
    geometry = Geometry(shape, np.linalg.inv(turn) @ np.diag([1.0, 1, 1, 1]), slice_dim)
    affine = np.eye(4)
    affine[:3, :3] = geometry.affine[:3, :3] * np.array(sizes)
    by_dcm2niix, orientation = orientation == "dcm2niix", () if orientation == "dcm2niix" else orientation
    geometry = Geometry(shape, affine, slice_dim, by_dcm2niix)
    assert geometry.codes == tuple(codes)
    assert find_slice_axis(geometry, None, orientation) == expected
    for wanted, code in (("L", "LR"), ("P", "AP"), ("S", "SI")):
        axis = next(i for i, direction in enumerate(codes) if direction in code)
        assert find_slice_axis(geometry, wanted, orientation) == (axis, "option")


def test_the_b0_volumes_are_averaged(tmp_path: Path) -> None:
    values = np.stack([brain(seed=i) for i in range(3)], axis=-1)
    path = save(tmp_path / "dwi.nii.gz", values)
    mean = save(tmp_path / "mean.nii.gz", values[..., [0, 2]].mean(axis=-1).astype(np.float32))
    np.testing.assert_array_equal(read(path, volumes=(0, 2)).values, read(mean).values)
    np.testing.assert_array_equal(
        read(path, volumes=(1,)).values, read(save(tmp_path / "one.nii", values[..., 1])).values
    )


@pytest.mark.parametrize("n", [2, 4])
def test_a_gradient_table_of_another_number_of_volumes_is_refused(tmp_path: Path, n: int) -> None:
    path = save(tmp_path / "dwi.nii.gz", np.stack([brain(seed=i) for i in range(3)], axis=-1))
    series = Series("dwi", NiftiImage(path, (0,), n_b_values=n))
    with pytest.raises(SeriesError, match=f"has {n} b-values, but the image has 3 volumes"):
        read_volume(series)


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


AFFINE = np.array([[-2.0, 0, 0, 95], [0, -2, 0, 111], [0, 0, 5, -58], [0, 0, 0, 1]])


def edited(**fields: object) -> bytes:
    """A NIfTI file with both forms of `AFFINE`, and then some header fields changed."""
    image = nib.Nifti1Image(brain(), AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 1)
    content = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]))
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.structarr.tobytes()
    return bytes(content)


NO_SFORM = dict.fromkeys(("srow_x", "srow_y", "srow_z"), (0, 0, 0, 0))
PIXDIM = np.array([-1, 2, 2, 5, 0, 0, 0, 0])
MIRRORED = {"srow_x": (2, 0, 0, -95)}
SAME_VOLUME = {
    "a sform of zeros": (NO_SFORM, ("sform-unusable",)),
    "a sform of NaN": ({"srow_y": (np.nan,) * 4}, ("sform-unusable",)),
    "no sform": ({"sform_code": 0, **NO_SFORM}, ()),
    "no qform": ({"qform_code": 0, "quatern_d": 0.4, "quatern_c": 0}, ()),
    "a damaged qform": ({"quatern_b": np.nan}, ()),
    "a qform with left and right swapped": ({"pixdim": -PIXDIM * [1, -1, -1, -1, 1, 1, 1, 1]}, None),
    "voxel sizes of 0 next to a sform": ({"pixdim": 0 * PIXDIM}, ()),
    "negative voxel sizes": ({"pixdim": -np.abs(PIXDIM), "qform_code": 0}, ()),
    "a slope of 0": ({"scl_slope": 0, "scl_inter": 5}, ()),
    "a slope of NaN": ({"scl_slope": np.nan, "scl_inter": np.nan}, ()),
    "a slope of infinity": ({"scl_slope": np.inf, "scl_inter": 0}, ()),
    "a fifth dimension of 1": ({"dim": [5, 40, 50, 12, 1, 1, 1, 1]}, ()),
    "a fourth dimension of 0": ({"dim": [4, 40, 50, 12, 0, 1, 1, 1]}, ()),
    "no offset of the voxels": ({"vox_offset": 0}, ()),
}


@pytest.mark.parametrize("name", SAME_VOLUME)
def test_odd_headers_give_the_same_volume(tmp_path: Path, name: str) -> None:
    fields, flags = SAME_VOLUME[name]
    (tmp_path / "reference.nii").write_bytes(edited())
    (tmp_path / "odd.nii").write_bytes(edited(**fields))
    expected, found = read(tmp_path / "reference.nii"), read(tmp_path / "odd.nii")
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == expected.values.dtype
    assert found.spacing == pytest.approx(expected.spacing)
    assert expected.flags == ()
    if flags is not None:
        assert found.flags == flags


DOUBTFUL = {
    "both codes 0": ({"sform_code": 0, "qform_code": 0}, "orientation-unknown"),
    "a mirrored qform": ({"quatern_c": 0, "quatern_d": 0, "quatern_b": 0}, "sform-qform-differ"),
    "a mirrored sform": (MIRRORED, "sform-qform-differ"),
    "other voxel sizes in the qform": ({"pixdim": PIXDIM * [1, 1, 1, 2, 1, 1, 1, 1]}, "sform-qform-differ"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_orientation_is_flagged(tmp_path: Path, name: str) -> None:
    fields, flag = DOUBTFUL[name]
    (tmp_path / "odd.nii").write_bytes(edited(**fields))
    assert read(tmp_path / "odd.nii").flags == (flag,)


@pytest.mark.parametrize("degrees", [45, -45, 135])
@pytest.mark.parametrize("rounding", [-1e-6, 1e-6])
def test_a_sform_and_a_qform_tilted_by_45_degrees_agree(
    tmp_path: Path, degrees: float, rounding: float
) -> None:
    def tilted(angle: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        affine = np.eye(4)
        affine[:3, :3] = np.array([[-1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([2, 2, 5])
        return affine

    image = nib.Nifti1Image(brain(), np.eye(4))
    image.set_sform(tilted(np.radians(degrees) + rounding), 1)
    image.set_qform(tilted(np.radians(degrees) - rounding), 1)
    nib.save(image, tmp_path / "tilted.nii")
    assert read(tmp_path / "tilted.nii").flags == ()


@pytest.mark.parametrize(("shift", "flags"), [(0, ()), (0.1, ()), (1.0, ("sheared",))])
def test_axes_that_are_not_perpendicular_are_flagged(
    tmp_path: Path, shift: float, flags: tuple[str, ...]
) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = shift
    nib.save(nib.Nifti1Image(brain(), affine), tmp_path / "x.nii")
    assert read(tmp_path / "x.nii").flags == flags


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        (lambda values: np.where(values < 300, -1024, values), ("negative-background",)),
        (lambda values: values - 1000, ("negative-background",)),
        (lambda values: values - 50, ()),
        (lambda values: values * np.where(np.indices(values.shape)[0] < 2, -1, 1), ()),
    ],
)
def test_a_background_far_below_0_is_flagged(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], flags: tuple[str, ...]
) -> None:
    nib.save(nib.Nifti1Image(change(brain()).astype(np.int16), AFFINE), tmp_path / "x.nii")
    assert read(tmp_path / "x.nii").flags == flags


LIKE_MASKS = {
    "mask": lambda values: (values > 300).astype(np.uint8),
    "mask of 255": lambda values: np.where(values > 300, 255, 0).astype(np.int16),
    "small mask": lambda values: np.where(np.indices(values.shape)[2] < 2, values > 300, 0).astype(np.uint8),
    "labels": lambda values: (np.indices(values.shape).sum(0) // 12).astype(np.int16),
    "probabilities": lambda values: np.clip((values - 250) / 100, 0, 1).astype(np.float32),
}


@pytest.mark.parametrize("name", LIKE_MASKS)
def test_voxels_of_a_mask_are_flagged_whatever_the_name(tmp_path: Path, name: str) -> None:
    values = np.asarray(brain())
    nib.save(nib.Nifti1Image(LIKE_MASKS[name](values), AFFINE), tmp_path / "sub-01_T1w.nii")
    assert "mask-like" in read(tmp_path / "sub-01_T1w.nii").flags


def test_metres_and_micrometres_are_voxel_sizes_too(tmp_path: Path, scan: Path) -> None:
    for unit, factor in (("meter", 1e-3), ("micron", 1e3)):
        affine = np.diag([2 * factor, 2 * factor, 5 * factor, 1])
        image = nib.Nifti1Image(brain(), affine)
        image.header.set_xyzt_units(unit)
        nib.save(image, tmp_path / f"{unit}.nii")
        volume = read(tmp_path / f"{unit}.nii")
        assert volume.spacing == pytest.approx(read(scan).spacing, rel=1e-6)
        np.testing.assert_array_equal(volume.values, read(scan).values)


@pytest.mark.parametrize("rest", [b"garbage after", bytes(512), b"\x1f\x8b\x08 no member", b"\x1f\x8b"])
def test_bytes_after_the_gzip_stream_are_ignored(tmp_path: Path, scan: Path, rest: bytes) -> None:
    padded = tmp_path / "padded.nii.gz"
    padded.write_bytes(scan.read_bytes() + rest)
    np.testing.assert_array_equal(read(padded).values, read(scan).values)
    whole = gzip.decompress(scan.read_bytes())
    members = tmp_path / "members.nii.gz"
    members.write_bytes(
        b"".join(gzip.compress(whole[i : i + 20_000]) for i in range(0, len(whole), 20_000)) + rest
    )
    np.testing.assert_array_equal(read(members).values, read(scan).values)


def test_nan_is_read_as_0_if_asked_for(tmp_path: Path) -> None:
    values = np.where(brain() > 450, brain(), np.nan).astype(np.float32)
    path = save(tmp_path / "nan.nii", values)
    with pytest.raises(SeriesError, match="NaN") as refused:
        read(path)
    assert "--nan zero" in refused.value.hint
    options = ReadOptions(nan="zero")
    volume = read_volume(Series("any", NiftiImage(path), flags=("x",)), options=options)
    expected = read(save(tmp_path / "zero.nii", np.nan_to_num(values)))
    np.testing.assert_array_equal(volume.values, expected.values)
    assert volume.flags == ("x", "nan-replaced")
    values[0, 0, 0] = np.inf
    with pytest.raises(SeriesError, match="infinite"):
        read_volume(Series("any", NiftiImage(save(path, values))), options=options)
    all_nan = save(path, np.full_like(values, np.nan))
    with pytest.raises(SeriesError, match="constant"):
        read_volume(Series("any", NiftiImage(all_nan)), options=options)


@pytest.mark.parametrize(("kind", "largest"), [("f4", 3e38), ("f8", 1e300), ("f8", -1e305)])
def test_values_that_would_overflow_are_refused(tmp_path: Path, kind: str, largest: float) -> None:
    values = brain().astype(kind)
    values[5, 5, 5] = largest
    with pytest.raises(SeriesError, match="too large to compute"):
        read(save(tmp_path / "large.nii", values))


def test_values_too_uneven_to_divide_by_their_maximum_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(9).uniform(0, 1, (40, 50, 12)).astype(np.float32)
    values[10:20] = -1e29
    with pytest.raises(SeriesError, match="too uneven"):
        read(save(tmp_path / "uneven.nii", values))
    padded = np.where(brain() < 100, -32768, brain() // 20).astype(np.int16)
    assert read(save(tmp_path / "padded.nii", padded)).values.min() < -30000


def test_too_many_slices_are_resampled_if_asked_for(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(384, dtype=np.int16) * 2, (16, 16, 384))
    path = save(tmp_path / "thin.nii", ramp, np.diag([1.0, 1.0, 0.67, 1.0]))
    with pytest.raises(SeriesError, match="384 slices give 6144 subvolumes") as refused:
        read(path, "S")
    assert "--max-subvolumes-action resample" in refused.value.hint
    options = ReadOptions("S", max_subvolumes_action="resample")
    volume = read_volume(Series("any", NiftiImage(path)), options=options)
    assert volume.values.shape == (312, 256, 256)
    assert volume.spacing[0] == pytest.approx(0.67 * 384 / 312)
    assert volume.flags == ("slices-resampled",)
    np.testing.assert_array_equal(volume.values[:, 9, 9], np.floor(np.arange(312) * 384 / 312 * 2 + 1e-9))
    assert len(cut(volume).row) > 0
    thick = save(tmp_path / "thick.nii", ramp[..., ::2], np.diag([1.0, 1.0, 1.34, 1.0]))
    assert read_volume(Series("any", NiftiImage(thick)), options=options).flags == ()


REFUSED = {
    "no_sizes.nii": (
        lambda path, whole: path.write_bytes(edited(sform_code=0, pixdim=0 * PIXDIM)),
        "voxel size of 0",
    ),
    "bad_qform.nii": (
        lambda path, whole: path.write_bytes(edited(sform_code=0, quatern_b=3.0)),
        "qform is damaged",
    ),
    "bad_intercept.nii": (
        lambda path, whole: path.write_bytes(edited(scl_slope=1, scl_inter=np.inf)),
        "invalid intercept",
    ),
    "far_offset.nii": (
        lambda path, whole: path.write_bytes(edited(vox_offset=2e9)),
        "voxel offset of 2000000000 bytes",
    ),
    "cut_member.nii.gz": (
        lambda path, whole: path.write_bytes(
            gzip.compress(gzip.decompress(whole)[:5000])
            + gzip.compress(gzip.decompress(whole)[5000:])[:-2000]
        ),
        "fewer voxels",
    ),
    "empty.nii.gz": (lambda path, whole: path.write_bytes(b""), "empty"),
    "truncated.nii.gz": (lambda path, whole: path.write_bytes(whole[: len(whole) // 2]), "or truncated"),
    "truncated.nii": (
        lambda path, whole: path.write_bytes(gzip.decompress(whole)[:5000]),
        "fewer voxels than its header declares",
    ),
    "header.nii": (
        lambda path, whole: path.write_bytes(gzip.decompress(whole)[:352]),
        "fewer voxels than its header declares",
    ),
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


@pytest.mark.parametrize("by_dcm2niix", [True, False])
def test_rows_run_as_in_dicom_if_dcm2niix_wrote_the_file(by_dcm2niix: bool) -> None:
    # Coronal slices whose rows are stored from the feet up: dcm2niix stores them from the head down.
    affine = np.array([[-1.0, 0, 0, 0], [0, 0, 3, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    geometry = Geometry((8, 8, 8), affine, None, by_dcm2niix)
    assert in_plane_order(geometry, 2, "voxel-size", ())[1].tolist() == [1, -1 if by_dcm2niix else 1]
