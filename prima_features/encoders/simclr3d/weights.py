"""The published checkpoint of 3D-Neuro-SimCLR: names of its tensors, and sizes of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prima_features.encoders.base import Preparer, Widths
from prima_features.encoders.brain_volume import ANSWER_OPTIONS, OPTIONS, anatomy_options
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.encoders.simclr3d.network import ResNet, ResNetConfig
from prima_features.encoders.simclr3d.prepare import SimclrPreparer
from prima_features.models.loading import Shapes

_WEIGHT = 64
"""Share of a batch: one volume at a time on a CPU, four on a GPU. Each takes some 4 GB."""


def rename(name: str) -> str | None:
    """The network's name of a tensor. Left out: the projector, and counters of batches."""
    name = name.removeprefix("module.")
    if name.startswith("projector.") or name.endswith(".num_batches_tracked"):
        return None
    return name.removeprefix("encoder.")


def sizes(shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any]) -> ResNetConfig:
    """Sizes from the tensors.

    Raises:
        KeyError, ValueError: tensors are missing.
    """
    blocks = {found[0] for name in shapes if (found := re.match(r"layer(\d)\.(\d+)", name))}
    return ResNetConfig(
        widths=tuple(shapes[f"layer{number}.0.conv1.weight"][0] for number in range(1, 5)),
        blocks=tuple(sum(one.startswith(f"layer{number}.") for one in blocks) for number in range(1, 5)),
    )


def _preparer(config: ResNetConfig, options: Mapping[str, str]) -> Preparer:
    return SimclrPreparer(
        n_tokens=1,
        weight=_WEIGHT,
        unstripped=options["unstripped"],  # type: ignore[arg-type]
        anatomy=anatomy_options(options),
    )


def _widths(config: ResNetConfig) -> Widths:
    return Widths(study=None, series=config.widths[-1])


ARCHITECTURE = SeriesArchitecture(
    model_type="simclr3d",
    config=ResNetConfig,
    network=ResNet,
    preparer=_preparer,
    widths=_widths,
    preprocessing=1,
    rename=rename,
    sizes=sizes,
    containers=("model_state_dict",),
    unit="units of a 64th of a volume",
    options=OPTIONS,
    answer_options=ANSWER_OPTIONS,
    uses_anatomy=True,
)
