"""A synthetic scan of two series through the whole pipeline, compared with the vectors recorded for the model.

`prima doctor --model DIR --record-answer` records them next to the weights; run it again whenever weights change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

import numpy as np

from prima_features.doctor.check import Check, Setup, failed, passed, warned
from prima_features.doctor.disk import can_be_written_to
from prima_features.files.safe import load_json, read_text
from prima_features.models.directory import ANSWER

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
HOW_TO_RECORD = "on a machine that you trust, run prima doctor --model DIR --record-answer"

SCAN_VERSION = 1
"""To be raised with each change of the scan; then all answers are recorded again (`prima doctor --record-answer`)."""

_AXIAL = np.diag([4.0, 4.0, 10.0, 1.0])
_SAGITTAL = np.array([[0, 0, 8.0, 0], [-4.0, 0, 0, 0], [0, -4.0, 0, 0], [0, 0, 0, 1.0]])
SERIES = {"T1w": (_AXIAL, (48, 48, 12)), "FLAIR": (_SAGITTAL, (48, 48, 16))}
"""Affine (RAS, mm) and shape of each; slices along the last axis."""


def known_answer(setup: Setup) -> Iterator[Check]:
    """Embed the scan into the output's folder (a temporary one if that is unusable) and compare."""
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
        clip = file.clip_embedding[0] if file.has("study/clip") else None
        return Answer(encoder.info.sha256, file.study_embedding[0], clip, file.series_embedding)


def _load(setup: Setup) -> tuple[Encoder, torch.device, Path]:
    """The encoder, where to compute, and the model directory."""
    from prima_features.embedding.engine.device import pick_device
    from prima_features.encoders.registry import load_from
    from prima_features.models.resolve import resolve

    source = resolve(setup.model)
    encoder = load_from(source)
    return encoder.with_options(encoder.answer_options), pick_device(setup.device), source.directory


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


@dataclass(frozen=True)
class Answer:
    """The vectors that a model computes for the scan."""

    model_sha256: str
    """Checksum of the weights: an answer is for these and no others."""
    study: np.ndarray
    """(D,) float32."""
    clip: np.ndarray | None
    """(C,) float32; None from encoders without it."""
    series: np.ndarray
    """(2, d) float32."""

    @property
    def vectors(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        vectors = {"study": self.study, "clip": self.clip, "series": self.series}
        return {name: values for name, values in vectors.items() if values is not None}

    def error(self, expected: Answer) -> float:
        """The largest relative error of the vectors, |a - b| / |b|; infinite if shapes differ."""
        if self.vectors.keys() != expected.vectors.keys():
            return np.inf
        pairs = list(zip(self.vectors.values(), expected.vectors.values(), strict=True))
        if any(a.shape != b.shape for a, b in pairs):
            return np.inf
        return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)


def write_answer(directory: Path, answer: Answer) -> Path:
    """Record an answer in a model directory; returns the file.

    Raises:
        UsageError: a file of that name is there that is no answer.
        OutputError: the directory cannot be written to.
    """
    from prima_features.files.disk import write_json
    from prima_features.files.targets import Maker, check_file, starts_with

    # Five digits are far finer than any tolerance, and keep the package small.
    vectors = {name: np.vectorize(_five_digits)(values).tolist() for name, values in answer.vectors.items()}
    record = {"scan": SCAN_VERSION, "model_sha256": answer.model_sha256} | vectors
    check_file(
        directory / ANSWER,
        Maker("prima doctor", is_own=starts_with(b'{"scan"'), kind="a recorded answer", option=""),
    )
    write_json(directory / ANSWER, record, indent=None)
    return directory / ANSWER


def read_answer(directory: Path) -> Answer | None:
    """The recorded answer of a model directory; None if there is none, or only for an earlier version of the scan.

    Raises:
        UsageError: the record cannot be read.
    """
    from prima_features.errors import UsageError

    path = directory / ANSWER
    if not path.is_file():
        return None
    try:
        record = load_json(read_text(path))
        if record["scan"] != SCAN_VERSION:
            return None
        study, series = (np.array(record[name], np.float32) for name in ("study", "series"))
        clip = np.array(record["clip"], np.float32) if "clip" in record else None
        return Answer(record["model_sha256"], study, clip, series)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UsageError(f"{path} is damaged: {HOW_TO_RECORD}") from error


def _five_digits(value: float) -> float:
    return float(f"{value:.5g}")


def write_scan(folder: Path) -> None:
    """Write the series as .nii.gz into a new folder: the same voxels on every machine."""
    import nibabel as nib

    folder.mkdir(parents=True)
    for name, (affine, shape) in SERIES.items():
        nib.save(nib.Nifti1Image(ellipsoid(shape), affine), folder / f"{name}.nii.gz")


def ellipsoid(shape: tuple[int, int, int]) -> np.ndarray:
    """Voxels (int16) computed from integers alone, so that no rounding comes in; 0 outside."""
    x, y, z = (2 * np.arange(n).reshape(np.roll((-1, 1, 1), i)) - n + 1 for i, n in enumerate(shape))
    a, b, c = shape
    inside = (b * c * x) ** 2 + (a * c * y) ** 2 + (a * b * z) ** 2 < (a * b * c) ** 2 * 4 // 5
    texture = 200 + 3 * ((x * x + 2 * y * y + 3 * z * z + x * y + y * z) % 251)
    return np.where(inside, texture, 0).astype(np.int16)
