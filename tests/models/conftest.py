"""A made-up checkpoint in the published layout, of any variation, and what holds torch archives together."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.encoders.prima.networks.tokenizer import Tokenizer

TOKENIZER = TokenizerConfig(channels=(4, 6), res_channels=(3, 5), codes=16)


class Part(nn.Module):
    """A module of given submodules and attributes, as the published classes are seen from outside."""

    def __init__(self, modules: dict[str, nn.Module], **attributes: Any) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        for name, value in attributes.items():
            setattr(self, name, value)


def transformer(dim: int, heads: int, dim_head: int) -> Part:
    inner = heads * dim_head
    single = heads == 1 and dim_head == dim
    to_out = nn.Identity() if single else nn.Sequential(nn.Linear(inner, dim), nn.Dropout(0))
    to_qkv = nn.Linear(dim, 3 * inner, bias=False)
    attention = Part({"to_qkv": to_qkv, "to_out": to_out}, heads=heads, dim_head=dim_head)
    net = nn.Sequential(nn.Linear(dim, 12), nn.GELU(), nn.Dropout(0), nn.Linear(12, dim), nn.Dropout(0))
    layer = [
        {"norm": nn.LayerNorm(dim), "fn": attention},
        {"norm": nn.LayerNorm(dim), "fn": Part({"net": net})},
    ]
    return Part({"layers": nn.ModuleList([nn.ModuleList([Part(modules) for modules in layer])])})


def vit(dim: int, out_dim: int, registers: int, heads: int = 2, dim_head: int = 8) -> Part:
    return Part(
        {
            "transformer": transformer(dim, heads, dim_head),
            "layernorm": nn.LayerNorm(dim),
            "mlp_head": nn.Sequential(nn.Linear(registers * dim, out_dim)),
        },
        cls_token=nn.Parameter(torch.randn(1, registers, dim)),
        pool="cls",
        pos_embedding=None,
    )


def names(out_dim: int) -> Part:
    modules = {"embed": nn.Embedding(47, 22), "transformer": transformer(32, 2, 16)}
    return Part({**modules, "linear": nn.Linear(32, out_dim)})


def head(
    outputs: int, threshold: float | None = None, in_dim: int = 48, hidden: tuple[int, int] = (9, 7)
) -> nn.Module:
    first, second = hidden
    layers = [
        nn.Linear(in_dim, first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, outputs),
    ]
    module = nn.Sequential(*layers)
    if threshold is not None:
        module.thresh = threshold
    return module


def full_model(
    *,
    pretrained_names: bool = False,
    priorities: int = 4,
    heads: bool = True,
    contrast: bool = True,
    study_heads: tuple[int, int] = (2, 8),
    head_hidden: tuple[int, int] = (9, 7),
) -> Part:
    """The published whole model: sequence ViT to 24, study ViT of 2 registers to 6, without a text tower."""
    series_names = nn.Sequential(names(5), nn.Linear(32, 289)) if pretrained_names else names(289)
    visual = {
        "innerViT": vit(289, 24, registers=3),
        "outerViT": vit(24, 6, 2, *study_heads),
        "serieencoder": series_names,
        "studyencoder": names(24),
    }
    if contrast:
        visual["patdisnet"] = nn.Sequential(nn.Linear(3 * 289, 10), nn.ReLU(), nn.Linear(10, 4))
    visual_model = Part(visual, useseriename=True, usestudydescription=True)
    clip = Part({"visual_model": visual_model}, temperature=nn.Parameter(torch.tensor([0.5])))
    clip.patdistemperature = torch.tensor([0.25])
    model = Part({"clipmodel": clip, "clipvisualmodel": visual_model})
    if heads:
        model.diagnosisheads = {
            "glioma": [head(3, 0.5, hidden=head_hidden), 1],
            "stroke.acute": (head(3, -1, hidden=head_hidden), 2),
        }
        model.referralheads = {"neurology": [head(2, 0.0, hidden=head_hidden), -1]}
        model.m1 = nn.ModuleList([entry[0] for entry in model.diagnosisheads.values()])
        model.priorityhead = head(priorities)
    return model


@pytest.fixture
def make_full() -> Callable[..., Part]:
    """`full_model`, with a seed."""
    torch.manual_seed(3)
    return full_model


@pytest.fixture
def make_part() -> type[Part]:
    return Part


@pytest.fixture
def make_head() -> Callable[..., nn.Module]:
    return head


@pytest.fixture
def vqvae() -> Tokenizer:
    """The tokenizer that goes with `make_full`; its state dict has the published names."""
    torch.manual_seed(4)
    return Tokenizer(TOKENIZER)


@pytest.fixture
def tokenizer_file(vqvae: Tokenizer, tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.pth"
    torch.save(vqvae.state_dict(), path)
    return path


@pytest.fixture
def full_file(make_full: Callable[..., Part], tmp_path: Path) -> Path:
    path = tmp_path / "full.pt"
    torch.save(make_full(), path)
    return path


@pytest.fixture
def make_archive(tmp_path: Path) -> Callable[..., Path]:
    """A torch archive around any pickle, with entries under `data/`."""

    def make(
        pickled: bytes, name: str = "made.pt", compression: int = zipfile.ZIP_STORED, **entries: bytes
    ) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/byteorder", b"little")
            for key, data in entries.items():
                archive.writestr(f"archive/data/{key}", data)
        return path

    return make


@pytest.fixture(scope="session")
def golden_model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory converted from the golden checkpoint."""
    from prima_features.encoders.prima.convert.run import convert

    output = tmp_path_factory.mktemp("converted") / "prima"
    convert(golden / "published_layout_full.pt", golden / "published_layout_vqvae.pth", output)
    return output
