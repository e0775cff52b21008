"""The published checkpoint of Dinov3D-Neuro: names of its tensors, and sizes of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prima_features.encoders.base import Preparer, Widths
from prima_features.encoders.brain_volume import TOKENS_UNIT
from prima_features.encoders.dinov3d_neuro.network import Dino3d, Dino3dConfig
from prima_features.encoders.dinov3d_neuro.prepare import Dino3dPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.encoders.vit import depth
from prima_features.models.loading import Shapes

_LEFT_OUT = re.compile(r"(dino_head|ibot_head)\.|mask_token$")
_NAMES = {
    "patch_embed.proj.": "patch_embed.",
    "rope_embed.periods": "periods",
    ".ls1.gamma": ".gamma_1",
    ".ls2.gamma": ".gamma_2",
}


def rename(name: str) -> str | None:
    """The network's name of a tensor. Left out: heads of the training objectives, and the token of masked patches."""
    name = name.removeprefix("backbone.")
    if _LEFT_OUT.match(name):
        return None
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


def sizes(shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any]) -> Dino3dConfig:
    """Sizes from the tensors: the number of periods gives the width of a head.

    Raises:
        KeyError, ValueError: tensors are missing.
    """
    width, _, patch = shapes["patch_embed.weight"][:3]
    (periods,) = shapes["periods"]
    return Dino3dConfig(
        width=width,
        depth=depth(shapes),
        heads=width // (6 * periods),
        mlp=shapes["blocks.0.mlp.fc1.weight"][0],
        patch=patch,
        feature=settings.get("feature", "class"),
    )


def _preparer(config: Dino3dConfig, options: Mapping[str, str]) -> Preparer:
    return Dino3dPreparer(n_tokens=0, patch=config.patch)


def _widths(config: Dino3dConfig) -> Widths:
    return Widths(study=None, series=config.width)


ARCHITECTURE = SeriesArchitecture(
    model_type="dinov3d-neuro",
    config=Dino3dConfig,
    network=Dino3d,
    preparer=_preparer,
    widths=_widths,
    preprocessing=1,
    rename=rename,
    sizes=sizes,
    containers=("teacher",),
    unit=TOKENS_UNIT,
)
