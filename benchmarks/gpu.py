"""Embedding on a GPU: python benchmarks/gpu.py [--json] [--quick].

The published sizes with random weights. Tokens a second of the tokenizer, the share of a large bf16 matrix product's
rate, the cosine of a study's vector to the CPU's in float32, and the tests' study over and over, from disk to vectors:
studies a second, and how much of the time the GPU is busy (the encoder's time over the clock's). --quick takes the
small model on any machine: its numbers mean nothing. No GPU has run it yet, so that no number of one exists.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from embed import STUDY, cosine, load, operations

from prima_features.embedding.engine.device import compute_dtype, pick_device
from prima_features.embedding.engine.local import embed_studies
from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.encoders.prima.encode import Network
from prima_features.encoders.prima.networks import Prima
from prima_features.studies.dicom import find_dicom
from prima_features.studies.study import Study


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="small sizes, on any device")
    chosen = parser.parse_args()
    result = measure(chosen.quick)
    if chosen.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


def measure(quick: bool) -> dict[str, Any]:
    """All numbers, by name."""
    device = pick_device("auto" if quick else "cuda")
    batch = 16 if quick else EngineOptions().batch_for(device.type)
    model = load(quick).to(device)
    network = Network(model, device, compute_dtype("bf16", device), batch)
    (study,) = find_dicom(STUDY).studies
    tokens = tokens_per_second(network, batch * (2 if quick else 64))
    matrix = matrix_rate(device, 256 if quick else 8192)
    options = EngineOptions(batch_size=batch, precision="bf16", devices=(str(device),))
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "batch": network.batch_size,
        "tokens_per_second": tokens,
        "share_of_matrix_rate": tokens * operations(model) / matrix,
        "cosine_to_cpu_fp32": cosine_to_cpu(model, study, options),
        **end_to_end(model, study, options, 2 if quick else 64),
    }


@torch.inference_mode()
def tokens_per_second(network: Network, count: int) -> float:
    """Of the tokenizer, copies to the device included; the first pass, which chooses kernels, does not count."""
    size = network.model.config.preprocessing
    values = torch.rand(count, size.short_side, size.long_side, size.long_side)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        network.latents(values, 0, lambda: None)
        synchronize(network.device)
        best = min(best, time.perf_counter() - began)
    return count / best


def matrix_rate(device: torch.device, size: int) -> float:
    """Operations a second of a bf16 product of two square matrices."""
    square = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(5):
        synchronize(device)
        began = time.perf_counter()
        square @ square
        synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def cosine_to_cpu(model: Prima, study: Study, options: EngineOptions) -> float:
    """Cosine of the study's vector to the CPU's in float32."""
    here, there = (
        vector(model, study, each) for each in (options, EngineOptions(precision="fp32", devices=("cpu",)))
    )
    return cosine(here, there)


def vector(model: Prima, study: Study, options: EngineOptions) -> np.ndarray:
    """The study's vector."""
    (result,) = embed_studies([study], model, options)
    assert isinstance(result, EmbeddedStudy)
    return result.embedding


def end_to_end(model: Prima, study: Study, options: EngineOptions, count: int) -> dict[str, float]:
    """The study `count` times, from DICOM files to vectors, reading included."""
    times = StageTimes()
    began = time.perf_counter()
    studies = (replace(study, id=f"sub-{i}") for i in range(count))
    done = sum(1 for _ in embed_studies(studies, model, options, times=times))
    seconds = time.perf_counter() - began
    busy = times.tokenizer + times.transformers
    return {
        "studies": done,
        "studies_per_second": done / seconds,
        "gpu_busy": busy / (busy + times.wait),
    }


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
