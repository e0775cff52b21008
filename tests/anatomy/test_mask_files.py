"""Masks from files: on any grid, of several kinds, and refusals."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from brains import turned
from scipy import ndimage

from prima_features.anatomy.mask_files import read_mask
from prima_features.errors import SeriesError

AFFINE = turned(12, (-30.0, -40.0, -25.0), (2.0, -2.0, 2.5))
SHAPE = (30, 36, 24)


def ball(shape: tuple[int, ...], affine: np.ndarray, radius: float = 18.0) -> np.ndarray:
    """Voxels of a grid within a distance of a point near the middle of the scan, mm."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    middle = AFFINE @ [*(np.array(SHAPE) / 2), 1.0]
    return np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - middle[:3], axis=-1) < radius


MASK = ball(SHAPE, AFFINE)
VALUES = np.random.default_rng(0).uniform(1, 2, SHAPE).astype(np.float32)


def saved(
    folder: Path, values: np.ndarray, affine: np.ndarray = AFFINE, name: str = "mask.nii.gz", **how: object
) -> Path:
    kind = nib.MGHImage if name.endswith(".mgz") else nib.Nifti1Image
    nib.save(kind(values, affine, **how), folder / name)
    return folder / name


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii", "mask.mgz"])
def test_a_mask_on_the_grid_of_the_scan_is_used_as_it_is(name: str, dtype: type, tmp_path: Path) -> None:
    affine = AFFINE.astype(np.float32).astype(float)
    found, kind = read_mask(saved(tmp_path, MASK.astype(dtype), name=name), VALUES, affine)
    np.testing.assert_array_equal(found, MASK)
    assert found.dtype == bool and not kind


@pytest.mark.parametrize("name", ["mask.nrrd", "mask.mha"])
def test_formats_of_itk_are_read(name: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(MASK.transpose().astype(np.uint8))
    image.SetOrigin((30.0, 40.0, -25.0))
    image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    sitk.WriteImage(image, str(tmp_path / name))
    affine = np.eye(4)
    affine[:3, 3] = (-30.0, -40.0, -25.0)
    np.testing.assert_array_equal(read_mask(tmp_path / name, VALUES, affine)[0], MASK)


def test_another_grid_is_matched_by_world_coordinates(tmp_path: Path) -> None:
    """1 mm, other axes and another field of view, as FreeSurfer's conformed images."""
    grid = np.array([[0, -1.0, 0, 60], [0, 0, 1.0, -130], [-1.0, 0, 0, 70], [0, 0, 0, 1]])
    shape = (128, 128, 128)
    path = saved(tmp_path, ball(shape, grid).astype(np.uint8), grid)
    found, _ = read_mask(path, VALUES, AFFINE)
    differs = found != MASK
    assert differs.sum() < 0.05 * MASK.sum()
    assert not (differs & (ball(SHAPE, AFFINE, 16.5) | ~ball(SHAPE, AFFINE, 19.5))).any()


def test_probabilities_labels_and_stripped_images(tmp_path: Path) -> None:
    probability = np.where(MASK, 0.8, 0.2) * np.linspace(0.9, 1, SHAPE[0])[:, None, None]
    found, kind = read_mask(saved(tmp_path, probability.astype(np.float32)), VALUES, AFFINE)
    np.testing.assert_array_equal(found, MASK)
    assert kind == "probabilities >= 0.5"
    labels = (MASK * (1 + np.arange(SHAPE[0]) % 7)[:, None, None]).astype(np.int16)
    found, kind = read_mask(saved(tmp_path, labels), VALUES, AFFINE)
    np.testing.assert_array_equal(found, MASK)
    assert kind == "labels > 0"
    found, kind = read_mask(saved(tmp_path, 100 * VALUES * MASK), VALUES, AFFINE)
    np.testing.assert_array_equal(found, MASK)
    assert kind == "values > 0"


def test_scaled_probabilities_are_probabilities(tmp_path: Path) -> None:
    image = nib.Nifti1Image(
        np.where(MASK, 200, 40).astype(np.uint8) + (np.arange(24) % 3).astype(np.uint8), AFFINE
    )
    image.header.set_slope_inter(1 / 255, 0)
    nib.save(image, tmp_path / "mask.nii.gz")
    found, kind = read_mask(tmp_path / "mask.nii.gz", VALUES, AFFINE)
    np.testing.assert_array_equal(found, MASK)
    assert kind == "probabilities >= 0.5"


@pytest.mark.parametrize("name", ["brainmask.mgz", "sub-01_brainmask.mgz"])
def test_voxels_that_a_user_of_freesurfer_deleted_are_left_out(name: str, tmp_path: Path) -> None:
    image = np.where(MASK, 80, 0).astype(np.uint8)
    image[15, 18, 12] = 1
    found, kind = read_mask(saved(tmp_path, image, name=name), VALUES, AFFINE)
    assert not kind and not found[15, 18, 12] and found.sum() == MASK.sum() - 1


@pytest.mark.parametrize(
    ("top", "dtype"), [(1, np.float32), (1.04, np.float32), (100, np.int16), (255, np.uint8)]
)
def test_probabilities_have_one_of_three_units(top: float, dtype: type, tmp_path: Path) -> None:
    """Smooth at the border, as of a network or of interpolation, which may overshoot."""
    smooth = ndimage.gaussian_filter(MASK.astype(float), 1.2)
    path = saved(tmp_path, (top / smooth.max() * smooth).astype(dtype))
    found, kind = read_mask(path, VALUES, AFFINE)
    assert kind == "probabilities >= 0.5"
    assert (found != (smooth > 0.5)).sum() < 0.03 * MASK.sum()


@pytest.mark.parametrize("top", [1, 100, 255])
def test_stripped_images_are_no_probabilities_whatever_their_unit(top: float, tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(0.2, 0.7, SHAPE) * MASK
    image[15, 18, 12] = 1
    found, _ = read_mask(saved(tmp_path, (top * image).astype(np.float32)), VALUES, AFFINE)
    np.testing.assert_array_equal(found, MASK)


def test_labels_up_to_255_are_no_probabilities(tmp_path: Path) -> None:
    """In FreeSurfer's aseg.mgz the largest are those of the corpus callosum, 251 to 255."""
    labels = (MASK * (1 + np.arange(SHAPE[0]) % 60)[:, None, None]).astype(np.int16)
    labels[14:16, 17:19, 11:13] = 255
    found, kind = read_mask(saved(tmp_path, labels), VALUES, AFFINE)
    np.testing.assert_array_equal(found, MASK)
    assert kind == "labels > 0"


OFF = AFFINE.copy()
OFF[:3, 3] += (0.0, 0.0, 34.0)
AWAY = AFFINE.copy()
AWAY[:3, 3] += 500.0
REFUSED = {
    "empty": (np.zeros(SHAPE, np.uint8), AFFINE, "is empty"),
    "elsewhere": (MASK.astype(np.uint8), AWAY, "does not overlap"),
    "partly elsewhere": (MASK.astype(np.uint8), OFF, "within the field of view"),
    "everything": (np.ones(SHAPE, np.uint8), AFFINE, "covers the entire image"),
    "negative": (np.where(MASK, 1, -1).astype(np.int16), AFFINE, "negative"),
    "four dimensions": (np.stack([MASK, MASK], -1).astype(np.uint8), AFFINE, "2 volumes"),
    "complex": (MASK.astype(np.complex64), AFFINE, "cannot be used"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_mask_of_the_scan_is_refused(fault: str, tmp_path: Path) -> None:
    values, affine, message = REFUSED[fault]
    with pytest.raises(SeriesError, match=message) as error:
        read_mask(saved(tmp_path, values, affine), VALUES, AFFINE)
    assert error.value.hint and str(tmp_path) not in str(error.value) + error.value.hint


def without_position(kind: str, folder: Path) -> Path:
    """A mask as programs write it that drop the geometry of the scan."""
    voxels, path = MASK.astype(np.uint8), folder / "mask.nii.gz"
    if kind == "codes 0":
        nib.save(nib.Nifti1Image(voxels, None), path)
    elif kind == "Analyze":
        path = folder / "mask.hdr"
        nib.save(nib.AnalyzeImage(voxels, np.diag([-2.0, 2.0, 2.5, 1.0])), path)
    elif kind == "SimpleITK":
        sitk.WriteImage(sitk.GetImageFromArray(voxels.transpose()), str(path))
    else:
        nib.save(
            nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.5, 1.0]) if kind == "spacing" else np.eye(4)), path
        )
    return path


@pytest.mark.parametrize("kind", ["codes 0", "Analyze", "SimpleITK", "identity", "spacing"])
def test_a_mask_without_a_position_is_refused_and_not_put_somewhere(kind: str, tmp_path: Path) -> None:
    path = without_position(kind, tmp_path)
    with pytest.raises(SeriesError, match="does not state the position"):
        read_mask(path, VALUES, AFFINE)


def test_scan_and_mask_may_both_lack_a_position(tmp_path: Path) -> None:
    path = without_position("identity", tmp_path)
    np.testing.assert_array_equal(read_mask(path, VALUES, np.eye(4))[0], MASK)


def test_a_mask_of_the_head_or_of_what_is_outside_the_brain_is_refused(tmp_path: Path) -> None:
    affine = AFFINE @ np.diag([5.0, 5.0, 5.0, 1.0])  # 250 mm of field of view and more
    path = saved(tmp_path, (~MASK).astype(np.uint8), affine)
    with pytest.raises(SeriesError, match="litres, more than any brain"):
        read_mask(path, VALUES, affine)


def test_a_mask_of_the_background_is_refused(tmp_path: Path) -> None:
    scan = np.where(MASK, VALUES, 0)
    with pytest.raises(SeriesError, match="the scan is 0 in"):
        read_mask(saved(tmp_path, np.roll(MASK, 10, 0).astype(np.uint8)), scan, AFFINE)


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii", "mask.mgz", "mask.nrrd", "mask.txt", "mask"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind" * 40)
    with pytest.raises(SeriesError, match="brain mask cannot be used"):
        read_mask(tmp_path / name, VALUES, AFFINE)
