"""DINOv2 and DINOv3 on slices: networks as timm gives them, slices as the golden values."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_encoders import assert_close, assert_summary, converted, layout, random_input, synthetic_weights
from safetensors.torch import load_file, save_file

from prima_features.anatomy.find import Anatomy
from prima_features.encoders.base import Prepared, Progress
from prima_features.encoders.dino_slices.prepare import WHOLE_HEAD, SlicesPreparer, stack, standardised
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.errors import UsageError
from prima_features.studies.study import NiftiImage, Series, Study
from prima_features.volumes import ReadOptions, read_series

KINDS = ("dinov2", "dinov3")


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "dino_slices"


@pytest.fixture(scope="module")
def network_values(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "network.npz") as file:
        return dict(file)


def small(kind: str, golden: Path, folder: Path, variant: str = "") -> SeriesEncoder[Any]:
    """The small model of a kind; heads cannot be known from a file with others than 64 channels."""
    file = Path(shutil.copy(golden / f"small_{kind}.safetensors", folder / "model.safetensors"))
    (folder / "config.json").write_text('{"architecture": "vit", "num_heads": 2}')
    encoder = converted(file, f"{kind}-slices{variant}", folder / f"{kind}{variant}")
    assert isinstance(encoder, SeriesEncoder)
    return encoder


@pytest.fixture(scope="module")
def models(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SeriesEncoder[Any]]:
    return {kind: small(kind, golden, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@torch.inference_mode()
def tokens(encoder: SeriesEncoder[Any], images: torch.Tensor) -> np.ndarray:
    return encoder.network.tokens(images).numpy()


def test_the_small_dinov3_gives_the_golden_tokens(
    models: dict[str, SeriesEncoder[Any]], network_values: dict[str, np.ndarray]
) -> None:
    found = tokens(models["dinov3"], random_input(17, (2, 3, 224, 224)))
    assert_close(found[:, 0], network_values["dinov3_small_cls"])
    assert_close(found[:, 1:5], network_values["dinov3_small_registers"])
    assert_close(found[:, 5:8], network_values["dinov3_small_patches_first3"])
    assert_close(found[:, 5:].mean(1), network_values["dinov3_small_patch_mean"])


def test_the_small_dinov2_gives_the_golden_tokens_at_two_sizes(
    models: dict[str, SeriesEncoder[Any]], network_values: dict[str, np.ndarray]
) -> None:
    encoder = models["dinov2"]
    found = tokens(encoder, random_input(17, (2, 3, 224, 224)))
    assert_close(found[:, 0], network_values["dinov2_small_at224_cls"])
    assert_close(found[:, 1:].mean(1), network_values["dinov2_small_at224_patch_mean"])
    found = tokens(encoder, random_input(18, (1, 3, 518, 518)))
    assert_close(found[:, 0], network_values["dinov2_small_at518_cls"])
    with torch.inference_mode():
        resized = encoder.network.positions(16, 16)[0, :, :4].numpy()
    assert_close(resized, network_values["dinov2_small_at224_pos_embed"])


@pytest.mark.parametrize(
    ("kind", "key"), [("dinov2", "dinov2_full_at224_cls"), ("dinov3", "dinov3_full_cls")]
)
def test_the_full_layout_loads_strictly_and_gives_the_golden_tokens(
    kind: str, key: str, golden: Path, network_values: dict[str, np.ndarray], tmp_path: Path
) -> None:
    save_file(synthetic_weights(layout(golden, f"{kind}_full")), tmp_path / "model.safetensors")
    encoder = converted(tmp_path / "model.safetensors", f"{kind}-slices", tmp_path / "full")
    assert isinstance(encoder, SeriesEncoder)
    assert (encoder.info.widths.series, encoder.config.heads, encoder.config.depth) == (768, 12, 12)
    assert_close(tokens(encoder, random_input(17, (2, 3, 224, 224)))[:, 0], network_values[key])


@pytest.mark.parametrize("number", range(4))
def test_slices_and_vectors_of_a_scan_are_the_golden_ones(
    number: int, golden: Path, models: dict[str, SeriesEncoder[Any]]
) -> None:
    """Without a mask, as the golden values."""
    record = json.loads((golden / "scans.json").read_text())[number]
    with np.load(golden / "scans.npz") as file:
        values = {name: file[f"{name.replace('#', str(number))}"] for name in
                  ("slices_#_every16", "cls_#_of_slices", "cls_#", "mean_cls_#")}  # fmt: skip
    acquired = read_series(Series("T1w", NiftiImage(golden.parent.parent / record["source"])))
    prepared = SlicesPreparer().from_acquired(acquired, Anatomy())
    found = prepared.arrays
    assert_summary(found, record)
    assert_close(found[::16, ::16, ::16], values["slices_#_every16"], 1e-4)
    encoder = models["dinov3"]
    with torch.inference_mode():
        chosen = encoder.network(torch.from_numpy(found[values["cls_#_of_slices"]])).numpy()
    assert_close(chosen, values["cls_#"], 1e-4)
    assert_close(series_vector(encoder, prepared), values["mean_cls_#"], 1e-4)


def series_vector(encoder: SeriesEncoder[Any], prepared: Prepared) -> np.ndarray:
    inference = encoder.on(torch.device("cpu"), torch.float32, 32)
    one = (Study("sub-1", "1", "", "", ()), [(Series("T1w", NiftiImage(Path("x.nii"))), prepared)])
    return inference.encode([one], Progress(), False)[0].series[0]


def test_the_variant_reads_every_fourth_slice(golden: Path, tmp_path: Path, scans: Path) -> None:
    encoder = small("dinov2", golden, tmp_path, "-32")
    assert encoder.info.settings["network"]["slices"] == 32
    assert encoder.info.encoder == "dinov2-slices"
    series = Series("T1w", NiftiImage(scans / "nifti" / "avg152T1_2mm.nii.gz"))
    few = encoder.preparer()(series, ReadOptions(), False)
    all_of_them = SlicesPreparer()(series, ReadOptions(), False)
    np.testing.assert_allclose(few.arrays, all_of_them.arrays[::4], atol=1e-6)
    assert (few.weight, few.n_tokens) == (32, 32 * 256)


def test_a_mask_blackens_what_is_outside_and_its_absence_is_flagged(scans: Path) -> None:
    acquired = read_series(Series("T1w", NiftiImage(scans / "nifti" / "T2w_axial_2mm.nii.gz")))
    mask = np.zeros(acquired.grid.shape, bool)
    mask[60:160, 60:160, 10:50] = True
    whole = SlicesPreparer().from_acquired(acquired, Anatomy())
    inside = SlicesPreparer().from_acquired(acquired, Anatomy(mask=mask), picture=True)
    assert WHOLE_HEAD in whole.flags and WHOLE_HEAD not in inside.flags
    assert (inside.arrays == inside.arrays.min()).mean() > 0.5
    assert inside.picture is not None and inside.picture.jpeg.startswith(b"\xff\xd8")


def test_clipping_lifts_the_background_which_then_counts() -> None:
    """A background of 0 becomes the 1st percentile of the voxels above 0, and is above 0 itself."""
    rng = np.random.RandomState(0)
    values = np.zeros((20, 20, 20), np.float32)
    values[5:15, 5:15, 5:15] = rng.uniform(100, 200, (10, 10, 10))
    scaled = standardised(values)
    assert abs(scaled.mean()) < 1e-5 and abs(scaled.std() - 1) < 1e-5
    assert scaled[0, 0, 0] == scaled.min() < 0


def test_rows_are_x_and_columns_y() -> None:
    values = np.zeros((30, 40, 50), np.float32)
    values[-1] = 1  # the right side
    made = stack(values)
    assert made[:, -1].min() == 1 and made[:, 0].max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_of_the_other_model_is_refused(kind: str, golden: Path, tmp_path: Path) -> None:
    other = KINDS[1 - KINDS.index(kind)]
    with pytest.raises(UsageError, match="as the other DINO model"):
        converted(golden / f"small_{other}.safetensors", f"{kind}-slices", tmp_path / "model")


def test_meta_names_of_dinov2_are_known(golden: Path, tmp_path: Path) -> None:
    tensors = load_file(golden / "small_dinov2.safetensors")
    torch.save(tensors | {"mask_token": torch.zeros(1, 32)}, tmp_path / "dinov2.pth")
    (tmp_path / "config.json").write_text('{"num_heads": 2}')
    assert converted(tmp_path / "dinov2.pth", "dinov2-slices", tmp_path / "model").info.widths.series == 32


def test_biases_that_the_network_does_not_have_are_refused(golden: Path, tmp_path: Path) -> None:
    """Meta's own file of DINOv3 has some, which are published as zeros; timm's has none."""
    tensors = load_file(golden / "small_dinov3.safetensors")
    save_file(tensors | {"blocks.0.attn.qkv.bias": torch.ones(96)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_heads": 2}')
    with pytest.raises(UsageError, match=r"unexpected: blocks\.0\.attn\.qkv\.bias"):
        converted(tmp_path / "model.safetensors", "dinov3-slices", tmp_path / "model")
