"""The bundled model `prima-untrained`: small, of seeded random weights, for trying the pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prima_features import model_cards
from prima_features.encoders.prima.model_config import network_shapes, write_config
from prima_features.encoders.prima.networks.config import (
    NameConfig,
    NamesConfig,
    PrimaConfig,
    TokenizerConfig,
    TransformerConfig,
    ViTConfig,
)
from prima_features.files.new_directory import new_directory
from prima_features.models import directory

NAME = "prima-untrained"
SEED = 18638
# Random attention averages over tokens, and registers are the same for all scans: left at their natural sizes
# both would make all scans look nearly alike.
_GAINS = {
    "tokenizer.encoder.blocks.6.": 6.0,
    "attention.to_out": 4.0,
    "registers": 0.1,
    "names.study.project": 0.3,
}

_NAME_SIZES = TransformerConfig(dim=64, depth=1, heads=4, dim_head=16, mlp_dim=64)
CONFIG = PrimaConfig(
    tokenizer=TokenizerConfig(channels=(8, 16), res_channels=(8, 8), codes=64),
    names=NamesConfig(
        sequence=NameConfig(_NAME_SIZES, out_dim=289),
        study=NameConfig(_NAME_SIZES, out_dim=64),
    ),
    sequence=ViTConfig(
        TransformerConfig(dim=289, depth=2, heads=4, dim_head=16, mlp_dim=64), registers=4, out_dim=64
    ),
    study=ViTConfig(
        TransformerConfig(dim=64, depth=2, heads=4, dim_head=16, mlp_dim=64), registers=3, out_dim=32
    ),
)


def build_untrained(output: Path, overwrite: bool = False) -> None:
    """Write the model to a new directory; the same numbers each time.

    Raises:
        UsageError: `output` holds something and `overwrite` is off.
        OutputError: it could not be written.
    """
    from safetensors.numpy import save

    generator = np.random.default_rng(SEED)
    shapes = network_shapes(CONFIG)
    # Half precision keeps the package small; loading widens it.
    tensors = {name: _draw(name, shapes[name], generator).astype(np.float16) for name in sorted(shapes)}
    with new_directory(output, overwrite) as made:
        (made / directory.MODEL).write_bytes(save(tensors, metadata={"format": "pt"}))
        write_config(made, CONFIG)
        (made / directory.CARD).write_text(model_cards.card(NAME), encoding="utf-8")
        directory.write_checksums(made)


def _draw(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Numbers that keep a signal's size from layer to layer, leaning towards what comes from the image."""
    if name.endswith(("norm.weight", "ema_cluster_size")):
        return np.ones(shape)
    if name.endswith("bias"):
        return np.zeros(shape)
    gain = next((gain for part, gain in _GAINS.items() if part in name), 1.0)
    fan_in = 1 if "embed" in name or name.endswith(("registers", "ema_w")) else np.prod(shape[1:])
    relu = 2 if name.startswith("tokenizer.") else 1
    return generator.standard_normal(shape) * gain * np.sqrt(relu / fan_in)
