"""The published transformers: their sizes, and the names that their tensors get here."""

from __future__ import annotations

from prima_features.encoders.prima.networks.config import NameConfig, TransformerConfig, ViTConfig
from prima_features.models.checkpoint.module_tree import Module
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.stored_tensor import StoredTensor

_MAX_LAYERS = 256

Tensors = dict[str, StoredTensor]


def linear(module: Module, name: str) -> Tensors:
    """Weight and bias of a linear layer or a LayerNorm, under `name`."""
    return {f"{name}.weight": module.tensor("weight"), f"{name}.bias": module.tensor("bias")}


def transformer(module: Module, prefix: str) -> tuple[TransformerConfig, Tensors]:
    """A published `Transformer`: layers of [PreNorm(Attention), PreNorm(FeedForward)].

    Heads and dim_head are attributes of the attention modules; all other sizes are read from the tensors.

    Raises:
        CheckpointError: no layers or too many, layers of different sizes, or causal attention.
    """
    layers = list(module.child("layers").children().values())
    if not 0 < len(layers) <= _MAX_LAYERS:
        raise CheckpointError(f"has {len(layers)} layers in {module.path}; 1 to {_MAX_LAYERS} are supported")
    sizes = {_sizes(layer) for layer in layers}
    if len(sizes) > 1:
        raise CheckpointError(f"has layers of different sizes in {module.path}")
    dim, heads, dim_head, mlp_dim = sizes.pop()
    tensors: Tensors = {}
    for i, layer in enumerate(layers):
        tensors |= _block(layer, f"{prefix}.blocks.{i}")
    return TransformerConfig(dim, len(layers), heads, dim_head, mlp_dim), tensors


def vit(module: Module, prefix: str) -> tuple[ViTConfig, Tensors]:
    """A published `ViT`: innerViT (over a series' tokens) or outerViT (over a study's series).

    Raises:
        CheckpointError: a variant that Prima does not use (mean pooling, learned positions).
    """
    if module.attribute("pool", "cls") != "cls" or module.attribute("pos_embedding") is not None:
        raise CheckpointError(f"uses a pooling or position encoding in {module.path} that Prima does not")
    config, tensors = transformer(module.child("transformer"), f"{prefix}.transformer")
    registers = module.tensor("cls_token").item(0)  # (R, dim)
    project = module.child("mlp_head.0")
    tensors[f"{prefix}.registers"] = registers
    tensors |= linear(module.child("layernorm"), f"{prefix}.norm") | linear(project, f"{prefix}.project")
    return ViTConfig(config, registers.length(0), project.tensor("weight").length(0)), tensors


def name_encoder(module: Module, prefix: str) -> tuple[NameConfig, Tensors]:
    """A published name encoder, alone or, when it was trained first on its own, with a new linear behind it.

    Raises:
        CheckpointError: an encoder of another kind, such as the older one with an LSTM.
    """
    encoder, project = module, "linear"
    if module.has("0") and module.has("1"):
        encoder, project = module.child("0"), "1"
    embed = encoder.child("embed").tensor("weight")
    config, tensors = transformer(encoder.child("transformer"), f"{prefix}.transformer")
    tensors[f"{prefix}.embed.weight"] = embed
    tensors |= linear(module.child(project), f"{prefix}.project")
    out_dim = tensors[f"{prefix}.project.weight"].length(0)
    return NameConfig(config, config.dim - embed.length(-1), out_dim), tensors


def _sizes(layer: Module) -> tuple[int, int, int, int]:
    attention = layer.child("0.fn")
    heads, dim_head = attention.attribute("heads"), attention.attribute("dim_head")
    packed = attention.child("to_qkv").tensor("weight").length(0)
    if not (
        isinstance(heads, int) and isinstance(dim_head, int) and heads > 0 and 3 * heads * dim_head == packed
    ):
        raise CheckpointError(
            f"has {heads} heads of {dim_head} in {attention.path}, but its tensors have {packed} rows"
        )
    if attention.attribute("causal", False):
        raise CheckpointError(f"has causal attention in {attention.path}, which Prima does not use")
    dim = layer.child("0.norm").tensor("weight").length(0)
    return dim, heads, dim_head, layer.child("1.fn.net.0").tensor("weight").length(0)


def _block(layer: Module, prefix: str) -> Tensors:
    attention = layer.child("0.fn")
    tensors = linear(layer.child("0.norm"), f"{prefix}.attention_norm")
    tensors[f"{prefix}.attention.to_qkv.weight"] = attention.child("to_qkv").tensor("weight")
    if (to_out := attention.find("to_out.0")) is not None:
        tensors |= linear(to_out, f"{prefix}.attention.to_out")
    tensors |= linear(layer.child("1.norm"), f"{prefix}.mlp_norm")
    tensors |= linear(layer.child("1.fn.net.0"), f"{prefix}.mlp.0")
    return tensors | linear(layer.child("1.fn.net.3"), f"{prefix}.mlp.2")
