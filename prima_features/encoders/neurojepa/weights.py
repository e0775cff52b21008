"""The published checkpoint of Neuro-JEPA: names of its tensors, and sizes of the network."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from prima_features.encoders import operations
from prima_features.encoders.base import Prepared, Preparer, Widths
from prima_features.encoders.brain_volume import (
    ANSWER_OPTIONS,
    OPTIONS,
    TOKENS_PER_WEIGHT,
    TOKENS_UNIT,
    anatomy_options,
)
from prima_features.encoders.neurojepa.network import JepaConfig, NeuroJepa
from prima_features.encoders.neurojepa.prepare import JepaPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.models.loading import Shapes

_PREFIX = re.compile(r"^((encoder|target_encoder|backbone|module|_orig_mod)\.)*")
_COUNTS = re.compile(r"blocks\.\d+\.mlp\.counts")
_NAMES = {
    "patch_embed.proj.": "patch_embed.",
    ".attn.proj_attn_gate.": ".attn.gate.",
    ".mlp.gate.bias": ".mlp.bias",
    ".mlp.gate.gate.": ".mlp.gate.",
    ".mlp.shared_experts.": ".mlp.shared.",
}


def rename(name: str) -> str | None:
    """The network's name of a tensor. Left out: counts of how often each expert was chosen in training."""
    name = _PREFIX.sub("", name)
    if _COUNTS.fullmatch(name):
        return None
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


def sizes(shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any]) -> JepaConfig:
    """Sizes from the tensors, and from the published config.json what they do not contain.

    Raises:
        KeyError, ValueError: tensors are missing, or the network is of another kind.
    """
    stated = published.get("model", published)
    experts = stated.get("moe_params", {})
    if experts.get("score_func", "softmax") != "softmax":
        raise ValueError(f"experts are chosen by {experts['score_func']!r}, and only softmax is supported")
    width, _, patch = shapes["patch_embed.weight"][:3]
    blocks = {int(found[1]) for name in shapes if (found := re.match(r"blocks\.(\d+)\.", name))}
    default = JepaConfig()
    sparse = tuple(n for n in sorted(blocks) if f"blocks.{n}.mlp.bias" in shapes)
    sizes_of_experts = {}
    if sparse:
        first = f"blocks.{sparse[0]}.mlp"
        sizes_of_experts = {
            "experts": shapes[f"{first}.bias"][0],
            "expert": shapes[f"{first}.experts.0.fc1.weight"][0],
            "shared": shapes[f"{first}.shared.fc1.weight"][0],
        }
    mlp = [shapes[f"blocks.{n}.mlp.fc1.weight"][0] for n in sorted(blocks) if n not in sparse]
    return JepaConfig(
        volume=tuple(stated.get("img_size", default.volume)),
        patch=patch,
        width=width,
        depth=len(blocks),
        heads=int(stated.get("num_heads", default.heads)),
        mlp=mlp[0] if mlp else 4 * width,
        chosen=int(experts.get("n_activated_experts", default.chosen)),
        route_scale=float(experts.get("route_scale", default.route_scale)),
        expert_blocks=sparse,
        **sizes_of_experts,
    )


def _preparer(config: JepaConfig, options: Mapping[str, str]) -> Preparer:
    n_tokens = math.prod(config.grid)
    return JepaPreparer(
        n_tokens=n_tokens,
        weight=max(1, n_tokens // TOKENS_PER_WEIGHT),
        unstripped=options["unstripped"],  # type: ignore[arg-type]
        anatomy=anatomy_options(options),
    )


def _widths(config: JepaConfig) -> Widths:
    return Widths(study=None, series=config.width)


def _gflop(config: JepaConfig, prepared: Prepared) -> float:
    """Operations of one series: which experts a token uses does not change them."""
    n, width = math.prod(config.grid), config.width
    mixed = len(config.expert_blocks)
    hidden = config.chosen * config.expert + config.shared
    row = operations.linear((config.patch**3, width))
    row += config.depth * operations.linear((width, config.heads))  # the gate of each head
    row += mixed * operations.linear((width, config.experts))
    plain = operations.blocks([n], config.depth - mixed, width, config.mlp)
    return n * row + plain + operations.blocks([n], mixed, width, hidden)


ARCHITECTURE = SeriesArchitecture(
    model_type="neurojepa",
    config=JepaConfig,
    network=NeuroJepa,
    preparer=_preparer,
    widths=_widths,
    preprocessing=1,
    rename=rename,
    sizes=sizes,
    options=OPTIONS,
    answer_options=ANSWER_OPTIONS,
    unit=TOKENS_UNIT,
    uses_anatomy=True,
    gflop=_gflop,
)
