"""BrainIAC's published checkpoint, a Lightning file: names of its tensors, and sizes of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prima_features.encoders.base import Preparer, Widths
from prima_features.encoders.brain_volume import (
    ANSWER_OPTIONS,
    OPTIONS,
    TOKENS_PER_WEIGHT,
    TOKENS_UNIT,
    anatomy_options,
)
from prima_features.encoders.brainiac.network import Brainiac, BrainiacConfig
from prima_features.encoders.brainiac.prepare import BrainiacPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.encoders.vit import depth
from prima_features.models.loading import Shapes

_HEAD_WIDTH = 64
_OUTSIDE = re.compile(r"(?!patch_embedding\.|blocks\.|norm\.)")
_UNUSED = re.compile(r"blocks\.\d+\.(norm_cross_attn|cross_attn)\.")
"""Written by MONAI 1.4 and later, although the network has no cross-attention."""
_NAMES = {
    "patch_embedding.position_embeddings": "positions",
    "patch_embedding.patch_embeddings.": "patch_embed.",
    ".attn.out_proj.": ".attn.proj.",
    ".mlp.linear1.": ".mlp.fc1.",
    ".mlp.linear2.": ".mlp.fc2.",
}


def rename(name: str) -> str | None:
    """The network's name of a tensor.

    Left out: everything outside `backbone.`, such as the projection head, and `_UNUSED`.
    """
    inner = name
    while inner.startswith("backbone."):
        inner = inner.removeprefix("backbone.")
    if (inner == name and _OUTSIDE.match(name)) or _UNUSED.match(inner):
        return None
    for theirs, ours in _NAMES.items():
        inner = inner.replace(theirs, ours)
    return inner


def sizes(shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any]) -> BrainiacConfig:
    """Sizes from the tensors; the number of heads is not stored in the published file.

    Raises:
        KeyError, ValueError: tensors are missing.
    """
    _, n, width = shapes["positions"]
    patch = shapes["patch_embed.weight"][2]
    return BrainiacConfig(
        side=round(n ** (1 / 3)) * patch,
        patch=patch,
        width=width,
        depth=depth(shapes),
        heads=int(published.get("num_heads", max(1, width // _HEAD_WIDTH))),
        mlp=shapes["blocks.0.mlp.fc1.weight"][0],
        feature=settings.get("feature", "mean"),
    )


def _preparer(config: BrainiacConfig, options: Mapping[str, str]) -> Preparer:
    return BrainiacPreparer(
        n_tokens=config.tokens,
        weight=max(1, config.tokens // TOKENS_PER_WEIGHT),
        side=config.side,
        unstripped=options["unstripped"],  # type: ignore[arg-type]
        anatomy=anatomy_options(options),
    )


def _widths(config: BrainiacConfig) -> Widths:
    return Widths(study=None, series=config.width)


ARCHITECTURE = SeriesArchitecture(
    model_type="brainiac",
    config=BrainiacConfig,
    network=Brainiac,
    preparer=_preparer,
    widths=_widths,
    preprocessing=1,
    rename=rename,
    sizes=sizes,
    containers=("state_dict",),
    options=OPTIONS,
    answer_options=ANSWER_OPTIONS,
    unit=TOKENS_UNIT,
    uses_anatomy=True,
)
