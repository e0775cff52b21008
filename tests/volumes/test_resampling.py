"""Resampling onto another grid in one interpolation, and stored values."""

import numpy as np
import SimpleITK as sitk
from brains import turned

from prima_features.volumes.resampling import grid, resample, stored_values
from prima_features.volumes.volume import Acquired, StoredGrid


def ramp(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """A linear function of the position in mm: trilinear interpolation gives it back exactly."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return (index @ affine[:3, :3].T + affine[:3, 3]) @ [0.3, -0.2, 0.5] + 100


def test_a_volume_on_its_own_grid_is_unchanged() -> None:
    values = np.random.RandomState(0).uniform(1, 2, (12, 9, 7)).astype(np.float32)
    target = grid((12, 9, 7), first=(10.0, -20.0, 5.0), axes="LAS")
    np.testing.assert_array_equal(resample(values, target.affine, target), values)


def test_matrices_are_composed_and_a_linear_image_is_read_exactly() -> None:
    affine = turned(20, (-30, -25, -20), (1.5, -1.2, 2.0))
    to_world = turned(-7, (3, -2, 1), (1.1, 0.9, 1.05))
    values = ramp((50, 45, 40), affine)
    target = grid((10, 12, 14), first=(-5.0, -60.0, 10.0))
    found = resample(values, affine, target, to_world)
    expected = ramp(target.shape, np.linalg.inv(to_world) @ target.affine)
    assert (found != 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_outside_is_zero_or_the_nearest_voxel() -> None:
    values, target = np.full((4, 4, 4), 7.0), grid((6, 4, 4), first=(-1.0, 0.0, 0.0))
    assert resample(values, np.eye(4), target)[:, 0, 0].tolist() == [0, 7, 7, 7, 7, 0]
    assert (resample(values, np.eye(4), target, outside="nearest") == 7).all()


def test_masks_stay_masks() -> None:
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[3:6, 3:6, 3:6] = 1
    found = resample(mask, np.diag([2.0, 2, 2, 1]), grid((18, 18, 18), (0.0, 0.0, 0.0)), order=0)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 1}


def test_stored_values_are_on_the_stored_grid_without_nan() -> None:
    stored = np.random.RandomState(0).uniform(1, 2, (4, 5, 6)).astype(np.float32)
    stored[0, 0, 0] = np.nan
    columns_rows_slices = np.flip(stored.transpose(1, 0, 2), 0)
    image = sitk.GetImageFromArray(columns_rows_slices.transpose())
    on_file = StoredGrid((4, 5, 6), np.eye(4), axes=(1, 0, 2), flipped=(True, False, False))
    acquired = Acquired(image, stored=on_file)
    values, affine = stored_values(acquired)
    np.testing.assert_array_equal(values, np.nan_to_num(stored))
    np.testing.assert_array_equal(affine, np.eye(4))
