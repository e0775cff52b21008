"""The published tokenizer file: a VQ-VAE's state dict, from which its sizes are worked out."""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.models.checkpoint.module_tree import Module
from prima_features.models.checkpoint.records import CheckpointError, Record
from prima_features.models.checkpoint.stored_tensor import StoredTensor, as_tensor

_FIRST = "encoder.blocks.0.conv.weight"
_CODES = "quantizer.quantizer.embedding.weight"
_PARTS = ("encoder.blocks.", "decoder.blocks.", "quantizer.quantizer.")
_MAX_BLOCKS = 256
_NESTED = ("state_dict", "model_state_dict", "model")

Tensors = dict[str, StoredTensor]


class _Level(NamedTuple):
    conv: StoredTensor
    units: list[StoredTensor]
    """First weight of each residual unit behind the convolution."""


def tokenizer(root: object) -> tuple[TokenizerConfig, Tensors]:
    """Sizes of the VQ-VAE in a checkpoint's object graph, and its tensors by their state-dict names.

    Accepted are a state dict, one nested under a usual name, and a whole pickled module, each with or without
    a prefix such as `module.` before every name.

    A state dict does not hold strides and paddings. They are taken to be those that halve a side for an even
    kernel (stride 2, padding kernel / 2 - 1) and keep it for an odd one (stride 1, padding (kernel - 1) / 2),
    without dilation: the published levels, kernels 4 and 2, come out as they are.

    Raises:
        CheckpointError: no VQ-VAE, or one of another layout.
    """
    tensors = _vqvae_tensors(root)
    *encoder, last = _levels(tensors, "encoder")
    decoder = _levels(tensors, "decoder")[1:]
    units = {len(level.units) for level in encoder}
    if _CODES not in tensors or len(units) != 1 or last.units or len(decoder) != len(encoder):
        raise CheckpointError("contains a VQ-VAE with other levels, decoder or codebook than Prima's")
    down = [_geometry(level.conv.length(-1)) for level in encoder]
    up = [_geometry(level.conv.length(-1)) for level in decoder]
    config = TokenizerConfig(
        channels=tuple(level.conv.length(0) for level in encoder),
        res_channels=tuple(level.units[0].length(0) for level in encoder if level.units),
        res_layers=units.pop(),
        downsample=tuple((stride, kernel, 1, padding) for stride, kernel, padding in down),
        upsample=tuple((stride, kernel, 1, padding, 0) for stride, kernel, padding in up),
        codes=tensors[_CODES].length(0),
        code_dim=tensors[_CODES].length(-1),
    )
    return config, tensors


def is_tokenizer(root: object) -> bool:
    """Whether a checkpoint is a VQ-VAE's, whatever its sizes."""
    return _prefix(_state_dict(root)) is not None


def _vqvae_tensors(root: object) -> Tensors:
    state = _state_dict(root)
    prefix = _prefix(state)
    if prefix is None:
        raise CheckpointError(f"contains no VQ-VAE (no tensor {_FIRST}): give the tokenizer's checkpoint")
    named = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {name: tensor for name, tensor in named.items() if name.startswith(_PARTS)}


def _state_dict(root: object) -> Tensors:
    if isinstance(root, Record):
        module = Module(root, "")
        return module.parameters() | module.buffers()
    state = root if isinstance(root, dict) else {}
    for name in _NESTED:
        if isinstance(inner := state.get(name), dict | Record):
            return _state_dict(inner) if isinstance(inner, Record) else _tensors(inner)
    return _tensors(state)


def _tensors(state: dict[object, object]) -> Tensors:
    found = {str(name): as_tensor(value) for name, value in state.items()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _prefix(state: Tensors) -> str | None:
    return next((name.removesuffix(_FIRST) for name in state if name.endswith(_FIRST)), None)


def _levels(tensors: Tensors, side: str) -> list[_Level]:
    """The convolutions that change the resolution, each with the residual units behind it."""
    levels: list[_Level] = []
    blocks = (f"{side}.blocks.{i}" for i in range(_MAX_BLOCKS))
    for block in takewhile(lambda block: _has_block(tensors, block), blocks):
        if (conv := tensors.get(f"{block}.conv.weight")) is not None:
            levels.append(_Level(conv, []))
        elif levels:
            levels[-1].units.append(tensors[f"{block}.conv1.conv.weight"])
    if len(levels) < 2 or any(len(level.conv.shape) != 5 for level in levels):
        raise CheckpointError(
            f"contains a VQ-VAE with a {side} that does not consist of 3-D convolutions like Prima's"
        )
    return levels


def _has_block(tensors: Tensors, block: str) -> bool:
    return f"{block}.conv.weight" in tensors or f"{block}.conv1.conv.weight" in tensors


def _geometry(kernel: int) -> tuple[int, int, int]:
    """Stride, kernel and padding, by the rule that `tokenizer` states."""
    return (1, kernel, (kernel - 1) // 2) if kernel % 2 else (2, kernel, kernel // 2 - 1)
