"""OpenMind's published checkpoints: names of their tensors, and sizes of the encoder.

All checkpoints of the authors with this encoder have the same layout, whichever way they were trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prima_features.encoders.base import Preparer, Widths
from prima_features.encoders.openmind_resencl.network import ResEnc, ResEncConfig
from prima_features.encoders.openmind_resencl.prepare import OpenmindPreparer
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.models.loading import Shapes

_STAGE = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")
_SKIP = re.compile(r"\.skip\.[01]\.")
_WEIGHT = 64
"""Share of a batch: one volume at a time on a CPU, four on a GPU. Each takes some 2 GB."""


def rename(name: str) -> str | None:
    """The network's name of a tensor.

    Left out: everything outside `encoder.`, such as the decoder, which repeats the encoder; and `all_modules`, a second
    name of each layer.
    """
    name = name.removeprefix("module.")
    if not name.startswith("encoder.") or ".all_modules." in name:
        return None
    inner = name.removeprefix("encoder.").replace("stem.convs.0.", "stem.")
    return _SKIP.sub(".skip.", _STAGE.sub(r"stages.\1.\2.", inner))


def sizes(shapes: Shapes, published: Mapping[str, Any], settings: Mapping[str, Any]) -> ResEncConfig:
    """Sizes from the tensors.

    Raises:
        KeyError, ValueError: tensors are missing.
    """
    blocks = {(int(stage), int(block)) for name in shapes for stage, block in _blocks(name)}
    stages = sorted({stage for stage, _ in blocks})
    return ResEncConfig(
        widths=tuple(shapes[f"stages.{stage}.0.conv1.conv.weight"][0] for stage in stages),
        blocks=tuple(sum(one == stage for one, _ in blocks) for stage in stages),
        feature=settings.get("feature", "last"),
    )


def _blocks(name: str) -> list[tuple[str, str]]:
    return re.findall(r"^stages\.(\d+)\.(\d+)\.", name)


def _preparer(config: ResEncConfig, options: Mapping[str, str]) -> Preparer:
    return OpenmindPreparer(n_tokens=1, weight=_WEIGHT)


def _widths(config: ResEncConfig) -> Widths:
    return Widths(study=None, series=config.width)


ARCHITECTURE = SeriesArchitecture(
    model_type="openmind-resencl",
    config=ResEncConfig,
    network=ResEnc,
    preparer=_preparer,
    widths=_widths,
    preprocessing=1,
    rename=rename,
    sizes=sizes,
    containers=("network_weights",),
    unit="units of a 64th of a volume",
)
