"""The published checkpoint of Dinov3D-Neuro: names of its tensors, and sizes of the network.

The checkpoint is in `eval/training_N/` of the authors' repository, and the configuration of the training,
`config.yaml`, at its top.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from prima_features.encoders.base import Preparer, Widths
from prima_features.encoders.brain_volume import TOKENS_UNIT
from prima_features.encoders.dinov3d_neuro.network import Dino3d, Dino3dConfig
from prima_features.encoders.dinov3d_neuro.prepare import Dino3dPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.encoders.vit import depth
from prima_features.models.loading import Shapes

logger = logging.getLogger(__name__)

T = TypeVar("T")

_EPSILONS = {"layernorm": 1e-6, "layernormbf16": 1e-5}
_BFLOAT16 = {"bf16": True, "fp32": False}
"""Values of `student.norm_layer` and `student.pos_embed_rope_dtype` in DINOv3's configuration; the defaults first."""
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
    """Sizes from the tensors: the number of periods gives the width of a head. From config.yaml what they do not show.

    Raises:
        KeyError, ValueError: tensors are missing, or config.yaml states another network.
    """
    width, _, patch = shapes["patch_embed.weight"][:3]
    (periods,) = shapes["periods"]
    if not published:
        logger.warning(
            "The authors' config.yaml is not there: the epsilon of the layer norms (1e-6) and the number type of the "
            "position code (bfloat16) are those of DINOv3's default configuration"
        )
    return Dino3dConfig(
        width=width,
        depth=depth(shapes),
        heads=width // (6 * periods),
        mlp=shapes["blocks.0.mlp.fc1.weight"][0],
        patch=patch,
        eps=_stated(published, "norm_layer", _EPSILONS),
        bfloat16_positions=_stated(published, "pos_embed_rope_dtype", _BFLOAT16),
        feature=settings.get("feature", "class"),
    )


def _stated(published: Mapping[str, Any], key: str, meanings: Mapping[str, T]) -> T:
    """What config.yaml states of the network under `student`; the first meaning if nothing."""
    student = published.get("student", {} if not published else None)
    if not isinstance(student, Mapping):
        raise ValueError(
            "config.yaml next to it has no section `student`: give the authors' file, or remove it"
        )
    if (value := student.get(key)) is None:
        return next(iter(meanings.values()))
    if not isinstance(value, str) or value not in meanings:
        raise ValueError(
            f"config.yaml states {key} {value!r}, and only {' and '.join(meanings)} are supported"
        )
    return meanings[value]


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
    published_configs=("config.yaml", "../../config.yaml"),
    unit=TOKENS_UNIT,
)
