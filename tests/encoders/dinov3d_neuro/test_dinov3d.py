"""Dinov3D-Neuro gives the vectors of Meta's blocks with the assumed position code; its authors' are not known."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_encoders import assert_close, converted, layout, random_input, save, synthetic_weights

from prima_features.anatomy.find import Anatomy
from prima_features.encoders.brain_volume import Scan
from prima_features.encoders.dinov3d_neuro.network import Dino3d, angles
from prima_features.encoders.dinov3d_neuro.prepare import Dino3dPreparer, covering, whole_volume
from prima_features.encoders.dinov3d_neuro.weights import rename
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.errors import UsageError

HALF = 1e-2
"""Tolerance of the position code in bfloat16, which rounds queries and keys."""


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "dinov3d_neuro"


@pytest.fixture(scope="module")
def small(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> SeriesEncoder:
    output = tmp_path_factory.mktemp("dinov3d") / "model"
    return converted(golden / "small_teacher_checkpoint.pth", "dinov3d-neuro", output)  # type: ignore[return-value]


@pytest.mark.parametrize(("half", "tolerance"), [(True, HALF), (False, 1e-5)])
def test_tokens_are_those_of_the_public_blocks(
    half: bool, tolerance: float, small: SeriesEncoder, golden: Path
) -> None:
    network = Dino3d(replace(small.config, bfloat16_positions=half)).eval()
    network.load_state_dict(small.network.state_dict())
    kind = "bf16" if half else "fp32"
    expected = np.load(golden / "network.npz")
    with torch.inference_mode():
        tokens = network.tokens(random_input(29, (1, 1, 48, 64, 32)))[0]
    assert_close(tokens[0], expected[f"small_cls_rope_{kind}"], tolerance)
    assert_close(tokens[1:].mean(0), expected[f"small_patch_mean_rope_{kind}"], tolerance)


def test_the_feature_is_the_class_token_or_the_mean_of_the_patches(
    small: SeriesEncoder, golden: Path, tmp_path: Path
) -> None:
    file = golden / "small_teacher_checkpoint.pth"
    patches = converted(file, "dinov3d-neuro-patches", tmp_path / "model")
    expected = np.load(golden / "network.npz")
    volume = random_input(29, (1, 1, 48, 64, 32))
    with torch.inference_mode():
        assert_close(small.network(volume)[0], expected["small_cls_rope_bf16"], HALF)
        assert_close(patches.network(volume)[0], expected["small_patch_mean_rope_bf16"], HALF)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_full_size_loads_strictly_and_gives_the_same_vectors(golden: Path, tmp_path: Path) -> None:
    tensors = synthetic_weights(layout(golden, "full"))
    expected = np.load(golden / "network.npz")
    periods = 100 ** (torch.arange(11) / 11)
    assert_close(periods, expected["periods_792"], 1e-2)
    tensors["rope_embed.periods"] = periods.bfloat16()
    heads = {"dino_head.mlp.0.weight": torch.ones(2, 2), "ibot_head.mlp.0.weight": torch.ones(2, 2)}
    file = save(tmp_path / "teacher.pth", tensors, "backbone.", "teacher", **heads)
    encoder = converted(file, "dinov3d-neuro", tmp_path / "model")
    with torch.inference_mode():
        tokens = encoder.network.tokens(random_input(30, (1, 1, 96, 96, 96)))[0]  # type: ignore[attr-defined]
    assert_close(tokens[0], expected["full_cls_rope_bf16"], HALF)
    assert_close(tokens[1:].mean(0), expected["full_patch_mean_rope_bf16"], HALF)


CONFIG = """
student:
  arch: vit_base
  norm_layer: "{norm}"
  pos_embed_rope_dtype: {dtype}
teacher: {{momentum_teacher: 0.992}}
"""


@pytest.mark.parametrize("place", ["eval/training_1", "."])
def test_what_tensors_do_not_show_is_read_in_config_yaml(place: str, golden: Path, tmp_path: Path) -> None:
    """At the top of the repository, as published, or next to the file."""
    folder = tmp_path / "repository" / place
    folder.mkdir(parents=True)
    file = Path(shutil.copy(golden / "small_teacher_checkpoint.pth", folder))
    config = tmp_path / "repository" / "config.yaml"
    found = []
    for number, (norm, dtype) in enumerate([("layernorm", "bf16"), ("layernormbf16", "fp32")]):
        config.write_text(CONFIG.format(norm=norm, dtype=dtype))
        encoder: Any = converted(file, "dinov3d-neuro", tmp_path / f"model{number}")
        found.append((encoder.config.eps, encoder.config.bfloat16_positions))
    assert found == [(1e-6, True), (1e-5, False)]


def test_without_config_yaml_the_defaults_of_dinov3_are_named(
    golden: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder: Any = converted(golden / "small_teacher_checkpoint.pth", "dinov3d-neuro", tmp_path / "model")
    assert (encoder.config.eps, encoder.config.bfloat16_positions) == (1e-6, True)
    assert "the epsilon of the layer norms (1e-6)" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONFIG.format(norm="rmsnorm", dtype="bf16"), "config.yaml states norm_layer 'rmsnorm'"),
        (CONFIG.format(norm="layernorm", dtype="[1]"), "config.yaml states pos_embed_rope_dtype"),
        ("lr: 1.0", "has no section `student`"),
        ("student: [vit_base]", "has no section `student`"),
        ("student: {", "cannot be read (not YAML"),
        ("student: !!python/object/apply:os.system ['true']", "cannot be read (not YAML"),
        ("a: &a [x]\nstudent: *a", "cannot be read (has anchors)"),
        ("[" * 100 + "]" * 100, "cannot be read (is nested deeper"),
    ],
)
def test_another_config_yaml_is_refused(content: str, message: str, golden: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(golden / "small_teacher_checkpoint.pth", tmp_path))
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UsageError, match=re.escape(message)):
        converted(file, "dinov3d-neuro", tmp_path / "model")


def test_it_is_marked_as_unverified(small: SeriesEncoder) -> None:
    assert "unverified" in small.info.caveat


def test_heads_of_training_and_the_mask_token_are_left_out() -> None:
    assert rename("backbone.blocks.2.ls1.gamma") == "blocks.2.gamma_1"
    assert rename("backbone.mask_token") is None
    assert rename("dino_head.mlp.0.weight") is None
    assert rename("ibot_head.last_layer.weight_g") is None


def test_a_masked_bias_of_keys_is_refused(golden: Path, tmp_path: Path) -> None:
    """Meta's code can mask the bias of the keys. This network does not know that, and must not ignore it."""
    tensors = synthetic_weights(layout(golden, "small")) | {"blocks.0.attn.qkv.bias_mask": torch.ones(108)}
    file = save(tmp_path / "teacher.pth", tensors, "backbone.", "teacher")
    with pytest.raises(UsageError, match=r"unexpected: blocks\.0\.attn\.qkv\.bias_mask"):
        converted(file, "dinov3d-neuro", tmp_path / "model")


def test_positions_are_symmetric_about_the_centre_of_the_volume() -> None:
    found = angles((4, 2, 3), 100 ** (torch.arange(11) / 11))
    assert found.shape == (24, 66)
    torch.testing.assert_close(found, -found.flip(0))
    torch.testing.assert_close(found[:, :33], found[:, 33:])


def volume_and_affine() -> tuple[np.ndarray, np.ndarray]:
    values = np.random.RandomState(0).uniform(0, 100, (20, 30, 12)).astype(np.float32)
    return values, np.diag([-1.0, 1.0, 2.5, 1.0])


def test_volumes_have_a_field_of_view_of_1_mm_and_sides_of_whole_patches() -> None:
    values, affine = volume_and_affine()
    assert covering(values.shape, affine).shape == (20, 30, 30)
    volume = whole_volume(values, affine)
    assert volume.shape == (32, 32, 32)
    assert (volume[:6] == volume.min()).all()
    inside = volume[6:26, 1:31, 1:31]
    assert inside.mean() == pytest.approx(0, abs=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-5)


def test_stored_order_does_not_matter() -> None:
    values, affine = volume_and_affine()
    turned = affine.copy()
    turned[:, [0, 2]] = affine[:, [2, 0]]
    np.testing.assert_allclose(
        whole_volume(values.transpose(2, 1, 0), turned), whole_volume(values, affine), atol=1e-5
    )


def test_no_mask_is_needed() -> None:
    volume, flags = Dino3dPreparer(0).prepare(Scan(*volume_and_affine(), Anatomy()))
    assert volume.shape == (32, 32, 32) and flags == ()
