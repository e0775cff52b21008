"""Maps of tokens on the scan's own grid: the voxels that a token was made of get its value."""

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from prima_features.encoders.prima.prepare import acquire, to_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import divide
from prima_features.explain.placement import Placement, placement
from prima_features.studies.dicom import find_dicom
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import ReadOptions
from prima_features.volumes.volume import Acquired

SHAPE = (150, 192, 20)


def rotation(*degrees: float) -> np.ndarray:
    turned = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        a, b = (other for other in range(3) if other != axis)
        one[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turned = one @ turned
    return turned


def affine_of(codes: str, spacing: tuple[float, ...], degrees: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    """Voxels to mm in RAS for axes that run in the directions of `codes`."""
    directions = np.zeros((3, 3))
    for axis, code in enumerate(codes):
        world = ["LR", "PA", "IS"].index(next(pair for pair in ("LR", "PA", "IS") if code in pair))
        directions[world, axis] = 1 if code in "RAS" else -1
    affine = np.eye(4)
    affine[:3, :3] = rotation(*degrees) @ directions * spacing
    affine[:3, 3] = [-80, 33, 12.5]
    return affine


def write(path: Path, values: np.ndarray, affine: np.ndarray) -> Series:
    image = nib.Nifti1Image(values.astype(np.int16), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return Series("scan", NiftiImage(path))


CASES = {
    "as displayed": (SHAPE, affine_of("LPS", (1.2, 1.2, 5))),
    "RAS": (SHAPE, affine_of("RAS", (1.2, 1.2, 5))),
    "flipped": (SHAPE, affine_of("LAI", (1.2, 1.2, 5))),
    "oblique": (SHAPE, affine_of("RAS", (1.2, 1.2, 5), (17, -9, 5))),
    "sagittal, stored R A S": ((18, 200, 180), affine_of("RAS", (5, 1, 1))),
    "coronal, oblique": ((180, 22, 200), affine_of("LIP"[0] + "A" + "S", (1, 5, 1), (4, 12, -7))),
    "sagittal, stored P S R": ((200, 180, 18), affine_of("PSR", (1, 1, 5))),
    "large matrix": ((512, 400, 9), affine_of("RAS", (0.45, 0.5, 5))),
    "matrix of 256": ((256, 256, 21), affine_of("RPI", (1, 1, 4))),
    "isotropic": ((120, 140, 130), affine_of("RAS", (1.5, 1.5, 1.5))),
}


def check_tokens(
    acquired: Acquired, found: Placement, preprocessing: Preprocessing = Preprocessing()
) -> None:
    """Each token's voxels, marked in the scan, are what the preprocessing puts in that token."""
    rng = np.random.default_rng(0)
    for flat in rng.choice(np.prod(found.counts), 6, replace=False):
        chosen = np.zeros(found.counts)
        chosen.flat[flat] = 1000
        marked = found.on_scan(chosen)
        assert marked.shape == found.stored.shape
        if not marked.any():  # a token of padding alone
            continue
        # To the acquired image's axes again, independently of `to_stored`.
        turned = marked.transpose(found.stored.axes)
        turned = np.flip(turned, [axis for axis in range(3) if found.stored.flipped[axis]])
        image = sitk.GetImageFromArray(np.ascontiguousarray(turned.T))
        image.CopyInformation(acquired.image)
        grid = divide(to_volume(Acquired(image), preprocessing), preprocessing)
        mass = grid.values.sum(axis=(1, 3, 5))
        assert np.unravel_index(mass.argmax(), mass.shape) == np.unravel_index(flat, found.counts)
        assert mass.flat[flat] > 0.8 * mass.sum()


@pytest.mark.parametrize("name", CASES)
def test_a_token_s_voxels_are_marked_on_the_grid_of_a_nifti_file(name: str, tmp_path: Path) -> None:
    shape, affine = CASES[name]
    values = np.random.default_rng(1).integers(0, 1000, shape)
    series = write(tmp_path / "scan.nii", values, affine)
    acquired = acquire(series)
    found = placement(acquired)
    np.testing.assert_allclose(found.stored.affine, affine, atol=1e-5)
    assert found.stored.shape == shape
    # The acquired image, put back, is the file.
    as_read = sitk.GetArrayFromImage(acquired.image).T
    np.testing.assert_array_equal(found.stored.to_stored(as_read), values)
    volume = to_volume(acquired)
    assert found.counts == divide(volume).percent.shape
    check_tokens(acquired, found)


def test_a_bright_block_is_found_where_it_is(tmp_path: Path) -> None:
    values = np.full(SHAPE, 10)
    values[75:94, 120:144, 8:12] = 900
    series = write(tmp_path / "scan.nii", values, affine_of("LAS", (1.2, 1.2, 5), (10, 5, 0)))
    acquired = acquire(series)
    grid = divide(to_volume(acquired))
    found = placement(acquired)
    marked = found.on_scan(grid.values.mean(axis=(1, 3, 5)))
    inside = values == 900
    assert marked[inside].mean() > 5 * marked[~inside].mean()
    assert inside.ravel()[marked.argmax()]


def test_resampled_slices_are_undone(tmp_path: Path) -> None:
    preprocessing = Preprocessing(max_subvolumes=5 * 64)
    series = write(
        tmp_path / "scan.nii",
        np.random.default_rng(0).integers(0, 900, (64, 64, 50)),
        affine_of("RPS", (3, 3, 4)),
    )
    acquired = acquire(series, preprocessing, ReadOptions(max_subvolumes_action="resample"))
    found = placement(acquired, preprocessing)
    assert found.counts == (5, 8, 8)
    check_tokens(acquired, found, preprocessing)


def test_tokens_of_dicom_and_of_its_nifti_are_in_the_same_place(study_a: Path, tmp_path: Path) -> None:
    from dcm2niix import bin as dcm2niix

    (study,) = find_dicom(study_a).studies
    for i, series in enumerate(study.series):
        acquired = acquire(series)
        by_dicom = placement(acquired)
        check_tokens(acquired, by_dicom)
        inputs = tmp_path / str(i) / "in"
        inputs.mkdir(parents=True)
        for number, file in enumerate(series.files):
            (inputs / f"{number}.dcm").symlink_to(file)
        command = [dcm2niix, "-b", "n", "-z", "n", "-f", "image", "-o", str(inputs.parent), str(inputs)]
        subprocess.run(command, capture_output=True, check=True)
        path = inputs.parent / "image.nii"
        original = nib.load(path)
        orientation = tuple(np.reshape(acquired.image.GetDirection(), (3, 3))[:, :2].T.ravel())
        by_nifti = placement(acquire(Series("scan", NiftiImage(path, orientation=orientation))))
        assert by_nifti.stored.shape == original.shape
        np.testing.assert_allclose(by_nifti.stored.affine, original.affine, atol=1e-5)
        numbers = np.arange(np.prod(by_dicom.counts)).reshape(by_dicom.counts)
        one, other = by_dicom.on_scan(numbers), by_nifti.on_scan(numbers)
        voxels = np.argwhere(np.ones(one.shape, bool))[::997]
        world = nib.affines.apply_affine(by_dicom.stored.affine, voxels)
        there = np.rint(nib.affines.apply_affine(np.linalg.inv(by_nifti.stored.affine), world)).astype(int)
        np.testing.assert_array_equal(one[tuple(voxels.T)], other[tuple(there.T)])


def test_a_token_kept_twice_counts_twice() -> None:
    image = sitk.Image((256, 256, 8), sitk.sitkInt16)
    found = placement(Acquired(image))
    coord = np.array([[4, 0, 32], [0, 0, 0], [4, 0, 32]])
    grid = found.on_tokens(coord, np.array([1.0, 2, 3]))
    assert grid[1, 0, 1] == 4
    assert grid[0, 0, 0] == 2
    assert found.index(coord).tolist() == [65, 0, 65]
