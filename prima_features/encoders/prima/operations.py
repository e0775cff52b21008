"""Floating-point operations of Prima's networks, see `encoders.operations`."""

from __future__ import annotations

from functools import cached_property
from math import prod

from prima_features.encoders import operations
from prima_features.encoders.prima.networks.config import (
    NameConfig,
    PrimaConfig,
    TransformerConfig,
    ViTConfig,
)
from prima_features.encoders.prima.networks.prima import DOUBLING
from prima_features.encoders.prima.networks.text import symbol_indices
from prima_features.encoders.prima.networks.tokenizer import level_sides


class Operations:
    """Counts the operations of a model of these sizes, in 10^9."""

    def __init__(self, config: PrimaConfig) -> None:
        self._config = config

    @cached_property
    def of_subvolume(self) -> float:
        """Operations of the tokenizer on one subvolume."""
        read, config = self._config.preprocessing, self._config.tokenizer
        sides = (DOUBLING * read.short_side, read.long_side, read.long_side)
        total, inputs = 0, 1
        levels = zip(
            config.channels, config.res_channels, config.downsample, level_sides(config, sides), strict=True
        )
        voxels = prod(sides)
        for width, hidden, (_, kernel, _, _), shape in levels:
            voxels = prod(shape)  # also of the output of the residual units
            total += voxels * width * (inputs * kernel**3 + config.res_layers * 2 * hidden * 3**3)
            inputs = width
        total += voxels * inputs * config.code_dim * 3**3
        return 2 * total / 1e9

    def of_series(self, n_subvolumes: int, n_tokens: int, name: str) -> float:
        """Operations of one series.

        Args:
            n_subvolumes: subvolumes that the tokenizer encodes.
            n_tokens: tokens that the sequence ViT reads; a subvolume may be read twice.
            name: of the series.
        """
        config = self._config
        named = _of_name(config.names.sequence, name)
        return n_subvolumes * self.of_subvolume + named + _of_vit(config.sequence, n_tokens)

    def of_study(self, n_series: int, description: str) -> float:
        """Operations of the study ViT on its series' vectors, and of its description."""
        return _of_name(self._config.names.study, description) + _of_vit(self._config.study, n_series)


def _of_name(config: NameConfig, text: str) -> float:
    layers = config.transformer
    return _of_transformer(layers, len(symbol_indices(text))) + operations.linear(
        (layers.dim, config.out_dim)
    )


def _of_vit(config: ViTConfig, n: int) -> float:
    """Of n elements, the registers, and one vector for the text."""
    sequence = n + config.registers + 1
    return _of_transformer(config.transformer, sequence) + operations.linear(
        (config.flat_dim, config.out_dim)
    )


def _of_transformer(config: TransformerConfig, n: int) -> float:
    inner = config.heads * config.dim_head
    out = not (config.heads == 1 and config.dim_head == config.dim)
    return operations.blocks([n], config.depth, config.dim, config.mlp_dim, inner, out)
