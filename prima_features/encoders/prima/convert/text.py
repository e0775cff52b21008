"""The published text tower: GPT-2 as transformers lays it out, and the projection behind it."""

from __future__ import annotations

import logging

from prima_features.encoders.prima.convert.vit import linear
from prima_features.encoders.prima.networks.config import TextConfig
from prima_features.models.checkpoint.module_tree import Module
from prima_features.models.checkpoint.records import CheckpointError, Record
from prima_features.models.checkpoint.stored_tensor import StoredTensor

log = logging.getLogger(__name__)

_PUBLISHED_HEAD_DIM = 64
_EXPECTED = {
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
"""Settings of GPT2Config that change what is computed, with the values that `TextTower` computes."""


def text_tower(clip: Module) -> tuple[TextConfig | None, dict[str, StoredTensor]]:
    """Sizes and tensors of the published CLIP module's text tower; None and none if there is none to use.

    A GPT-2 with settings that `TextTower` does not know is left out with a warning, because embedding images
    does not need it.

    Raises:
        CheckpointError: a text tower whose parts are missing.
    """
    wrapper = clip.find("text_model")
    if wrapper is None:
        return None, {}
    gpt2, head = wrapper.child("model"), wrapper.child("mlp_head")
    settings = _settings(gpt2)
    odd = {name: settings[name] for name, value in _EXPECTED.items() if settings.get(name, value) != value}
    if odd or settings.get("n_inner") is not None:
        log.warning("the text tower is left out: its GPT-2 has settings that are not supported (%s)", odd)
        return None, {}
    tensors = {f"gpt2.{name}": tensor for name, tensor in gpt2.parameters().items()}
    for i in range(3):
        tensors |= linear(head.child(str(i)), f"project.{i}")
    return _config(gpt2, head, settings), tensors


def _config(gpt2: Module, head: Module, settings: dict[object, object]) -> TextConfig:
    words, positions = gpt2.child("wte").tensor("weight"), gpt2.child("wpe").tensor("weight")
    dim = words.length(1)
    heads = settings.get("n_head", dim // _PUBLISHED_HEAD_DIM)
    epsilon = settings.get("layer_norm_epsilon", TextConfig.layer_norm_eps)
    if not (isinstance(epsilon, float) and isinstance(heads, int) and heads > 0 and dim % heads == 0):
        raise CheckpointError(f"has a GPT-2 of width {dim} with {heads} heads in {gpt2.path}")
    return TextConfig(
        vocab_size=words.length(0),
        positions=positions.length(0),
        dim=dim,
        depth=len(gpt2.child("h").children()),
        heads=heads,
        out_dim=head.child("1").tensor("weight").length(0),
        layer_norm_eps=epsilon,
        max_tokens=min(TextConfig.max_tokens, positions.length(0)),
    )


def _settings(gpt2: Module) -> dict[object, object]:
    config = gpt2.attribute("config")
    state = config.state if isinstance(config, Record) else None
    return state if isinstance(state, dict) else {}
