"""Masks that do not fit their scan get a flag, and right ones get none."""

import numpy as np
import pytest
from brains import synthetic_head
from scipy import ndimage

from prima_features.anatomy.fit import mask_doubts
from prima_features.anatomy.quality import MISPLACED, NO_BRAIN, TOO_LARGE

SEQUENCES = ("T1w", "T2w", "FLAIR", "DWI")


def shifted(mask: np.ndarray, affine: np.ndarray, axis: int, mm: float) -> np.ndarray:
    """Moved along one axis of the grid; what leaves it is lost."""
    n = round(mm / np.linalg.norm(affine[:3, axis]))
    lost = [slice(None)] * 3
    lost[axis] = slice(0, n) if n > 0 else slice(n, None)
    moved = np.roll(mask, n, axis)
    moved[tuple(lost)] = False
    return moved


def below(mask: np.ndarray, affine: np.ndarray, mm: float) -> np.ndarray:
    """The mask eroded, or with a negative number dilated."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    inside = ndimage.distance_transform_edt(mask, sampling=sides)
    return inside - ndimage.distance_transform_edt(~mask, sampling=sides) > mm


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_right_masks_fit(sequence: str) -> None:
    head = synthetic_head(sequence)
    n = head.values.shape[2]
    near = {
        "right": head.brain,
        "3 mm smaller": below(head.brain, head.affine, 3.0),
        "2 mm larger": below(head.brain, head.affine, -2.0),
        "without holes": ndimage.binary_fill_holes(head.brain),
    }
    for what, mask in near.items():
        assert mask_doubts(head.values, head.affine, mask) == (), what
    images = {
        "skull-stripped": head.values * head.brain,
        "inverted": head.values.max() - head.values,
        "another unit": 1e-4 * head.values - 3,
        "receive coil": head.values * np.linspace(0.4, 1.6, head.values.shape[1])[:, None],
    }
    for what, values in images.items():
        assert mask_doubts(values.astype(np.float32), head.affine, head.brain) == (), what
    half = head.values[:, :, : n // 2], head.affine, head.brain[:, :, : n // 2]
    assert mask_doubts(*half) == ()
    thick = np.diag([1.0, 1.0, 5.0, 1.0])
    assert mask_doubts(head.values[:, :, ::5], head.affine @ thick, head.brain[:, :, ::5]) == ()


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("mm", [-20.0, 20.0])
def test_masks_in_another_place_are_flagged(sequence: str, axis: int, mm: float) -> None:
    head = synthetic_head(sequence)
    mask = shifted(head.brain, head.affine, axis, mm)
    assert mask_doubts(head.values, head.affine, mask) == (MISPLACED,)


@pytest.mark.parametrize("sequence", ["T2w", "FLAIR", "DWI"])
def test_a_mask_with_the_skull_is_flagged_where_bone_and_scalp_are_unlike_brain(sequence: str) -> None:
    head = synthetic_head(sequence)
    mask = below(head.brain, head.affine, -10.0)
    assert mask_doubts(head.values, head.affine, mask) == (TOO_LARGE,)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_voxels_in_a_mask_must_be_a_brain(sequence: str) -> None:
    head = synthetic_head(sequence)
    rng = np.random.default_rng(0)
    inside = head.values[head.brain]
    for content in (0.0, inside.mean(), rng.normal(inside.mean(), inside.std(), inside.size)):
        values = head.values.astype(np.float32)
        values[head.brain] = content
        assert mask_doubts(values, head.affine, head.brain) == (NO_BRAIN,)


def test_nothing_is_said_of_a_few_voxels() -> None:
    head = synthetic_head("T1w")
    few = head.brain & (np.cumsum(head.brain).reshape(head.brain.shape) <= 60)
    assert few.sum() == 60
    assert mask_doubts(head.values, head.affine, few) == ()
