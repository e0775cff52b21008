"""Anatomy of a scan: resampling in one interpolation, rigid parts, and scans that were already skull-stripped."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from brains import brain
from scipy import ndimage

from prima_features.studies.study import NiftiImage
from prima_features.synthetic import draw_acquisitions, draw_subject, render_series
from prima_features.synthetic.acquisition import head_affine
from prima_features.synthetic.atlas.labels import INTRACRANIAL
from prima_features.volumes.anatomy import (
    STRIPPED,
    Grid,
    find_anatomy,
    grid,
    litres,
    resample,
    rigid,
    scale,
    stored_values,
    stripped_mask,
)
from prima_features.volumes.nifti import read_nifti
from prima_features.volumes.volume import Acquired, StoredGrid


def turned(
    degrees: float, shift: tuple[float, float, float], scales: tuple[float, float, float]
) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.block(
        [[matrix[:3, :3] @ np.diag(scales), np.array(shift)[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]
    )


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


@pytest.mark.parametrize("degrees", [0, 13, -40])
def test_the_rigid_part_of_a_scaled_rotation_is_that_rotation(degrees: float) -> None:
    centre = np.array([1.0, -17.0, 12.0])
    affine = turned(degrees, (4, 5, 6), (1.1, 1.1, 1.1))
    found = rigid(affine, centre)
    np.testing.assert_allclose(found[:3, :3], turned(degrees, (0, 0, 0), (1, 1, 1))[:3, :3], atol=1e-12)
    point = np.linalg.solve(affine, [*centre, 1])
    np.testing.assert_allclose((found @ point)[:3], centre, atol=1e-12)


def test_a_rigid_affine_is_its_own_rigid_part() -> None:
    affine = turned(25, (4, 5, 6), (1, 1, 1))
    np.testing.assert_allclose(rigid(affine, np.array([9.0, 8.0, 7.0])), affine, atol=1e-12)


def test_scale_and_litres() -> None:
    affine = turned(30, (0, 0, 0), (2, -1, 4))
    assert scale(affine) == pytest.approx(2)
    assert litres(np.ones((10, 10, 10)), affine) == pytest.approx(0.008)


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


@dataclass(frozen=True)
class Head:
    """A synthetic scan with masks of its head and of its brain with the fluid around it."""

    values: np.ndarray
    affine: np.ndarray
    head: np.ndarray
    brain: np.ndarray


@cache
def synthetic(sequence: str) -> Head:
    subject = brain(draw_subject(11, 0, site="university", age=70))
    (scan,) = draw_acquisitions(11, 0, "university", sequences=(sequence,))  # type: ignore[arg-type]
    made = render_series(subject, scan)
    atlas = head_affine(scan, subject.scale, subject.spacing, subject.origin)
    label = resample(subject.label.numpy(), atlas, Grid(made.volume.shape, made.affine), order=0)  # type: ignore[arg-type]
    inside = ndimage.binary_fill_holes(label != 0)
    return Head(made.volume, made.affine, inside, np.isin(label, [int(one) for one in INTRACRANIAL]))


def oblique(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Resampled after a turn of 17 degrees, with zeros in the corners."""
    return resample(values, affine, Grid(values.shape, affine), turned(17, (0, 0, 0), (1, 1, 1)))  # type: ignore[arg-type]


SEQUENCES = ("T1w", "T2w", "FLAIR", "DWI")


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_stripped_brains_are_recognised(sequence: str) -> None:
    one = synthetic(sequence)
    stripped = one.values * one.brain
    mask = stripped_mask(stripped, one.affine)
    assert mask is not None
    np.testing.assert_array_equal(mask, stripped != 0)
    assert 1.0 < litres(mask, one.affine) < 2.0
    assert stripped_mask(oblique(stripped.astype(np.float32), one.affine), one.affine) is not None
    brightest = (1000.0 / stripped.max()) * stripped
    assert stripped_mask(brightest, one.affine) is not None
    edges = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(int(edge[0]), int(edge[-1]) + 1) for edge in edges)
    assert stripped_mask(stripped[box], one.affine) is not None


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_whole_heads_are_not_stripped_whatever_surrounds_them(sequence: str) -> None:
    one = synthetic(sequence)
    masked = one.values * one.head
    n = masked.shape[2]
    heads = {
        "as acquired": one.values,
        "background set to 0": masked,
        "oblique": oblique(one.values, one.affine),
        "oblique, background set to 0": oblique(masked, one.affine),
        "lower half": masked[:, :, : n // 2],
        "upper half": masked[:, :, n // 2 :],
        "middle third": masked[:, :, n // 3 : 2 * n // 3],
        "defaced": np.where(np.arange(masked.shape[1])[:, None] < masked.shape[1] // 4, 0, masked),
    }
    for what, values in heads.items():
        assert stripped_mask(values, one.affine) is None, what


def test_real_scans_are_told_apart(scans: Path) -> None:
    found = {}
    for name in ("FLAIR", "orientations/SLA", "T2w_axial_2mm", "avg152T1_2mm", "dwi_b0_3mm"):
        acquired = read_nifti(NiftiImage(scans / "nifti" / f"{name}.nii.gz"))
        found[name] = find_anatomy(acquired).mask_from
        if name == "T2w_axial_2mm":
            values, affine = stored_values(acquired)
            outline = ndimage.binary_fill_holes(values > 0.08 * np.percentile(values, 99))
            assert stripped_mask(values * outline, affine) is None
            tight = ndimage.binary_opening(outline, iterations=3)  # no larger than a generous brain mask
            assert stripped_mask(values * tight, affine) is None
    stripped = {name for name, known_from in found.items() if known_from == STRIPPED}
    assert stripped == {"FLAIR", "orientations/SLA"}


@pytest.mark.parametrize(("region", "is_stripped"), [("brain", True), ("head", False)])
def test_scores_below_0_are_understood(region: str, is_stripped: bool) -> None:
    one = synthetic("T1w")
    inside = getattr(one, region) & (one.values != 0)
    values = one.values[inside]
    scores = np.where(inside, (one.values - values.mean()) / values.std(), 0)
    assert (stripped_mask(scores, one.affine) is not None) == is_stripped
