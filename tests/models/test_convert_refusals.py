"""A wrong, damaged or swapped checkpoint is refused in one sentence, and nothing is left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from prima_features.encoders.prima.convert.run import convert
from prima_features.encoders.prima.networks.tokenizer import Tokenizer
from prima_features.errors import UsageError

Make = Callable[..., nn.Module]


def without(model: nn.Module, path: str) -> nn.Module:
    parent, _, name = path.rpartition(".")
    del model.get_submodule(parent)._modules[name]
    return model


def changed(model: nn.Module, path: str, **attributes: object) -> nn.Module:
    for name, value in attributes.items():
        setattr(model.get_submodule(path), name, value)
    return model


VISUAL = "clipmodel.visual_model"
ATTENTION = f"{VISUAL}.innerViT.transformer.layers.0.0.fn"
WRONG: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "state dict": (
        lambda model: model.state_dict(),
        "contains a state dict, but the whole pickled model is expected",
    ),
    "tensor": (lambda model: torch.zeros(3), "contains no torch module"),
    "list": (lambda model: [1, 2], "contains no torch module"),
    "other network": (lambda model: nn.Linear(2, 2), "contains no visual model"),
    "no visual model": (
        lambda model: without(without(model, "clipvisualmodel"), VISUAL),
        "contains no visual model",
    ),
    "no sequence ViT": (lambda model: without(model, f"{VISUAL}.innerViT"), "has no .*innerViT"),
    "no names": (lambda model: without(model, f"{VISUAL}.serieencoder"), "has no .*serieencoder"),
    "names off": (
        lambda model: changed(model, VISUAL, useseriename=False),
        "was trained without series names",
    ),
    "no layers": (
        lambda model: changed(model, f"{VISUAL}.outerViT.transformer", layers=nn.ModuleList()),
        "has 0 layers",
    ),
    "heads": (lambda model: changed(model, ATTENTION, heads=3), "has 3 heads of 8"),
    "heads as text": (lambda model: changed(model, ATTENTION, heads="two"), "has two heads"),
    "causal": (lambda model: changed(model, ATTENTION, causal=True), "causal attention"),
    "mean pooling": (
        lambda model: changed(model, f"{VISUAL}.innerViT", pool="mean"),
        "position encoding in .* that Prima does not",
    ),
    "one priority": (
        lambda model: changed(model, "", priorityhead=head_of(1)),
        "a priority head with 1 output; expected 2 to 100",
    ),
    "head of one layer": (
        lambda model: changed(model, "", diagnosisheads={"a": [changed(head_of(2)[:1], "", thresh=0.0), 0]}),
        "not three linear layers",
    ),
    "head without threshold": (
        lambda model: changed(model, "", diagnosisheads={"a": [head_of(2), 0]}),
        "no numeric threshold",
    ),
    "index out of range": (
        lambda model: changed(model, "", diagnosisheads={"a": [changed(head_of(2), "", thresh=0.0), 2]}),
        "without the expected item 2",
    ),
    "heads in a list": (lambda model: changed(model, "", referralheads=[1]), "not a dict of at most"),
    "other width": (
        lambda model: changed(model, f"{VISUAL}.innerViT", mlp_head=nn.Sequential(nn.Linear(3 * 289, 25))),
        "do not match",
    ),
    "missing bias": (
        lambda model: changed(model, f"{VISUAL}.innerViT.layernorm", bias=None),
        "has no tensor .*layernorm.bias",
    ),
    "other shape": (
        lambda model: changed(model, f"{VISUAL}.innerViT", layernorm=nn.LayerNorm(7)),
        r"of another shape: sequence.norm.bias \(7,\) instead of \(289,\)",
    ),
}


def head_of(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(48, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, outputs))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_checkpoint_is_refused_in_one_sentence(
    name: str, make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    change, reason = WRONG[name]
    torch.save(change(make_full()), tmp_path / "wrong.pt")
    with pytest.raises(UsageError, match=reason) as caught:
        convert(tmp_path / "wrong.pt", tokenizer_file, tmp_path / "output")
    assert "\n" not in str(caught.value)
    assert "wrong.pt" in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "output").exists()
    assert not list(tmp_path.glob(".output*"))


def test_swapped_files_are_named_as_such(full_file: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is a tokenizer, which goes with --tokenizer"):
        convert(tokenizer_file, full_file, tmp_path / "output")
    with pytest.raises(UsageError, match="contains no VQ-VAE"):
        convert(full_file, full_file, tmp_path / "output")


def test_a_tokenizer_of_another_model_is_refused(full_file: Path, tmp_path: Path) -> None:
    from prima_features.encoders.prima.networks.config import TokenizerConfig

    torch.save(
        Tokenizer(TokenizerConfig((4, 6), (3, 5), codes=16, code_dim=3)).state_dict(), tmp_path / "other.pth"
    )
    with pytest.raises(UsageError, match=r"do not match: sequence.transformer.dim is 289 and must be 417"):
        convert(full_file, tmp_path / "other.pth", tmp_path / "output")


@pytest.mark.parametrize(
    "missing", ["encoder.blocks.6", "decoder.blocks.3", "quantizer", "encoder.blocks.1.conv2"]
)
def test_a_tokenizer_that_lacks_a_part_is_refused(
    missing: str, full_file: Path, vqvae: Tokenizer, tmp_path: Path
) -> None:
    state = {name: tensor for name, tensor in vqvae.state_dict().items() if not name.startswith(missing)}
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UsageError, match=r"part\.pth"):
        convert(full_file, tmp_path / "part.pth", tmp_path / "output")


def test_a_truncated_checkpoint_is_refused(full_file: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    full_file.write_bytes(full_file.read_bytes()[:5000])
    with pytest.raises(UsageError, match="is not a whole"):
        convert(full_file, tokenizer_file, tmp_path / "output")
