"""A synthetic scan through the whole pipeline, compared with the vectors that were recorded for the model.

`prima doctor --model DIR --record-answer` records them next to the weights; run it again whenever weights change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

import numpy as np

from prima_features.doctor.answer import HOW_TO_RECORD, Answer, read_answer, write_answer
from prima_features.doctor.check import Check, Setup, failed, passed, warned
from prima_features.doctor.disk import can_be_written_to
from prima_features.doctor.scan import write_scan

if TYPE_CHECKING:
    import torch

    from prima_features.encoders.base import Encoder

TOLERANCE = 1e-3
"""Largest relative error of a vector, |a - b| / |b|, that passes.

Measured with `prima-untrained`: other thread counts and instruction sets (AVX-512, SSE4.1) 1e-6; one added to each
voxel of one series 1.4e-3; another name of one series 6e-3; an axis flipped 7e-2.
"""
COARSE_TOLERANCE = 5e-2
"""Above this no number type explains it; bfloat16 gave 1.2e-2."""


def known_answer(setup: Setup) -> Iterator[Check]:
    """Embed the scan into the output's folder (where that is unusable, a temporary one) and compare."""
    encoder, device, directory = _load(setup)
    folder = setup.folder if can_be_written_to(setup.folder) else Path(gettempdir())
    where = f"{encoder.info.name} on {device}"
    yield _compare(embed_scan(encoder, device, folder), read_answer(directory), where)


def record_answer(setup: Setup) -> Path:
    """Write the vectors that this machine computes next to the weights; returns the file.

    Raises:
        UsageError: there is no such model.
        OutputError: its directory cannot be written to.
    """
    encoder, device, directory = _load(setup)
    return write_answer(directory, embed_scan(encoder, device, setup.folder))


def embed_scan(encoder: Encoder, device: torch.device, folder: Path) -> Answer:
    """The scan's vectors, through files in `folder` that are deleted afterwards."""
    from torch.backends import cudnn

    from prima_features.embedding.engine.options import EngineOptions
    from prima_features.embedding.file.read import read_embeddings
    from prima_features.embedding.resume.options import RunOptions
    from prima_features.embedding.run import embed

    # TensorFloat-32, torch's default for convolutions, keeps 10 bits and would hide what is looked for.
    with TemporaryDirectory(prefix=".prima-doctor-", dir=folder) as scratch, cudnn.flags(allow_tf32=False):
        scan, output = Path(scratch) / "scan", Path(scratch) / "answer.h5"
        write_scan(scan / "study")
        embed(
            scan,
            output,
            encoder,
            engine_options=EngineOptions(precision="fp32", devices=(str(device),), pictures=False),
            run_options=RunOptions(report=False),
        )
        file = read_embeddings(output)
        clip = file.clip_embedding[0] if file.holds("study/clip") else None
        return Answer(encoder.info.sha256, file.study_embedding[0], clip, file.series_embedding)


def _load(setup: Setup) -> tuple[Encoder, torch.device, Path]:
    """The encoder, where to compute, and the model directory."""
    from prima_features.embedding.engine.device import pick_device
    from prima_features.encoders.registry import load_from
    from prima_features.models.resolve import resolve

    source = resolve(setup.model)
    return load_from(source), pick_device(setup.device), source.directory


def _compare(answer: Answer, expected: Answer | None, where: str) -> Check:
    name = "known answer"
    if not all(np.isfinite(values).all() for values in answer.vectors.values()):
        return failed(name, f"{where}: the vectors are not finite", "see prima weights verify")
    if expected is None:
        return warned(
            name, f"{where}: embeds, but there is no recorded answer to compare with", HOW_TO_RECORD
        )
    if expected.model_sha256 != answer.model_sha256:
        return warned(name, f"{where}: embeds, but the recorded answer is for other weights", HOW_TO_RECORD)
    error = answer.error(expected)
    found = f"{where}: relative error {error:.1g} (tolerance {TOLERANCE:g})"
    if error <= TOLERANCE:
        return passed(name, found)
    if error <= COARSE_TOLERANCE:
        remedy = "do not mix its embeddings with those of other machines; --device cpu may be exact"
        return warned(name, found, remedy)
    return failed(name, found, "do not use embeddings made here; try --device cpu, then reinstall torch")
