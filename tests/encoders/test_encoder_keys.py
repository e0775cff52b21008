"""The state dict's keys and shapes, which saved models are written in."""

import dataclasses
from pathlib import Path

import pytest
import torch

from prima_features.encoders.prima.networks import Head, Prima, PrimaConfig, TextTower
from prima_features.encoders.prima.networks.config import ContrastConfig, TextConfig, TokenizerConfig


def both(prefix: str) -> set[str]:
    return {f"{prefix}.weight", f"{prefix}.bias"}


def transformer_keys(prefix: str, depth: int) -> set[str]:
    keys: set[str] = set()
    for i in range(depth):
        block = f"{prefix}.transformer.blocks.{i}"
        keys |= {f"{block}.attention.to_qkv.weight"}
        for part in ("attention_norm", "attention.to_out", "mlp_norm", "mlp.0", "mlp.2"):
            keys |= both(f"{block}.{part}")
    return keys


def tokenizer_keys(config: TokenizerConfig) -> set[str]:
    level = ["conv", *["conv1.conv|conv2.conv"] * config.res_layers]
    encoder = [*level * len(config.channels), "conv"]
    decoder = encoder[::-1]
    keys = {
        f"tokenizer.quantizer.quantizer.{name}" for name in ("embedding.weight", "ema_w", "ema_cluster_size")
    }
    for side, blocks in (("encoder", encoder), ("decoder", decoder)):
        for i, block in enumerate(blocks):
            for conv in block.split("|"):
                keys |= both(f"tokenizer.{side}.blocks.{i}.{conv}")
    return keys


def expected_keys(config: PrimaConfig) -> set[str]:
    keys = tokenizer_keys(config.tokenizer)
    for name, sizes in (("sequence", config.names.sequence), ("study", config.names.study)):
        keys |= {f"names.{name}.embed.weight"} | both(f"names.{name}.project")
        keys |= transformer_keys(f"names.{name}", sizes.transformer.depth)
    for name, vit in (("sequence", config.sequence), ("study", config.study)):
        keys |= {f"{name}.registers"} | both(f"{name}.norm") | both(f"{name}.project")
        keys |= transformer_keys(name, vit.transformer.depth)
    if config.contrast:
        keys |= both("contrast.project.0") | both("contrast.project.2")
        keys |= {"contrast.temperature", "contrast.patient_temperature"}
    return keys


@pytest.mark.parametrize("contrast", [None, ContrastConfig(hidden=10, out_dim=6)])
def test_the_keys_are_the_contracts(tiny_config: PrimaConfig, contrast: ContrastConfig | None) -> None:
    config = dataclasses.replace(tiny_config, contrast=contrast)
    assert set(Prima(config).state_dict()) == expected_keys(config)


def test_the_tokenizers_keys_and_shapes_are_the_published_ones(golden: Path) -> None:
    published = torch.load(golden / "published_layout_vqvae.pth", weights_only=True)
    with torch.device("meta"):
        ours = Prima(
            PrimaConfig(tokenizer=TokenizerConfig(channels=(16, 24), res_channels=(20, 12), codes=64))
        ).tokenizer.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in published.items()}


def test_the_published_sizes_give_the_published_shapes() -> None:
    config = PrimaConfig(contrast=ContrastConfig())
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in Prima(config).state_dict().items()}
    assert set(shapes) == expected_keys(config)
    expected = {
        "tokenizer.encoder.blocks.0.conv.weight": (256, 1, 4, 4, 4),
        "tokenizer.encoder.blocks.3.conv.weight": (256, 256, 2, 2, 2),
        "tokenizer.encoder.blocks.6.conv.weight": (2, 256, 3, 3, 3),
        "tokenizer.decoder.blocks.6.conv.weight": (256, 1, 2, 2, 2),
        "tokenizer.quantizer.quantizer.embedding.weight": (8192, 2),
        "names.sequence.embed.weight": (47, 246),
        "names.sequence.project.weight": (289, 256),
        "names.study.project.weight": (1024, 256),
        "names.study.transformer.blocks.2.mlp.0.weight": (300, 256),
        "sequence.registers": (20, 289),
        "sequence.transformer.blocks.14.attention.to_qkv.weight": (3072, 289),
        "sequence.transformer.blocks.14.attention.to_out.weight": (289, 1024),
        "sequence.project.weight": (1024, 5780),
        "study.registers": (10, 1024),
        "study.transformer.blocks.3.attention.to_qkv.weight": (1536, 1024),
        "study.project.weight": (128, 10240),
        "contrast.project.0.weight": (500, 5780),
        "contrast.project.2.weight": (128, 500),
        "contrast.temperature": (1,),
        "contrast.patient_temperature": (1,),
    }
    assert {key: shapes[key] for key in expected} == expected


def test_the_published_text_tower_and_heads_have_the_published_shapes() -> None:
    pytest.importorskip("transformers", reason="needs the extra prima-features[text]")
    with torch.device("meta"):
        tower, head = TextTower(TextConfig()).state_dict(), Head(10240).state_dict()
    assert tower["gpt2.wte.weight"].shape == (28896, 768)
    assert tower["gpt2.wpe.weight"].shape == (1024, 768)
    assert tower["project.1.weight"].shape == (128, 768)
    assert [tuple(head[f"{i}.weight"].shape) for i in (0, 2, 4)] == [(4000, 10240), (1000, 4000), (1, 1000)]
