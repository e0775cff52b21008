"""`convert` on the published layout and its variations: same numbers, other names, or one clear sentence."""

import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from prima_features.encoders.prima.convert.run import convert
from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks import Prima, PrimaConfig
from prima_features.encoders.prima.networks.tokenizer import Tokenizer

Make = Callable[..., nn.Module]


def converted(model: object, tokenizer: Path, folder: Path) -> tuple[PrimaConfig, dict[str, torch.Tensor]]:
    """Convert a model; the configuration, and all tensors of the three files."""
    torch.save(model, folder / "made.pt")
    config = convert(folder / "made.pt", tokenizer, folder / "output")
    assert read_config(folder / "output") == config
    files = sorted((folder / "output").glob("*.safetensors"))
    return config, {name: tensor for file in files for name, tensor in load_file(file).items()}


def test_every_tensor_is_the_published_one_under_its_new_name(
    make_full: Make, vqvae: Tokenizer, tokenizer_file: Path, tmp_path: Path
) -> None:
    model = make_full()
    config, tensors = converted(model, tokenizer_file, tmp_path)
    old = model.state_dict()
    visual = "clipmodel.visual_model"
    layer, block = f"{visual}.outerViT.transformer.layers.0", "study.transformer.blocks.0"
    same = {
        "sequence.project.weight": f"{visual}.innerViT.mlp_head.0.weight",
        "sequence.norm.bias": f"{visual}.innerViT.layernorm.bias",
        f"{block}.attention_norm.weight": f"{layer}.0.norm.weight",
        f"{block}.attention.to_qkv.weight": f"{layer}.0.fn.to_qkv.weight",
        f"{block}.attention.to_out.bias": f"{layer}.0.fn.to_out.0.bias",
        f"{block}.mlp_norm.bias": f"{layer}.1.norm.bias",
        f"{block}.mlp.0.weight": f"{layer}.1.fn.net.0.weight",
        f"{block}.mlp.2.weight": f"{layer}.1.fn.net.3.weight",
        "names.sequence.embed.weight": f"{visual}.serieencoder.embed.weight",
        "names.study.project.bias": f"{visual}.studyencoder.linear.bias",
        "contrast.project.2.weight": f"{visual}.patdisnet.2.weight",
        "contrast.temperature": "clipmodel.temperature",
    }
    assert {new for new, name in same.items() if not torch.equal(tensors[new], old[name])} == set()
    assert torch.equal(tensors["study.registers"], old[f"{visual}.outerViT.cls_token"][0])
    assert torch.equal(tensors["contrast.patient_temperature"], torch.tensor([0.25]))
    assert all(
        torch.equal(tensors[f"tokenizer.{name}"], tensor) for name, tensor in vqvae.state_dict().items()
    )
    Prima(config).load_state_dict(
        {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(("diagnosis", "referral", "prio"))
        }
    )


def test_sizes_come_from_tensors_and_attributes(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    config, _ = converted(make_full(), tokenizer_file, tmp_path)
    assert (config.sequence.registers, config.sequence.out_dim) == (3, 24)
    assert (config.study.transformer.heads, config.study.transformer.dim_head) == (2, 8)
    assert (config.names.study.transformer.dim, config.names.study.position_dim) == (32, 10)
    assert config.tokenizer.channels == (4, 6)
    assert config.tokenizer.res_channels == (3, 5)
    assert config.tokenizer.downsample == ((2, 4, 1, 1), (2, 2, 1, 0))
    assert config.tokenizer.upsample == ((2, 4, 1, 1, 0), (2, 2, 1, 0, 0))
    assert (config.tokenizer.codes, config.tokenizer.code_dim, config.tokenizer.res_layers) == (16, 2, 2)
    assert config.text is None


def test_of_a_head_only_the_row_that_is_read_is_kept(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    model = make_full()
    config, tensors = converted(model, tokenizer_file, tmp_path)
    assert config.heads is not None
    assert [(head.name, head.threshold) for head in config.heads.diagnosis] == [
        ("glioma", 0.5),
        ("stroke.acute", -1),
    ]
    for kind, entries in (("diagnosis", model.diagnosisheads), ("referral", model.referralheads)):
        for name, (module, index) in entries.items():  # type: ignore[operator, union-attr]
            assert torch.equal(tensors[f"{kind}.{name}.4.weight"], module[4].weight[index][None])
            assert torch.equal(tensors[f"{kind}.{name}.4.bias"], module[4].bias[index][None])
            assert torch.equal(tensors[f"{kind}.{name}.2.weight"], module[2].weight)


@pytest.mark.parametrize(
    ("outputs", "names"),
    [(3, "none low high"), (4, "none low medium high"), (5, "level_0 level_1 level_2 level_3 level_4")],
)
def test_priority_levels_are_named_by_their_number(
    outputs: int, names: str, make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    config, tensors = converted(make_full(priorities=outputs), tokenizer_file, tmp_path)
    assert config.heads is not None
    assert config.heads.priority == tuple(names.split())
    assert tensors["priority.4.weight"].shape == (outputs, 7)


def test_a_name_encoder_that_was_trained_on_its_own_keeps_the_linear_behind_it(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    model = make_full(pretrained_names=True)
    _, tensors = converted(model, tokenizer_file, tmp_path)
    encoder = model.get_submodule("clipvisualmodel.serieencoder")
    assert torch.equal(tensors["names.sequence.project.weight"], encoder[1].weight)  # type: ignore[index]
    assert torch.equal(tensors["names.sequence.embed.weight"], encoder[0].embed.weight)  # type: ignore[index]


def test_one_head_as_wide_as_the_model_has_no_output_linear(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    config, tensors = converted(make_full(study_heads=(1, 24)), tokenizer_file, tmp_path)
    assert config.study.transformer.heads == 1
    assert "study.transformer.blocks.0.attention.to_out.weight" not in tensors
    assert "sequence.transformer.blocks.0.attention.to_out.weight" in tensors


@pytest.mark.parametrize(
    "path", ["", "clipmodel", "clipmodel.visual_model", "clipmodel.visual_model.innerViT", "heads"]
)
def test_data_parallel_is_looked_through_wherever_it_is(
    path: str, make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    model = make_full()
    if path == "heads":
        entry = model.diagnosisheads["glioma"]  # type: ignore[index]
        inner = entry[0]  # type: ignore[index]
        entry[0] = nn.DataParallel(inner)  # type: ignore[index, operator]
        entry[0].thresh = inner.thresh  # type: ignore[index, union-attr]
    elif path:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, nn.DataParallel(model.get_submodule(path)))
    whole = model if path else nn.DataParallel(model)
    _, tensors = converted(whole, tokenizer_file, tmp_path)
    assert "sequence.registers" in tensors
    assert "diagnosis.glioma.0.weight" in tensors


def test_a_checkpoint_without_heads_text_or_patient_discrimination_is_converted(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    config, _ = converted(make_full(heads=False, contrast=False), tokenizer_file, tmp_path)
    assert (config.heads, config.text, config.contrast) == (None, None, None)
    assert not (tmp_path / "output" / "heads.safetensors").exists()


def test_the_alias_is_enough_where_the_clip_model_is_gone(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    model = make_full()
    del model.clipmodel
    config, _ = converted(model, tokenizer_file, tmp_path)
    assert config.contrast is None


def test_a_half_precision_checkpoint_stays_half(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    _, tensors = converted(make_full().half(), tokenizer_file, tmp_path)
    assert tensors["sequence.registers"].dtype == torch.float16
    assert tensors["tokenizer.encoder.blocks.0.conv.weight"].dtype == torch.float32


WRAPPINGS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "nested": lambda state: {"epoch": 3, "state_dict": state},
    "prefixed": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "both": lambda state: {"model": {f"module.vqvae.{name}": tensor for name, tensor in state.items()}},
    "with others": lambda state: state | {"discriminator.0.weight": torch.zeros(3)},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_tokenizer_is_found_however_its_state_dict_is_wrapped(
    wrapping: str, full_file: Path, vqvae: Tokenizer, tmp_path: Path
) -> None:
    torch.save(WRAPPINGS[wrapping](vqvae.state_dict()), tmp_path / "tokenizer.pth")
    convert(full_file, tmp_path / "tokenizer.pth", tmp_path / "output")
    assert "tokenizer.decoder.blocks.0.conv.bias" in load_file(tmp_path / "output" / "model.safetensors")


def test_a_whole_pickled_tokenizer_is_read_too(full_file: Path, vqvae: Tokenizer, tmp_path: Path) -> None:
    torch.save(vqvae, tmp_path / "tokenizer.pth")
    config = convert(full_file, tmp_path / "tokenizer.pth", tmp_path / "output")
    assert config.tokenizer.channels == (4, 6)


def test_an_archive_that_was_packed_again_is_converted(
    full_file: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(full_file) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    convert(full_file, tokenizer_file, tmp_path / "one")
    convert(packed, tokenizer_file, tmp_path / "two")
    for file in ("model.safetensors", "heads.safetensors"):
        one, two = load_file(tmp_path / "one" / file), load_file(tmp_path / "two" / file)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_golden_checkpoint_has_its_text_tower_and_all_heads(golden_model: Path) -> None:
    config = json.loads((golden_model / "config.json").read_text())
    assert (
        config["text"] | {"depth": 2, "heads": 4, "dim": 48, "vocab_size": 211, "positions": 64}
        == config["text"]
    )
    assert len(load_file(golden_model / "heads.safetensors")) == 6 * (4 + 3 + 1)
    assert sorted(path.name for path in golden_model.iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.json",
        "heads.safetensors",
        "model.safetensors",
        "text.safetensors",
    ]
