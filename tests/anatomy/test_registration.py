"""Registration recovers known transforms of synthetic heads, and always gives the same result.

`benchmarks/registration.py` does the same with 20 heads.
"""

import numpy as np
import pytest
from brains import synthetic_head
from scipy.spatial.transform import Rotation

from prima_features.anatomy.quality import assess
from prima_features.anatomy.registration import register
from prima_features.anatomy.transforms import rigid
from prima_features.errors import SeriesError


def moved(angles: tuple[float, float, float], shift: tuple[float, float, float], stretch: bool) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if stretch:
        matrix[:3, :3] @= np.array([[1.08, 0.03, 0.0], [0.0, 0.93, -0.04], [0.0, 0.0, 1.04]])
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize(
    ("sequence", "known"),
    [
        ("T1w", moved((12.0, -8.0, 10.0), (20.0, -15.0, 30.0), stretch=False)),
        ("FLAIR", moved((-10.0, 6.0, -14.0), (-12.0, 25.0, -9.0), stretch=True)),
    ],
)
def test_known_transforms_are_recovered(sequence: str, known: np.ndarray) -> None:
    head = synthetic_head(sequence)
    values = head.values.astype(np.float32)
    first = register(values, head.affine, head.brain)
    second = register(values, known @ head.affine, head.brain) @ known
    points = np.argwhere(head.brain)[::101] @ head.affine[:3, :3].T + head.affine[:3, 3]
    apart = np.linalg.norm(points @ (first - second)[:3, :3].T + (first - second)[:3, 3], axis=1)
    assert apart.max() < 1.0
    centre = np.zeros(3)
    turn = Rotation.from_matrix((rigid(first, centre) @ np.linalg.inv(rigid(second, centre)))[:3, :3])
    assert np.degrees(turn.magnitude()) < 1.0
    assert not assess(head.brain, head.affine, first).flags


def test_the_result_is_always_the_same() -> None:
    head = synthetic_head("T1w")
    values = head.values.astype(np.float32)
    first = register(values, head.affine, head.brain)
    np.testing.assert_array_equal(register(values.copy(), head.affine, head.brain), first)


def test_a_mask_of_a_few_voxels_is_refused() -> None:
    head = synthetic_head("T1w")
    mask = np.zeros_like(head.brain)
    mask[:5, :5, :5] = True
    with pytest.raises(SeriesError, match="too small to register"):
        register(head.values.astype(np.float32), head.affine, mask)
