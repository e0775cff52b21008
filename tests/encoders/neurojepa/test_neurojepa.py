"""Neuro-JEPA gives the vectors and volumes of the public code."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from golden_encoders import assert_close, assert_summary, converted, layout, random_input, synthetic_weights
from safetensors.torch import save_file

from prima_features.anatomy.find import Anatomy
from prima_features.encoders.brain_volume import Scan
from prima_features.encoders.neurojepa.network import Experts, JepaConfig, angles
from prima_features.encoders.neurojepa.prepare import MNI, JepaPreparer, box, brain_volume
from prima_features.encoders.neurojepa.weights import rename
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.errors import SeriesError, UsageError
from prima_features.volumes.resampling import resample


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "neurojepa"


@pytest.fixture(scope="module")
def small(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> SeriesEncoder:
    folder = tmp_path_factory.mktemp("neurojepa")
    shutil.copy(golden / "small_model.safetensors", folder / "model.safetensors")
    shutil.copy(golden / "small_config_assumed.json", folder / "config.json")
    return converted(folder / "model.safetensors", "neurojepa", folder / "model")  # type: ignore[return-value]


def test_tokens_are_those_of_the_public_code(small: SeriesEncoder, golden: Path) -> None:
    expected = np.load(golden / "network.npz")
    volume = random_input(19, (1, 96, 108, 96))[None]
    with torch.inference_mode():
        assert_close(small.network.tokens(volume)[0, :4], expected["small_tokens_first4"])
        assert_close(small.network(volume)[0], expected["small_mean"])


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "target_encoder."])
def test_the_full_size_loads_strictly_and_gives_the_same_vectors(
    prefix: str, golden: Path, tmp_path: Path
) -> None:
    """Without a config.json: the sizes that tensors do not show are those of the published model."""
    tensors = synthetic_weights(layout(golden, "full"))
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    encoder = converted(tmp_path / "model.safetensors", "neurojepa", tmp_path / "model")
    if prefix:
        return
    expected = np.load(golden / "network.npz")
    with torch.inference_mode():
        tokens = encoder.network.tokens(random_input(19, (1, 96, 108, 96))[None])[0]  # type: ignore[attr-defined]
    assert_close(tokens.mean(0), expected["full_mean"])
    assert_close(tokens[:2], expected["full_tokens_first2"])


def test_names_with_a_prefix_are_understood() -> None:
    for prefix in (
        "",
        "encoder.",
        "target_encoder.",
        "backbone.",
        "module.",
        "_orig_mod.",
        "module.encoder.",
    ):
        assert rename(f"{prefix}blocks.1.mlp.gate.bias") == "blocks.1.mlp.bias"
        assert rename(f"{prefix}blocks.1.mlp.gate.gate.weight") == "blocks.1.mlp.gate.weight"
        assert rename(f"{prefix}blocks.1.attn.proj_attn_gate.bias") == "blocks.1.attn.gate.bias"
        assert rename(f"{prefix}blocks.1.mlp.counts") is None


def test_another_way_of_choosing_experts_is_refused(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden / "small_model.safetensors", tmp_path / "model.safetensors")
    config = json.loads((golden / "small_config_assumed.json").read_text())
    config["model"]["moe_params"]["score_func"] = "sigmoid"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="only softmax is supported"):
        converted(tmp_path / "model.safetensors", "neurojepa", tmp_path / "model")


def test_inner_indices_are_those_of_the_published_code() -> None:
    """They are computed with 9 where the last axis has 8: token 8 has (0, 0, 8), and token 71 has (0, 7, 8)."""
    found = angles(JepaConfig())
    assert found.shape == (576, 64)
    by_axis = found[:, [0, 20, 40]].round().int()  # the first frequency is 1
    assert by_axis[[8, 9, 71, 72]].tolist() == [[0, 0, 8], [0, 1, 0], [0, 7, 8], [1, 0, 0]]
    assert (found[:, 60:] == 0).all()
    torch.testing.assert_close(found[:, 0:10], found[:, 10:20])


def test_the_bias_chooses_experts_but_does_not_weigh_them() -> None:
    torch.manual_seed(0)
    config = JepaConfig(width=6, heads=1, experts=4, chosen=1, expert=5, shared=5, mlp=5)
    experts = Experts(config).eval()
    x = torch.randn(2, 7, 6)
    with torch.inference_mode():
        experts.bias[2] = 9.0
        scores = (x @ experts.gate.weight.T).softmax(-1)[..., 2, None]
        expected = experts.experts[2](x) * scores * config.route_scale + experts.shared(x)
        torch.testing.assert_close(experts(x), expected)


@pytest.mark.parametrize("number", [0, 1])
def test_volumes_and_vectors_of_scans_are_those_of_the_public_code(
    number: int, small: SeriesEncoder, golden: Path, scans: Path
) -> None:
    row = json.loads((golden / "scans.json").read_text())[number]
    expected = np.load(golden / "scans.npz")
    image = nib.as_closest_canonical(nib.load(scans.parent / row["source"]))
    values = image.get_fdata(dtype=np.float32)
    if row["first_resampled"] != "no":
        values = resample(values, image.affine, MNI)
    volume = brain_volume(values)
    assert_close(volume[::8, ::8, ::8], expected[f"volume_{number}_every8"], 1e-4)
    assert_summary(volume[None], row)
    with torch.inference_mode():
        assert_close(small.network(torch.from_numpy(volume)[None, None])[0], expected[f"mean_{number}"], 1e-4)


def test_the_box_has_a_margin_and_ends_at_the_border() -> None:
    volume = np.zeros((20, 20, 20))
    volume[2, 10, 17] = volume[12, 10, 18] = 1
    assert box(volume) == (slice(0, 17), slice(6, 15), slice(13, 23))
    assert volume[box(volume)].shape == (17, 9, 7)


def test_intensities_do_not_depend_on_their_unit() -> None:
    rng = np.random.RandomState(0)
    volume = np.zeros((60, 70, 60), np.float32)
    volume[10:50, 10:60, 10:50] = rng.uniform(100, 900, (40, 50, 40))
    found = brain_volume(volume)
    assert found.shape == (96, 108, 96)
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(brain_volume(0.01 * volume), found, atol=1e-5)


def test_mask_and_registration_are_needed() -> None:
    values = np.random.RandomState(0).uniform(1, 2, (60, 60, 60)).astype(np.float32)
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -90
    mask = np.zeros(values.shape, bool)
    mask[10:50, 10:50, 10:50] = True
    prepare = JepaPreparer(576).prepare
    with pytest.raises(SeriesError, match="brain mask is unknown"):
        prepare(Scan(values, affine, Anatomy(None, np.eye(4))))
    with pytest.raises(SeriesError, match="position in MNI space is unknown"):
        prepare(Scan(values, affine, Anatomy(mask)))
    volume, flags = prepare(Scan(values, affine, Anatomy(mask, np.eye(4))))
    assert volume.shape == (96, 108, 96) and flags == ()
