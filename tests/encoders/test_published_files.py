"""Published files of all encoders of series: their weights by the recipe of the golden values, their sizes, and code in
files of `torch.save`, which is never run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_encoders import Layout, layout, synthetic_weights
from safetensors.torch import load_file

from prima_features.encoders.convert import convert
from prima_features.encoders.registry import series_architecture
from prima_features.errors import UsageError
from prima_features.models.published import PUBLISHED, Bundled, published_model

SMALL = {
    "neurovfm": "neurovfm/small/pytorch_model.bin",
    "brainiac": "brainiac/small_BrainIAC.ckpt",
    "simclr3d": "simclr3d/small_checkpoint.tar",
    "openmind-resencl": "openmind_resencl/small_checkpoint_final.pth",
    "neurojepa": "neurojepa/small_model.safetensors",
    "dinov3d-neuro": "dinov3d_neuro/small_teacher_checkpoint.pth",
    "dinov2-slices": "dino_slices/small_dinov2.safetensors",
    "dinov3-slices": "dino_slices/small_dinov3.safetensors",
}
PICKLED = [name for name, file in SMALL.items() if not file.endswith(".safetensors")]
STORED_BUFFER = "rope_embed.periods"
"""Not by the recipe: 100^(i/n)."""


def small_file(golden_encoders: Path, name: str, folder: Path) -> Path:
    """The small published file, with the configuration that it needs next to it."""
    source = golden_encoders / SMALL[name]
    folder.mkdir(exist_ok=True)
    config = folder / "config.json"
    match name:
        case "neurovfm":
            shutil.copy(source.with_name("config.json"), config)
        case "neurojepa":
            shutil.copy(source.with_name("small_config_assumed.json"), config)
        case _:
            config.write_text('{"num_heads": 2}')
    return Path(shutil.copy(source, folder))


def layout_of(golden_encoders: Path, name: str, size: str) -> Layout:
    """The tensors of the `full` or `small` network."""
    folder = (golden_encoders / SMALL[name]).parent
    if name == "neurovfm":
        file = folder.parent / "layout_full.json" if size == "full" else folder / "layout_loaded_float32.json"
        stored = json.loads(file.read_text())
        stored = stored.get(size, stored)
        return {key: (tuple(shape), dtype) for key, (shape, dtype) in stored.items()}
    if name.endswith("-slices"):
        return layout(folder, f"{name.removesuffix('-slices')}_{size}")
    if name == "openmind-resencl":
        size = {"full": "full_encoder_without_aliases", "small": "small_whole_file"}[size]
    return layout(folder, size)


@pytest.mark.parametrize("name", SMALL)
def test_small_files_have_the_weights_of_the_recipe(name: str, golden_encoders: Path, tmp_path: Path) -> None:
    """So files of the published sizes, which tests make by the recipe, are made in the same way."""
    convert(small_file(golden_encoders, name, tmp_path / "published"), name, tmp_path / "model")
    found = load_file(tmp_path / "model" / "model.safetensors")
    architecture = series_architecture(name)
    expected = {
        architecture.rename(key): tensor
        for key, tensor in synthetic_weights(layout_of(golden_encoders, name, "small")).items()
    }
    periods = architecture.rename(STORED_BUFFER)
    assert found.keys() == expected.keys() - {None}
    for key, tensor in found.items():
        if key != periods:
            # The layout of NeuroVFM states types after loading; its file has some tensors in bfloat16.
            assert torch.equal(tensor, expected[key].to(tensor.dtype)), key


@pytest.mark.parametrize("name", SMALL)
def test_published_sizes_are_those_of_the_list(name: str, golden_encoders: Path) -> None:
    """Width and millions of parameters in `prima weights list`, from the full layouts."""
    model, architecture = published_model(name), series_architecture(name)
    full = layout_of(golden_encoders, name, "full")
    kept = {new: shape for key, (shape, _) in full.items() if (new := architecture.rename(key))}
    count = sum(torch.Size(shape).numel() for key, shape in kept.items() if "running_" not in key)
    assert model.parameters == pytest.approx(count / 1e6, abs=0.06)
    assert architecture.sizes is not None
    # Dinov3D-Neuro alone has a config.yaml; without it, the defaults of its architecture hold.
    config_json = {} if name == "dinov3d-neuro" else {"num_heads": 12, "params": {"num_heads": 12}}
    for one in PUBLISHED:
        if one.model_type == name and not isinstance(one.source, Bundled):
            config = architecture.sizes(kept, config_json, one.settings)
            assert architecture.widths(config).series == one.width, one.name


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def beside(content: dict[str, Any], code: Runs) -> None:
    """As callbacks and hyperparameters are in files of Lightning."""
    content["hyper_parameters"] = {"model": code}


def among_tensors(content: dict[str, Any], code: Runs) -> None:
    _tensors(content)["extra"] = code


def as_a_tensor(content: dict[str, Any], code: Runs) -> None:
    tensors = _tensors(content)
    tensors[next(key for key in tensors if key.endswith("norm.weight") or "conv1.weight" in key)] = code


def _tensors(content: dict[str, Any]) -> dict[str, Any]:
    for key in ("state_dict", "model_state_dict", "network_weights", "teacher"):
        if key in content:
            return content[key]
    return content


@pytest.mark.parametrize("name", PICKLED)
@pytest.mark.parametrize("place", [beside, among_tensors, as_a_tensor])
def test_code_in_a_file_does_not_run(
    name: str, place: Callable[[dict[str, Any], Runs], None], golden_encoders: Path, tmp_path: Path
) -> None:
    """Next to the tensors it is ignored, in place of one the file is refused."""
    file, canary = small_file(golden_encoders, name, tmp_path / "published"), tmp_path / "canary"
    content = dict(torch.load(file, weights_only=True))
    place(content, Runs(canary))
    torch.save(content, file)
    assert not canary.exists()
    is_wrapped = _tensors(content) is not content
    if place is as_a_tensor:
        with pytest.raises(UsageError, match=r"does not contain the tensors|contains"):
            convert(file, name, tmp_path / "model")
        assert not (tmp_path / "model").exists()
    elif place is beside and is_wrapped:
        convert(file, name, tmp_path / "model")
        assert (tmp_path / "model" / "model.safetensors").is_file()
    else:
        try:
            convert(file, name, tmp_path / "model")
        except UsageError:
            assert not (tmp_path / "model").exists()
    assert not canary.exists()
    torch.load(file, weights_only=False)
    assert canary.exists()
