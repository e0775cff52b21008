"""NeuroVFM's published file: `pytorch_model.bin` with `config.json`, Hub repository mlinslab/neurovfm-encoder.

The published config.json contains no intensity statistics: those of the preparation always hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from prima_features.encoders import operations
from prima_features.encoders.base import Prepared, Widths
from prima_features.encoders.neurovfm.network import NeuroVFM, NeuroVFMConfig
from prima_features.encoders.neurovfm.prepare import WEIGHT_UNIT, NeuroVFMPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.encoders.vit import depth
from prima_features.models.loading import Shapes


def rename(name: str) -> str:
    """The network's name of a published tensor."""
    return name.replace("token_embed.proj.", "embed.").replace(".mixer.", ".attn.")


def sizes(shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any]) -> NeuroVFMConfig:
    """Sizes from the tensors; the number of heads from config.json.

    Raises:
        KeyError: a tensor is missing.
        ValueError: config.json is missing or contradicts the tensors.
    """
    params = published.get("params")
    if not isinstance(params, Mapping) or not isinstance(params.get("num_heads"), int):
        raise ValueError("put the published config.json next to it, which states the number of heads")
    embedded, patch_dim = shapes["embed.weight"]
    (dim,) = shapes["norm.weight"]
    config = NeuroVFMConfig(
        dim,
        depth(shapes),
        params["num_heads"],
        shapes["blocks.0.mlp.fc1.weight"][0],
        patch_dim,
        dim - embedded,
    )
    stated = {
        "embed_dim": (params.get("embed_dim", dim), dim),
        "depth": (params.get("depth", config.depth), config.depth),
        "pos_emb_cf.params.d": (_place_dim(params, config.place_dim), config.place_dim),
    }
    for key, (value, found) in stated.items():
        if value != found:
            raise ValueError(f"its tensors have {key} {found}, and config.json next to it states {value}")
    return config


def _place_dim(params: Mapping[str, Any], default: int) -> Any:
    place = params.get("pos_emb_cf")
    inner = place.get("params") if isinstance(place, Mapping) else None
    return inner.get("d", default) if isinstance(inner, Mapping) else default


def preparer(config: NeuroVFMConfig, options: Mapping[str, str]) -> NeuroVFMPreparer:
    """What reads series."""
    return NeuroVFMPreparer(cast(Literal["repaired", "public"], options["slice_axis"]))


def widths(config: NeuroVFMConfig) -> Widths:
    """Of series and tokens."""
    return Widths(study=None, series=config.dim, token=config.dim)


def gflop(config: NeuroVFMConfig, prepared: Prepared) -> float:
    """Operations of one series."""
    n = len(prepared.arrays.values)
    embed = operations.linear((config.patch_dim, config.dim - config.place_dim))
    return n * embed + operations.blocks([n], config.depth, config.dim, config.mlp_dim)


ARCHITECTURE = SeriesArchitecture(
    model_type="neurovfm",
    config=NeuroVFMConfig,
    network=NeuroVFM,
    preparer=preparer,
    widths=widths,
    preprocessing=1,
    rename=rename,
    sizes=sizes,
    containers=("state_dict",),
    unit=WEIGHT_UNIT,
    options={"slice_axis": ("repaired", "public")},
    gflop=gflop,
)
