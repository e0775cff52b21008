"""DINOv2's and DINOv3's published files, as timm names their tensors, or with Meta's names of DINOv2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from prima_features.encoders.base import Preparer, Widths
from prima_features.encoders.brain_volume import MASK_TOOLS, anatomy_options
from prima_features.encoders.dino_slices.network import Dino, SlicesConfig
from prima_features.encoders.dino_slices.prepare import SIDE, SlicesPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.encoders.vit import depth
from prima_features.models.loading import Shapes

_HEAD_WIDTH = 64
_EPS = {"dinov2": 1e-6, "dinov3": 1e-5}


def rename(name: str) -> str | None:
    """The network's name of a tensor; None for `mask_token`, which only training uses."""
    if name == "mask_token":
        return None
    return re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", name).replace("patch_embed.proj.", "patch_embed.")


def sizes(
    shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any], kind: str
) -> SlicesConfig:
    """Sizes from the tensors; heads are 64 wide, unless config.json states `num_heads`.

    Raises:
        KeyError, ValueError: tensors are missing, or are those of the other model.
    """
    dim, _, patch, _ = shapes["patch_embed.weight"]
    has_table = "pos_embed" in shapes
    if has_table != (kind == "dinov2"):
        raise ValueError(f"it has {'a' if has_table else 'no'} table of positions, as the other DINO model")
    return SlicesConfig(
        dim=dim,
        depth=depth(shapes),
        heads=int(published.get("num_heads", max(1, dim // _HEAD_WIDTH))),
        mlp_dim=shapes["blocks.0.mlp.fc1.weight"][0],
        patch=patch,
        registers=shapes["reg_token"][1] if "reg_token" in shapes else 0,
        table=round((shapes["pos_embed"][1] - 1) ** 0.5) if has_table else 0,
        eps=_EPS[kind],
        slices=settings["slices"],
    )


def preparer(config: SlicesConfig, options: Mapping[str, str]) -> Preparer:
    """What reads series."""
    return SlicesPreparer(config.slices, (SIDE // config.patch) ** 2, anatomy_options(options))


def widths(config: SlicesConfig) -> Widths:
    """Of series."""
    return Widths(study=None, series=config.dim)


def _architecture(kind: str) -> SeriesArchitecture[SlicesConfig]:
    return SeriesArchitecture(
        model_type=f"{kind}-slices",
        config=SlicesConfig,
        network=Dino,
        preparer=preparer,
        widths=widths,
        preprocessing=1,
        rename=rename,
        sizes=partial(sizes, kind=kind),
        unit="slices",
        options={"mask_tool": ("none", *(tool for tool in MASK_TOOLS if tool != "none"))},
        answer_options={"mask_tool": "none"},
        uses_anatomy=True,
    )


DINOV2, DINOV3 = _architecture("dinov2"), _architecture("dinov3")
