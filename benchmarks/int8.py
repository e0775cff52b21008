"""Whether 8-bit integers would help the tokenizer on a CPU: python benchmarks/int8.py [--json] [--full].

Speed: one wide convolution of the published size, in float32 as written, in int8 (VNNI or AMX, through oneDNN) and in
float32 as `prima embed` computes it, in one thread, interleaved, processor time. ONEDNN_MAX_CPU_ISA=AVX2_VNNI shows
what a laptop's processor would do. Error: a study's vector with all wide convolutions' weights (per channel) and inputs
(per batch) rounded to 8 bits, with prima-synth, or with random weights of the published size (--full, minutes).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from embed import STUDY, cosine, load, plain
from resources import processor
from torch import Tensor, nn

from prima_features.embedding.engine.prepare import StudyReader, StudyRequest
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.threads import Workspace
from prima_features.encoders.prima.networks.tokenizer import ResidualUnit
from prima_features.encoders.prima.networks.winograd import WinogradUnits
from prima_features.encoders.prima.prepare import PrimaPreparer
from prima_features.studies.dicom import find_dicom
from prima_features.volumes import ReadOptions

TOKENS = 16


@torch.inference_mode()
def speed() -> dict[str, float]:
    """Milliseconds per convolution and subvolume."""
    torch.manual_seed(0)
    unit = ResidualUnit(256, 256)
    conv = unit.conv1.conv
    assert isinstance(conv, nn.Conv3d) and conv.bias is not None
    x = torch.randn(TOKENS, 256, 4, 16, 16).relu().contiguous(memory_format=torch.channels_last_3d)
    torch.backends.quantized.engine = "onednn"
    quantized = torch.ao.nn.quantized.Conv3d(256, 256, 3, padding=1)
    scales = conv.weight.abs().amax((1, 2, 3, 4)) / 127
    weight = torch.quantize_per_channel(
        conv.weight, scales, torch.zeros(256, dtype=torch.long), 0, torch.qint8
    )
    quantized.set_weight_bias(weight, conv.bias)
    quantized.scale, quantized.zero_point = float(conv(x).abs().max() / 127), 64
    codes = torch.quantize_per_tensor(x, float(x.max() / 127), 0, torch.quint8)
    fast, workspace = WinogradUnits([unit]).along(0, 4), Workspace()
    conv.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # as documented
    ways = {
        "float32": (1, partial(conv, x)),
        "int8": (1, partial(quantized, codes.contiguous(memory_format=torch.channels_last_3d))),
        "float32, as prima embed": (2, partial(fast, x, workspace)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, (_, way) in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return {
        name: round(1e3 * min(seconds[name][1:]) / TOKENS / convolutions, 2)
        for name, (convolutions, _) in ways.items()
    }


def rounded(x: Tensor, per_channel: bool) -> Tensor:
    """Values on the grid of 8-bit integers, scaled by the largest."""
    scale = (x.abs().amax(tuple(range(1, x.ndim)), keepdim=True) if per_channel else x.abs().max()) / 127
    return (x / scale).round() * scale


@torch.no_grad()
def quantized(model: Prima) -> Prima:
    """A copy whose wide convolutions round their weights and inputs."""
    result = copy.deepcopy(model)
    for module in result.tokenizer.encoder.modules():
        if isinstance(module, nn.Conv3d) and min(module.weight.shape[:2]) >= 16:
            module.weight.copy_(rounded(module.weight, per_channel=True))
            module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0], per_channel=False),))
    return result


def error(model: Prima) -> dict[str, float]:
    """Of the study vector of the tests' DICOM study."""
    (study,) = find_dicom(STUDY).studies
    preparers = (PrimaPreparer(model.config.preprocessing),)
    (prepared,) = StudyReader(preparers, ReadOptions())(StudyRequest(study))
    exact, found = plain(model, prepared, None), plain(quantized(model), prepared, None)
    return {
        "cosine": cosine(found, exact),
        "largest_relative_difference": float(np.abs(found - exact).max() / np.abs(exact).max()),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="also the error at the published size")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "processor": processor(),
        "instructions": os.environ.get("ONEDNN_MAX_CPU_ISA", "all"),
        "milliseconds": speed(),
        "prima-synth": error(PrimaModel.from_pretrained("prima-synth")),
    }
    if chosen.full:
        result["random weights of the published size"] = error(load(False))
    print(
        json.dumps(result) if chosen.json else "\n".join(f"{name}: {value}" for name, value in result.items())
    )


if __name__ == "__main__":
    main()
