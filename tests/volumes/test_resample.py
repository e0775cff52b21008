"""Ties that rounding must not decide: the line half a voxel beyond the last centre, and tilts of 45 degrees."""

import numpy as np
import pytest
import SimpleITK as sitk

from prima_features.encoders.prima.prepare import resample_in_plane
from prima_features.volumes.volume import to_lps


def make_image(values: np.ndarray, rng: np.random.Generator) -> sitk.Image:
    """An image of a random geometry."""
    image = sitk.GetImageFromArray(values)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    image.SetDirection((q * np.sign(np.linalg.det(q))).ravel().tolist())
    image.SetSpacing((float(rng.uniform(0.5, 4)), float(rng.uniform(0.5, 4)), 4.0))
    image.SetOrigin(np.round(rng.normal(size=3) * 80, 3).tolist())
    return image


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (128, 96), (96, 128), (32, 128)])
def test_the_line_half_a_voxel_beyond_the_last_centre_is_image_in_every_geometry(
    rows: int, columns: int
) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(100, 900, (3, rows, columns)).astype(np.int16)
    for _ in range(8):
        resampled = sitk.GetArrayFromImage(resample_in_plane(make_image(values, rng), 256))
        for axis, samples in ((1, rows), (2, columns)):
            lines = np.moveaxis(resampled, axis, 0)
            border = 256 - 128 / samples
            if border.is_integer():
                np.testing.assert_array_equal(lines[int(border)], lines[int(border) - 1])
            # 2 is SimpleITK's number for int16, which fills what lies farther outside.
            assert (lines[int(np.floor(border)) + 1 :] == 2).all()
            assert (lines[: int(np.floor(border)), :16, :16] >= 99).all()


def test_a_matrix_without_such_a_line_is_resampled_by_simpleitk_alone() -> None:
    rng = np.random.default_rng(1)
    image = make_image(rng.integers(0, 900, (3, 80, 100)).astype(np.int16), rng)
    dx, dy, dz = image.GetSpacing()
    expected = sitk.Resample(
        image,
        (256, 256, 3),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (dx * 100 / 256, dy * 80 / 256, dz),
        image.GetDirection(),
        2.0,
        sitk.sitkInt16,
    )
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(resample_in_plane(image, 256)), sitk.GetArrayFromImage(expected)
    )


def turned(degrees: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Directions of axial slices tilted about x, rounded somehow."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    direction = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) + rng.uniform(-noise, noise, (3, 3))
    left, _, right = np.linalg.svd(direction)
    return left @ right


@pytest.mark.parametrize("degrees", [45, -45, 135, 225])
def test_a_volume_tilted_by_45_degrees_is_turned_alike_however_it_is_rounded(degrees: float) -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 900, (5, 6, 7)).astype(np.int16)
    found = []
    for _ in range(20):
        image = sitk.GetImageFromArray(values)
        image.SetDirection(turned(degrees, 1e-6, rng).ravel().tolist())
        found.append(to_lps(image))
    for volume in found:
        np.testing.assert_array_equal(volume.values, found[0].values)
        assert volume.slice_axis == found[0].slice_axis


def test_other_volumes_are_turned_as_simpleitk_turns_them() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        image = make_image(rng.integers(0, 900, (5, 6, 7)).astype(np.int16), rng)
        expected = sitk.DICOMOrient(image, "LPS")
        volume = to_lps(image)
        np.testing.assert_array_equal(volume.values, sitk.GetArrayFromImage(expected))
        assert volume.spacing == expected.GetSpacing()[::-1]
