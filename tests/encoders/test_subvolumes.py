"""Which subvolumes are kept, and what they hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut, kept
from prima_features.volumes import Volume

DATA = Path(__file__).parent.parent / "data"
CASES = json.loads((DATA / "tokens.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_the_public_rule_is_met_in_its_corner_cases(name: str) -> None:
    golden, expected = np.load(DATA / "tokens.npz"), CASES[name]
    values = golden[f"volume_{name}"]
    slice_axis = next(axis for axis, length in enumerate(values.shape) if length != 256)
    subvolumes = cut(Volume(values, (1.0, 1.0, 1.0), slice_axis))
    assert subvolumes.n_all == expected["n_all"]
    assert subvolumes.threshold == expected["threshold"]
    assert len(subvolumes) == expected["n_kept"]
    assert len(subvolumes.values) == expected["n_unique"]
    np.testing.assert_array_equal(subvolumes.coord, golden[f"coord_{name}"])
    # The golden sums are of subvolumes doubled along the slice axis.
    sums = 2 * subvolumes.values.reshape(len(subvolumes.values), -1).sum(axis=1, dtype=np.float64)
    largest = np.abs(golden[f"sum_{name}"]).max()
    np.testing.assert_allclose(sums[subvolumes.row], golden[f"sum_{name}"], atol=1e-6 * largest)


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_a_subvolume_holds_the_voxels_at_its_coordinate(slice_axis: int) -> None:
    shape = [256, 256, 256]
    shape[slice_axis] = 10  # padded to 12, one slice on either side
    values = np.random.default_rng(0).integers(60, 1000, shape).astype(np.int16)
    subvolumes = cut(Volume(values, (1.0, 1.0, 1.0), slice_axis))
    padded = np.pad(values, [(1, 1) if axis == slice_axis else (0, 0) for axis in range(3)])
    size = [32, 32, 32]
    size[slice_axis] = 4
    for row, (z, y, x) in zip(subvolumes.row, subvolumes.coord, strict=True):
        expected = padded[z : z + size[0], y : y + size[1], x : x + size[2]] / np.float32(values.max())
        np.testing.assert_array_equal(subvolumes.values[row], expected.astype(np.float32))


def test_a_cube_of_256_is_cut_along_its_acquired_slices() -> None:
    values = np.full((256, 256, 256), 100, np.int16)
    assert cut(Volume(values, (1.0, 1.0, 1.0), 1)).values.shape[1:] == (32, 4, 32)


def test_what_a_shell_closes_in_is_kept_right_after_it_and_again_in_its_own_shell() -> None:
    percent = np.zeros((3, 3, 3))
    percent[:] = 7.0
    percent[1, 1, 1] = 90.0
    indices, threshold = kept(percent, Preprocessing(min_kept=5))
    assert threshold == 5
    centre = 13
    assert indices.tolist() == [i for i in range(27) if i != centre] + [centre, centre]


def test_the_threshold_falls_until_enough_is_kept() -> None:
    percent = np.array([0.5] * 10 + [2.5] * 20 + [50.0] * 10).reshape(1, 1, 40)
    indices, threshold = kept(percent, Preprocessing())
    assert threshold == 2
    assert sorted(indices.tolist()) == list(range(10, 40))
