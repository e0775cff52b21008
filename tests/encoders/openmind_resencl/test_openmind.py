"""OpenMind's encoder gives the vectors of the public code, and volumes as its plan says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_encoders import assert_close, converted, layout, random_input, save, synthetic_weights

from prima_features.anatomy.find import Anatomy
from prima_features.encoders.brain_volume import Scan
from prima_features.encoders.openmind_resencl.prepare import (
    OpenmindPreparer,
    brain_volume,
    nonzero,
    slice_axis,
    to_shape,
)
from prima_features.encoders.openmind_resencl.weights import rename
from prima_features.encoders.series_encoder import SeriesEncoder


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "openmind_resencl"


@pytest.fixture(scope="module")
def small(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> SeriesEncoder:
    output = tmp_path_factory.mktemp("openmind") / "model"
    return converted(golden / "small_checkpoint_final.pth", "openmind-resencl", output)  # type: ignore[return-value]


def test_means_of_all_stages_are_those_of_the_public_code(small: SeriesEncoder, golden: Path) -> None:
    expected = np.load(golden / "network.npz")
    volume = random_input(23, (1, 64, 64, 64))[None]
    last: list[torch.Tensor] = []
    small.network.stages[-1].register_forward_hook(lambda module, inputs, output: last.append(output))
    with torch.inference_mode():
        assert_close(torch.cat(small.network.stage_means(volume), 1)[0], expected["small_stage_means"])
        assert_close(small.network(volume)[0], expected["small_last_mean"])
    assert_close(last[0].amax((2, 3, 4))[0], expected["small_last_max"])


def test_the_variant_stages_has_the_means_of_all_stages(golden: Path, tmp_path: Path) -> None:
    file = golden / "small_checkpoint_final.pth"
    encoder = converted(file, "openmind-resencl-stages", tmp_path / "model")
    with torch.inference_mode():
        vector = encoder.network(random_input(23, (1, 64, 64, 64))[None])[0]  # type: ignore[attr-defined]
    assert_close(vector, np.load(golden / "network.npz")["small_stage_means"])
    assert encoder.info.widths.series == 56


def test_the_warning_of_the_authors_is_a_caveat(small: SeriesEncoder) -> None:
    assert "do not recommend" in small.info.caveat


@pytest.mark.slow
def test_the_full_size_loads_strictly_and_gives_the_same_vectors(golden: Path, tmp_path: Path) -> None:
    tensors = synthetic_weights(layout(golden, "full_encoder_without_aliases"))
    aliases = {name.replace(".conv.", ".all_modules.0."): tensor for name, tensor in tensors.items()}
    decoder = {f"decoder.{name}": tensor for name, tensor in tensors.items()}
    file = save(tmp_path / "full.pth", tensors | aliases | decoder, container="network_weights")
    encoder = converted(file, "openmind-resencl", tmp_path / "model")
    expected = np.load(golden / "network.npz")
    with torch.inference_mode():
        means = encoder.network.stage_means(random_input(23, (1, 64, 64, 64))[None])  # type: ignore[attr-defined]
    # The last stage has 8 voxels here, over which norms amplify rounding: the golden values are 1.4e-5 of the largest
    # value away from those in double precision.
    assert_close(torch.cat(means[:-1], 1)[0], expected["full_stage_means"][:-320])
    assert_close(means[-1][0], expected["full_last_mean"], 2e-5)


def test_aliases_and_the_decoder_are_left_out() -> None:
    assert rename("encoder.stem.convs.0.conv.weight") == "stem.conv.weight"
    assert rename("module.encoder.stages.1.blocks.0.skip.1.conv.weight") == "stages.1.0.skip.conv.weight"
    assert rename("encoder.stages.1.blocks.0.skip.1.all_modules.0.weight") is None
    assert rename("decoder.encoder.stem.convs.0.conv.weight") is None
    assert rename("decoder.seg_layers.0.weight") is None


def test_the_box_of_the_nonzero_voxels() -> None:
    values = np.zeros((10, 11, 12))
    values[3, 5, 7] = values[6, 2, 9] = -1
    assert nonzero(values).shape == (4, 4, 3)
    assert nonzero(np.zeros((3, 4, 5))).shape == (3, 4, 5)


def test_zeros_in_the_box_count_and_standardisation_comes_before_resampling() -> None:
    """The mean is that of the crop with its background, so that padding with 0 is not background."""
    rng = np.random.RandomState(0)
    values = np.zeros((24, 24, 24), np.float32)
    values[4:20, 4:20, 4:20] = rng.uniform(5, 9, (16, 16, 16))
    values[6:10, 6:10, 6:10] = 0
    crop = values[4:20, 4:20, 4:20]
    found = brain_volume(values, (1.0, 1.0, 1.0), side=16)
    np.testing.assert_allclose(found, (crop - crop.mean()) / crop.std(), atol=1e-5)
    resampled = brain_volume(values, (2.0, 2.0, 2.0), side=32)
    assert resampled.std() < 1


def test_padding_is_0_and_cropping_is_about_the_centre() -> None:
    values = np.arange(1, 6 * 40 * 7 + 1, dtype=np.float32).reshape(6, 40, 7)
    found = brain_volume(values, (1.0, 1.0, 1.0), side=20)
    assert (found[:7] == 0).all() and (found[13:] == 0).all()
    scores = (values - values.mean()) / values.std()
    np.testing.assert_allclose(found[7:13, :, 6:13], scores[:, 10:30], rtol=1e-4)


def test_thick_slices_are_resampled_one_by_one() -> None:
    assert slice_axis((4.0, 1.0, 1.0)) == 0
    assert slice_axis((1.0, 3.0, 1.0)) is None
    assert slice_axis((4.0, 4.0, 1.0)) is None
    volume = np.random.RandomState(0).uniform(size=(3, 6, 6)).astype(np.float32)
    found = to_shape(volume, (12, 6, 6), across=0)
    np.testing.assert_array_equal(found, np.repeat(volume, 4, axis=0))


def test_cubic_resampling_keeps_the_range_and_reads_corners_not_aligned() -> None:
    volume = np.zeros((8, 8, 8), np.float32)
    volume[2:6, 2:6, 2:6] = 1
    found = to_shape(volume, (16, 16, 16))
    assert found.min() == 0 and found.max() == 1
    np.testing.assert_allclose(found, found[::-1, ::-1, ::-1], atol=1e-5)
    assert to_shape(volume, (8, 8, 8)) is volume


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_stored_order_does_not_matter(axes: tuple[int, int, int]) -> None:
    values = np.random.RandomState(0).uniform(1, 2, (9, 12, 7)).astype(np.float32)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    stored, reordered = values.transpose(axes)[::-1], affine.copy()
    reordered[:, :3] = affine[:, axes]
    reordered[:3, 3] += reordered[:3, 0] * (stored.shape[0] - 1)
    reordered[:3, 0] *= -1
    prepare = OpenmindPreparer(1, side=32).prepare
    expected, flags = prepare(Scan(values, affine, Anatomy()))
    np.testing.assert_allclose(prepare(Scan(stored, reordered, Anatomy()))[0], expected, atol=1e-5)
    assert flags == ()
    first = brain_volume(values[::-1, ::-1].transpose(2, 1, 0), (4.0, 3.0, 2.0), 32)
    np.testing.assert_array_equal(expected, first)
