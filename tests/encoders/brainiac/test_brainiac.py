"""BrainIAC gives the vectors and volumes of the public code."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from golden_encoders import (
    assert_close,
    assert_summary,
    converted,
    layout,
    random_input,
    save,
    synthetic_weights,
)

from prima_features.anatomy.find import Anatomy
from prima_features.anatomy.transforms import rigid
from prima_features.encoders.brain_volume import UNSTRIPPED, Scan
from prima_features.encoders.brainiac.prepare import (
    MNI_TO_TEMPLATE,
    NOT_REGISTERED,
    TEMPLATE,
    BrainiacPreparer,
    brain_volume,
    to_las,
    to_template,
)
from prima_features.encoders.brainiac.weights import rename
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.errors import SeriesError, UsageError


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "brainiac"


@pytest.fixture
def small(golden: Path, tmp_path: Path) -> SeriesEncoder:
    return from_small(golden, tmp_path, "brainiac")


def from_small(golden: Path, tmp_path: Path, name: str) -> SeriesEncoder:
    file = tmp_path / "BrainIAC.ckpt"
    shutil.copy(golden / "small_BrainIAC.ckpt", file)
    (tmp_path / "config.json").write_text('{"num_heads": 2}')
    return converted(file, name, tmp_path / name)  # type: ignore[return-value]


def test_tokens_are_those_of_the_public_code(small: SeriesEncoder, golden: Path) -> None:
    expected = np.load(golden / "network.npz")
    volume = random_input(11, (1, 96, 96, 96))[None]
    with torch.inference_mode():
        tokens = small.network.tokens(volume)[0]
        assert_close(tokens[:4], expected["small_tokens_first4"])
        assert_close(small.network(volume)[0], expected["small_mean"])


def test_the_variant_token0_is_the_first_token(golden: Path, tmp_path: Path) -> None:
    encoder = from_small(golden, tmp_path, "brainiac-token0")
    volume = random_input(11, (1, 96, 96, 96))[None]
    with torch.inference_mode():
        assert_close(encoder.network(volume)[0], np.load(golden / "network.npz")["small_tokens_first4"][0])
    assert encoder.info.settings["network"]["feature"] == "token0"


@pytest.mark.slow
def test_the_full_size_loads_strictly_and_gives_the_same_vectors(golden: Path, tmp_path: Path) -> None:
    tensors = synthetic_weights(layout(golden, "full"))
    others = {f"blocks.{n}.norm_cross_attn.weight": torch.ones(768) for n in range(12)}
    file = save(tmp_path / "BrainIAC.ckpt", tensors | others, "backbone.", "state_dict")
    encoder = converted(file, "brainiac", tmp_path / "model")
    expected = np.load(golden / "network.npz")
    with torch.inference_mode():
        tokens = encoder.network.tokens(random_input(11, (1, 96, 96, 96))[None])[0]  # type: ignore[attr-defined]
    assert_close(tokens.mean(0), expected["full_mean"])
    assert_close(tokens[0], expected["full_token0"])
    assert_close(tokens[215], expected["full_token215"])


def test_names_of_known_copies_are_understood() -> None:
    for prefix in ("", "backbone.", "backbone.backbone."):
        assert rename(f"{prefix}blocks.3.attn.out_proj.bias") == "blocks.3.attn.proj.bias"
        assert rename(f"{prefix}blocks.3.norm_cross_attn.weight") is None
        assert rename(f"{prefix}blocks.3.cross_attn.qkv.weight") is None
    assert rename("projection_head.0.weight") is None


def test_unknown_tensors_of_the_network_are_refused(golden: Path, tmp_path: Path) -> None:
    tensors = synthetic_weights(layout(golden, "small")) | {"blocks.0.attn.qkv.bias": torch.zeros(72)}
    file = save(tmp_path / "BrainIAC.ckpt", tensors, "backbone.", "state_dict")
    with pytest.raises(UsageError, match=r"unexpected: blocks\.0\.attn\.qkv\.bias"):
        converted(file, "brainiac", tmp_path / "model")


@pytest.mark.parametrize("number", range(6))
def test_volumes_and_vectors_of_scans_are_those_of_the_public_code(
    number: int, small: SeriesEncoder, golden: Path, scans: Path
) -> None:
    row = json.loads((golden / "scans.json").read_text())[number]
    expected = np.load(golden / "scans.npz")
    image = nib.load(scans.parent / row["source"])
    values = image.get_fdata(dtype=np.float32)
    volume = brain_volume(to_las(values, image.affine))
    assert_close(volume[::8, ::8, ::8], expected[f"volume_{number}_every8"], 1e-4)
    assert_summary(volume, row)
    assert (list(values.shape), list(to_las(values, image.affine).shape)) == (
        row["shape_stored"],
        row["shape_las"],
    )
    with torch.inference_mode():
        tokens = small.network.tokens(torch.from_numpy(volume)[None, None])[0]
    assert_close(tokens.mean(0), expected[f"mean_{number}"], 1e-4)
    assert_close(tokens[0], expected[f"token0_{number}"], 1e-4)
    if not row["as_stored_equals_las"]:
        as_stored = torch.from_numpy(brain_volume(values))[None, None]
        with torch.inference_mode():
            assert_close(
                small.network.tokens(as_stored)[0].mean(0), expected[f"mean_if_not_reoriented_{number}"], 1e-4
            )


def test_zeros_stay_zero_and_the_rest_is_standardised() -> None:
    rng = np.random.RandomState(0)
    values = np.zeros((40, 48, 30), np.float32)
    values[8:30, 10:30, 5:20] = rng.uniform(50, 90, (22, 20, 15))
    volume = brain_volume(values)
    assert (volume[:10] == 0).all()
    inside = volume[volume != 0].astype(float)
    assert inside.mean() == pytest.approx(0, abs=1e-6)
    assert inside.std() == pytest.approx(1, abs=1e-6)


def test_a_scan_on_the_template_is_read_as_it_is() -> None:
    values = np.random.RandomState(0).uniform(1, 2, TEMPLATE.shape).astype(np.float32)
    np.testing.assert_array_equal(
        to_template(values, TEMPLATE.affine, np.linalg.inv(MNI_TO_TEMPLATE)), values
    )


def test_registration_turns_and_shifts_but_keeps_sizes() -> None:
    """The template's brain is smaller than MNI's, but a cube of 40 mm stays one of 40 mm."""
    values = np.zeros((181, 217, 181), np.float32)
    values[70:110, 88:128, 70:110] = 1
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -90, -126, -72
    on_template = to_template(values, affine, np.eye(4))
    assert on_template.sum() == pytest.approx(40**3, rel=0.01)
    matrix = rigid(MNI_TO_TEMPLATE, TEMPLATE.centre)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    point = np.linalg.inv(MNI_TO_TEMPLATE) @ [*TEMPLATE.centre, 1]
    np.testing.assert_allclose((matrix @ point)[:3], TEMPLATE.centre, atol=1e-9)


def scan(mask: np.ndarray | None, unstripped: str = "refuse", to_mni: np.ndarray | None = None) -> Scan:
    values = np.random.RandomState(0).uniform(1, 2, (30, 36, 30)).astype(np.float32)
    return Scan(values, np.diag([5.0, 5, 5, 1]), Anatomy(mask, to_mni), unstripped)  # type: ignore[arg-type]


def test_a_whole_head_is_refused_unless_it_is_allowed() -> None:
    prepare = BrainiacPreparer(216).prepare
    with pytest.raises(SeriesError, match="trained on skull-stripped brains") as error:
        prepare(scan(None))
    assert "unstripped=allow" in error.value.hint
    assert prepare(scan(None, "allow"))[1] == (UNSTRIPPED, NOT_REGISTERED)


def test_a_brain_in_unknown_position_is_resized_and_flagged() -> None:
    mask = np.zeros((30, 36, 30), bool)
    mask[5:25, 5:30, 5:25] = True
    volume, flags = BrainiacPreparer(216).prepare(scan(mask))
    assert flags == (NOT_REGISTERED,)
    assert volume.shape == (96, 96, 96)
    assert BrainiacPreparer(216).prepare(scan(mask, to_mni=np.eye(4)))[1] == ()
